"""Exact posterior samples of one sequence: filter forwards, draw backwards.

A segment that ends at `t` begins at `s` with probability `exp(h[s] + sum e[s..t-1] + D[t-s] - alpha[t])`: one uniform
is used up along a walk to the left, in O(segment length), tails included. Every sample has a generator of its own and
takes its uniforms from right to left, so a sample depends on nothing but its seed and number.
"""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ..compiled import compiled
from ..edges import edge_tables
from ..errors import InfeasibleError
from ..plan import Plan, boundaries
from ..resolve import Sequence
from .chunks import Chunks
from .directions import Direction
from .meeting import log_sum
from .trace import Laws, Stretch, first_law, law_score, laws, stretches
from .transition import arc_score

Sample = tuple[NDArray, NDArray, NDArray]  # starts, ends, labels, each (N,) int64

# A walk stops short of its uniform by this share, lest rounding lead it past the last possible start. Where that
# still happens the few samples concerned are drawn again with more.
SLACKS = 1e-9, 1e-7, 1e-5
ROOM = 1 << 16  # segments a buffer holds
GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class Walks:
    """Where every sample stands; columns as in `trace.Cursor`."""

    def __init__(self, numbers: NDArray, seed: int, T: int):
        n = len(numbers)
        self.numbers = numbers
        self.where = np.zeros((n, 4), np.int64)  # label, end (0: over), at, way
        self.scores = np.zeros((n, 3))  # gathered emissions, log weight of all starts, share of it still to pass
        mixed = np.random.SeedSequence(seed).generate_state(2, np.uint64)
        self.random = np.empty(n, np.uint64)
        seeds(numbers.astype(np.uint64), mixed[0], mixed[1], self.random)
        self.where[:, 1:3] = T


@compiled
def mix(x):
    """Return splitmix64's scramble of its counter."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@compiled
def seeds(numbers, a, b, out):
    """Fill each sample's counter: scrambled twice, so that neighbours' streams do not overlap."""
    for i in range(numbers.shape[0]):
        out[i] = mix(mix(numbers[i] * GOLDEN + a) + b)


@compiled
def draw(random, i):
    """Return sample i's next uniform in [0, 1)."""
    random[i] += GOLDEN
    return (mix(random[i]) >> np.uint64(11)) * 2.0**-53


@compiled
def open_ends(ends, targets, way, slack, where, scores, random):
    """Draw the last label of every sample by its log weight in `ends`, and the share of its starts to pass."""
    top = ends.max()
    total = np.exp(ends - top).sum()
    for i in range(where.shape[0]):
        left = draw(random, i) * total
        label = 0
        for c in range(ends.shape[0]):
            if ends[c] > -np.inf:
                label = c
                left -= np.exp(ends[c] - top)
                if left < 0:
                    break
        where[i, 0], where[i, 3] = label, way
        scores[i, 0], scores[i, 1], scores[i, 2] = 0.0, targets[label], draw(random, i) * (1 - slack)


@compiled
def draw_source(model, row, scores, alpha, c, u):
    """Return the label before a segment of `c` by its share, u uniform; -1: there is none."""
    top = -np.inf
    for a in range(model.arc_start[row, c], model.arc_start[row, c + 1]):
        source = model.arc_source[a]
        top = max(top, alpha[source] + arc_score(model, row, scores, source, c))
    if top == -np.inf:
        return -1
    total = 0.0
    for a in range(model.arc_start[row, c], model.arc_start[row, c + 1]):
        source = model.arc_source[a]
        total += np.exp(alpha[source] + arc_score(model, row, scores, source, c) - top)
    left, label = u * total, -1
    for a in range(model.arc_start[row, c], model.arc_start[row, c + 1]):
        source = model.arc_source[a]
        weight = np.exp(alpha[source] + arc_score(model, row, scores, source, c) - top)
        if weight > 0:
            label = source
            left -= weight
            if left < 0:
                break
    return label


@compiled
def walk_samples(model, laws, u, alpha, h, emissions, scores, phase, slack, sample, stop, where, state, random, out):
    """Walk samples `sample..stop-1` through a stretch; return (the sample at which `out` was full, rows filled).

    A row is (sample, start, end, label), the last segment first. `where[i, 1] = -1` marks a sample that has lost its
    way to rounding.
    """
    P = model.transitions.shape[0]
    rows = 0
    while sample < stop:
        c, end, at, way = where[sample]
        gathered, target, share = state[sample]
        while end > 0:
            if rows == out.shape[0]:
                where[sample, 0], where[sample, 1], where[sample, 2], where[sample, 3] = c, end, at, way
                state[sample, 0], state[sample, 1], state[sample, 2] = gathered, target, share
                return sample, rows
            begun, over, last = False, False, -1
            while at > u and not over:
                s = at - 1
                e = emissions[s - u, c]
                if e == -np.inf or (laws.period[c] == 0 and end - s > laws.longest[c]):
                    over = True
                    break
                gathered += e
                at = s
                if s == 0 and laws.censored:
                    x = first_law(laws, way, c, end) + gathered
                else:
                    x = h[s - u, c] + gathered + law_score(laws, laws.inside[way], c, end - s)
                if x > -np.inf:
                    last = s
                    share -= np.exp(x - target)
                    if share < 0:
                        begun = True
                        break
                over = s == 0
            if over and not begun:
                if last < 0:
                    end = -1
                    break
                at, begun = last, True
            if not begun:
                break
            out[rows, 0], out[rows, 1], out[rows, 2], out[rows, 3] = sample, at, end, c
            rows += 1
            if at == 0:
                end = 0
                break
            row = at - u
            c = draw_source(model, (phase + row) % P, scores[row], alpha[row], c, draw(random, sample))
            if c < 0:
                end = -1
                break
            end, way, gathered, target = at, 0, 0.0, alpha[row, c]
            share = draw(random, sample) * (1 - slack)
        where[sample, 0], where[sample, 1], where[sample, 2], where[sample, 3] = c, end, at, way
        state[sample, 0], state[sample, 1], state[sample, 2] = gathered, target, share
        sample += 1
    return sample, rows


def sample_item(x: Sequence, n: int, seed: int, plan: Plan, pool: ThreadPoolExecutor) -> list[Sample]:
    """Return n posterior samples of one sequence."""
    x = x._replace(**{f: getattr(x, f).astype(np.float64) for f in ("durations", "transitions", "begin", "finish")})
    chunks = Chunks([Direction(x)], plan, pool)
    chunks.settle()
    return draw_samples(chunks, x, n, seed, pool)


def draw_samples(chunks: Chunks, x: Sequence, n: int, seed: int, pool: ThreadPoolExecutor) -> list[Sample]:
    """Return n posterior samples by settled forward passes."""
    direction = chunks.directions[0]
    tables = edge_tables(x)
    enter, leave = (None if t is None else t.T for t in tables[:2])
    law = laws(x.durations.T, enter, leave, tables.both, direction.model)
    samples: list[Sample] = [()] * n  # type: ignore[list-item]
    numbers = np.arange(n)
    for slack in SLACKS:
        walks = Walks(numbers, seed, direction.length)
        table = _walk(chunks, law, walks, slack, pool)
        lost = walks.where[:, 1] < 0
        stops = np.concatenate([[0], np.cumsum(np.bincount(table[:, 0], minlength=len(numbers)))])
        for i in np.flatnonzero(~lost):
            rows = table[stops[i] : stops[i + 1]]
            samples[numbers[i]] = (rows[:, 1], rows[:, 2], rows[:, 3])
        numbers = numbers[lost]
        if not len(numbers):
            return samples
    raise ArithmeticError(f"{len(numbers)} of {n} samples lost their way: forward scores contradict each other")


def _walk(chunks: Chunks, law: Laws, walks: Walks, slack: float, pool: ThreadPoolExecutor) -> NDArray:
    """Return (N, 4) rows (sample, start, end, label), by sample and from left to right."""
    direction, constants = chunks.directions[0], chunks.constants(0)
    chunk = chunks.plan.chunks - 1
    ends, targets, way = _right_end(chunks, law)
    open_ends(ends, targets, way, slack, walks.where, walks.scores, walks.random)
    workers = min(len(walks.numbers), getattr(pool, "_max_workers", 1))
    parts = boundaries(len(walks.numbers), workers)
    tables = []

    def move(stretch: Stretch, part: tuple[int, int]) -> list[NDArray]:
        sample, stop = part
        filled = []
        out = np.empty((ROOM, 4), np.int64)
        while sample < stop:
            sample, rows = walk_samples(
                direction.model, law, *stretch, slack, sample, stop, walks.where, walks.scores, walks.random, out
            )
            filled.append(out[:rows].copy())
        return filled

    for i, stretch in stretches(chunks, pool):
        walks.scores[:, 1] += (constants[chunk] - constants[i]).real
        chunk = i
        for filled in pool.map(partial(move, stretch), pairwise(parts)):
            tables.extend(filled)
        if not (walks.where[:, 1] > 0).any():
            break
    table = np.concatenate(tables)[::-1]
    return table[np.argsort(table[:, 0], kind="stable")]


def _right_end(chunks: Chunks, law: Laws) -> tuple[NDArray, NDArray, int]:
    """Return per label the log weight of ending with it, the log weight of its starts, and how such segments end."""
    direction = chunks.directions[0]
    x, state = direction.x, chunks.last()
    if x.right == "exact":
        ends, targets, way = state.alpha + x.finish, state.alpha, 0
    else:
        targets = np.empty(len(x.longest))
        for c in range(len(targets)):
            K, p = int(law.longest[c]), int(law.period[c])
            near = state.ring[c, state.ring.shape[1] - K :][::-1] + law.inside[1, c, 1 : K + 1]
            # folded row i is K + p - i long, which the tail reduces to K - i
            far = state.folded[c, :p] + law.inside[1, c, K - np.arange(p)] + law.tail[c]
            targets[c] = log_sum(np.concatenate([near, far]))
        ends, way = targets, 1
    if not (ends > -np.inf).any():
        raise InfeasibleError(0, direction.length)
    return ends, targets + state.offset, way
