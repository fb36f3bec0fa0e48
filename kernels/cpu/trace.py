"""From the right end of a sequence to the left, a stretch at a time, without back-pointers.

What a forward pass knows of a segment `(s, t, c)` that ends at `t` is `h[s, c] + sum e[s..t-1] + D[t - s, c]`. Walking
left from `t` with a running sum of emissions finds the start in O(t - s), tails included, so a whole path costs O(T).
A segment may begin in an earlier stretch than it ends in: a cursor carries what has been gathered so far.
"""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..compiled import compiled
from ..errors import InfeasibleError
from ..fixed import tally
from .chunks import Chunks
from .directions import State
from .transition import arc_score

LOST = -1  # a walk met the left end of what is possible without finding a start


class Laws(NamedTuple):
    """Scores of segments by visible length up to K; beyond, each repeats with its label's period and tail."""

    inside: NDArray  # (2, C, K + 1): whole segments, and last ones cut by a censored right end
    whole: NDArray  # (2, C, K + 1): the same for first ones cut by a censored left end; [1, c, 0] is cut on both sides
    longest: NDArray  # (C,)
    period: NDArray  # (C,), 0: no tail
    tail: NDArray  # (C,)
    censored: bool  # the left end is
    never: float | int


def laws(durations, enter, leave, both, model) -> Laws:
    """Return the laws of a direction: all tables (C, K + 1), None at an exact end."""
    inside = np.full((2, *durations.shape), model.never, durations.dtype)
    whole = inside.copy()
    inside[0] = durations
    if leave is not None:
        inside[1] = leave
    if enter is not None:
        whole[0] = enter
        whole[1, :, 0] = both
    return Laws(inside, whole, model.longest, model.period, model.tail, enter is not None, model.never)


@compiled
def law_score(laws, table, c, k):
    """Return a segment's score by its visible length; `never` where there is none."""
    K, p = laws.longest[c], laws.period[c]
    if k <= K:
        return table[c, k]
    if p == 0:
        return table.dtype.type(laws.never)
    steps = (k - K + p - 1) // p
    return table[c, k - steps * p] + steps * laws.tail[c]


@compiled
def first_law(laws, way, c, k):
    """Return the score of a first segment cut by a censored left end: `way` 1 when the right end cuts it too."""
    return laws.whole[1, c, 0] if way == 1 else law_score(laws, laws.whole[0], c, k)


class Stretch(NamedTuple):
    """All that a walk reads between boundaries u and v, in the offsets of one chunk."""

    u: int
    alpha: NDArray  # (n + 1, C) at u..v
    h: NDArray  # (n, C) at u..v-1
    emissions: NDArray  # (n, C)
    scores: NDArray  # (n, columns) boundary scores at u..v-1
    phase: int


def stretch(chunks: Chunks, chunk: int, u: int, v: int) -> Stretch:
    """Return one panel of the forward pass."""
    direction, values, state = chunks.directions[0], chunks.values(0, chunk, u, v), chunks.state(0, chunk, u)
    alpha = np.concatenate([(state.alpha + state.offset)[None], values.alpha])
    return Stretch(u, alpha, values.h, direction.emissions(u, v), direction.scores(u, v), direction.phase(u))


def stretches(chunks: Chunks, pool: ThreadPoolExecutor) -> Iterator[tuple[int, Stretch]]:
    """Yield (chunk, stretch) from right to left; one is prepared ahead, where scores were kept only when asked for."""

    def fetch(i: int, u: int, v: int) -> tuple[int, Stretch]:
        return i, stretch(chunks, i, u, v)

    panels = list(chunks.panels())
    ahead = 0 if chunks.plan.keep else getattr(pool, "_max_workers", 1)
    waiting: deque = deque()
    while panels or waiting:
        while panels and len(waiting) < max(ahead, 1):
            panel = panels.pop()
            waiting.append(pool.submit(fetch, *panel).result if ahead else lambda panel=panel: fetch(*panel))
        yield waiting.popleft()()


class Cursor(NamedTuple):
    """Where a walk stands: it looks for the start of a segment of `label` that ends at `end`, left of `at`."""

    label: int
    end: int  # 0: the walk is over
    at: int
    gathered: int  # emissions of at..end-1
    target: int  # score of all up to `end`, in the offsets of the stretch
    way: int  # 0: a whole segment; 1: one cut by a censored right end


@compiled
def find_start(laws, u, h, emissions, c, end, at, gathered, target, way):
    """Return the latest start of a best segment (c, end) as far left as u, what it gathered, and whether it is found.

    The search goes on from `at`; LOST instead of the start: the scores contradict each other.
    """
    floor = laws.never // 2
    while at > u:
        at -= 1
        if emissions[at - u, c] <= floor:
            return LOST, gathered, False
        gathered += emissions[at - u, c]
        source = h[at - u, c]
        if source > floor:
            law = law_score(laws, laws.inside[way], c, end - at)
            if law > floor and source + gathered + law == target:
                return at, gathered, True
        if at == 0:  # a cut first segment began before all others, so it loses ties
            if laws.censored and first_law(laws, way, c, end) + gathered == target:
                return at, gathered, True
            return LOST, gathered, False
    return at, gathered, False


@compiled
def find_source(model, row, scores, alpha, c, target):
    """Return the smallest label from which `c` is reached with the score `target`; LOST where there is none."""
    for a in range(model.arc_start[row, c], model.arc_start[row, c + 1]):
        source = model.arc_source[a]
        if alpha[source] > model.never // 2 and alpha[source] + arc_score(model, row, scores, source, c) == target:
            return source
    return LOST


@compiled
def walk_max(model, laws, u, alpha, h, emissions, scores, phase, cursor, out):
    """Fill `out` (n, 3) with the best path's segments that begin in a stretch, the last first; return their number.

    Ties: the latest start, then the smallest source label. `cursor` is moved on; LOST: the scores contradict it.
    """
    P = model.transitions.shape[0]
    c, end, at, gathered, target, way = cursor
    found = 0
    while end > 0:
        at, gathered, begun = find_start(laws, u, h, emissions, c, end, at, gathered, target, way)
        if at == LOST:
            return LOST
        if not begun:
            break
        out[found, 0], out[found, 1], out[found, 2] = at, end, c
        found += 1
        end, gathered, way = at, 0, 0
        if at > 0:
            row = at - u
            c = find_source(model, (phase + row) % P, scores[row], alpha[row], c, h[row, c])
            if c == LOST:
                return LOST
            target = alpha[row, c]
    cursor[0], cursor[1], cursor[2] = c, end, at
    cursor[3], cursor[4], cursor[5] = gathered, target, way
    return found


@compiled
def fill_ends(laws, alpha, ring, folded, finish, both, cut, ends, targets):
    """Fill `ends` and `targets` as `last_ends` returns them; `cut`: the right end is censored, and `both` counts."""
    floor, R = laws.never // 2, ring.shape[1]
    for c in range(alpha.shape[0]):
        if not cut:
            targets[c] = alpha[c]
            ends[c] = alpha[c] + finish[c] if alpha[c] > floor and finish[c] > floor else laws.never
            continue
        best, law = max(both[c], laws.never), laws.inside[1, c]
        K, p = laws.longest[c], laws.period[c]
        for k in range(1, K + 1):
            if ring[c, R - k] > floor and law[k] > floor:
                best = max(best, ring[c, R - k] + law[k])
        for i in range(p):  # folded row i is K + p - i long, which the tail reduces to K - i
            if folded[c, i] > floor and law[K - i] > floor:
                best = max(best, folded[c, i] + law[K - i])
        ends[c] = targets[c] = best


def last_ends(state: State, laws: Laws, finish: NDArray, both: NDArray | None) -> tuple[NDArray, NDArray]:
    """Return (C,) scores of everything by last label, and of all up to the end of its segment; relative to the offset.

    `both` is None at an exact end, otherwise each label's score of one segment over everything, in the same terms.
    """
    ends, targets = (np.empty(len(finish), np.int64) for _ in range(2))
    none, cut = np.zeros(0, np.int64), both is not None
    fill_ends(laws, state.alpha, state.ring, state.folded, finish, both if cut else none, cut, ends, targets)
    return ends, targets


def close_max(state: State, laws: Laws, finish: NDArray, both: NDArray | None, T: int) -> Cursor:
    """Return the cursor of the best end of a sequence, its target relative to the state's offset (see `last_ends`)."""
    ends, targets = last_ends(state, laws, finish, both)
    c = int(ends.argmax())
    if ends[c] <= laws.never // 2:
        raise InfeasibleError(0, T)
    return Cursor(c, T, T, 0, int(targets[c]), 0 if both is None else 1)


@compiled
def trace_each(
    model, laws, lengths, phase, emissions, scores, alpha, h, end_alpha, ring, folded, offsets, finish, both, cut, out,
    found, totals,
):  # fmt: skip
    """Fill `out` (N, T, 3) with the best segments of N sequences, the last first, `found` with how many each has.

    0 of them: there is none. `alpha` (N, T + 1, C), and of the states at the ends what is relative to `offsets`.
    `both` (N, C) is the law of one segment over everything; `cut`: the right ends are censored. `totals` gets scores.
    """
    C, floor = emissions.shape[2], laws.never // 2
    whole, ends, targets = np.empty(C, np.int64), np.empty(C, np.int64), np.empty(C, np.int64)
    uncut, cursor = np.empty(C, np.bool_), np.empty(6, np.int64)
    for i in range(lengths.shape[0]):
        n = lengths[i]
        laws.whole[1, :, 0] = both[i]
        whole[:] = 0
        for c in range(C):
            uncut[c] = both[i, c] > floor
        tally(emissions[i, :n], whole, uncut)
        for c in range(C):
            whole[c] = whole[c] + both[i, c] - offsets[i] if uncut[c] else laws.never
        fill_ends(laws, end_alpha[i], ring[i], folded[i], finish[i], whole, cut, ends, targets)
        c = int(ends.argmax())
        found[i] = 0
        if ends[c] <= floor:
            continue
        totals[i] = ends[c] + offsets[i]
        cursor[0], cursor[1], cursor[2] = c, n, n
        cursor[3], cursor[4], cursor[5] = 0, targets[c] + offsets[i], cut
        found[i] = walk_max(
            model, laws, 0, alpha[i, : n + 1], h[i, :n], emissions[i, :n], scores[i, :n], phase, cursor, out[i]
        )
