"""The k best segmentations of one sequence, in fixed point: read from the right, exactly k at a time.

Forward scores say how well everything left of a boundary can go on, so an unfinished segmentation, known from some
boundary to the right end, is worth just what its best completion is. Of any set of unfinished ones that covers all
segmentations once, the k best hold the beginnings of the k best: one pass to the left that keeps k of them is exact.
They stand in the order of the tie rule (see `naive_viterbi`), and what one splits into takes its place.

All that stand at one node, a segment of some label that ends somewhere, have the same ways on, which are searched
once; at most k of them matter. A search goes as far to the left as it can still matter, into other stretches too,
of which a few are held at a time.
"""

from bisect import bisect_left
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..compiled import compiled
from ..errors import InfeasibleError
from ..fixed import NEVER
from ..plan import Plan
from ..resolve import Sequence
from ..seams import Settled
from .trace import first_law, last_ends, law_score, stretch
from .transition import arc_score
from .viterbi import Forward, forward

LIMIT = 1 << 61  # no loss is as large
HELD = 4  # stretches at a time: a search that is no tail's lies in two
NOWHERE = -1  # in the place of a node: the left end has been reached
LABEL, END, AT, GATHERED, TARGET, WAY = range(6)  # columns of a node, as of `trace.Cursor`; END 0: free
# columns of what is kept: what it loses against the best, where it stands, and the row of the segment it last took;
# where it is about to take one, that one's START (else -1), NODE is the label before, SCORE that of all up to there
LOSS, NODE, ROW, START, SCORE = range(5)


class Paths(NamedTuple):
    """Scores in fixed-point units, best first, and each path's (N, 3) rows (start, end, label) from left to right."""

    scores: list[int]
    segments: list[NDArray]
    settled: Settled


@compiled
def keep(kept, count, row):
    """Add a row to the `count` of least loss, all of them in the order they came in; return their new number.

    Where there is no room the last of those that lose most goes, which may be the new one.
    """
    k = kept.shape[0]
    if count == k:
        worst = 0
        for i in range(1, k):
            if kept[i, LOSS] >= kept[worst, LOSS]:
                worst = i
        if row[LOSS] >= kept[worst, LOSS]:
            return count
        for i in range(worst, k - 1):
            kept[i] = kept[i + 1]
        count -= 1
    kept[count] = row
    return count + 1


@compiled
def largest(kept, count, otherwise):
    """Return the largest loss that still makes a difference: `otherwise` while there is room."""
    if count < kept.shape[0]:
        return otherwise
    worst = kept[0, LOSS]
    for i in range(count):
        worst = max(worst, kept[i, LOSS])
    return min(worst - 1, otherwise)


@compiled
def beyond(laws, emissions, h, older, cut):
    """Continue the best open score of each label, and that of a first segment cut by a censored end, to the right.

    Row 0 of `older` and `cut` (n + 1, C) is given; a row speaks of segments that began before it.
    """
    floor = laws.never // 2
    for t in range(emissions.shape[0]):
        for c in range(emissions.shape[1]):
            e = emissions[t, c]
            best = max(older[t, c], h[t, c])
            older[t + 1, c] = best + e if best > floor and e > floor else laws.never
            cut[t + 1, c] = cut[t, c] + e if cut[t, c] > floor and e > floor else laws.never


@compiled
def reach(laws, c, way, older, cut):
    """Return the best score of segments in the tail by what they have gathered so far (NEVER: none)."""
    K, p, floor = laws.longest[c], laws.period[c], laws.never // 2
    best = laws.never
    for k in range(K - p + 1, K + 1):
        if older > floor and laws.inside[way, c, k] > floor:
            best = max(best, older + laws.inside[way, c, k])
        if cut > floor and laws.whole[0, c, k] > floor:
            best = max(best, cut + laws.whole[0, c, k])
    return best


@compiled
def search(model, laws, u, alpha, h, emissions, scores, phase, older, cut, node, limit, choices, count):
    """Go on with a node's search as far left as u; return the number of its choices, and whether these are all.

    A choice is a segment's start and the label before it. They are met in the order of the tie rule.
    """
    P, floor = model.transitions.shape[0], laws.never // 2
    c, end, at, gathered, target, way = node
    row = np.empty(5, np.int64)
    row[ROW], row[SCORE] = -1, 0
    over = False
    while at > u and not over:
        most = largest(choices, count, limit)
        if end - at >= laws.longest[c]:
            if laws.period[c] == 0:
                over = True
                break
            # one segment cut at both ends has a score of its own, which `cut` does not speak of
            both = way == 1 and laws.censored and laws.whole[1, c, 0] > floor
            best = laws.never if both else reach(laws, c, way, older[at - u, c], cut[at - u, c])
            if not both and (best <= floor or target - best - gathered > most):
                over = True
                break
        at -= 1
        if emissions[at - u, c] <= floor:
            over = True
            break
        gathered += emissions[at - u, c]
        row[START] = at
        if at == 0 and laws.censored:
            law, source = first_law(laws, way, c, end), np.int64(0)
        else:
            law, source = law_score(laws, laws.inside[way], c, end - at), h[at - u, c]
        loss = target - source - gathered - law
        if law > floor and source > floor and loss <= most:
            if at == 0:
                row[LOSS], row[NODE] = loss, NOWHERE
                count = keep(choices, count, row)
            else:
                here = (phase + at - u) % P
                for a in range(model.arc_start[here, c], model.arc_start[here, c + 1]):
                    before = model.arc_source[a]
                    if alpha[at - u, before] > floor:
                        change = alpha[at - u, before] + arc_score(model, here, scores[at - u], before, c)
                        row[LOSS], row[NODE], row[SCORE] = loss + source - change, before, alpha[at - u, before]
                        if change > floor and row[LOSS] <= limit:
                            count = keep(choices, count, row)
        over = at == 0
    node[AT], node[GATHERED] = at, gathered
    return count, over


@compiled
def split(number, node, choices, count, kept, have, nodes, used, table, rows):
    """Replace all that stand at a node by what they split into; return how many are kept and the rows of `table`."""
    k = kept.shape[0]
    new = np.empty((k, 5), np.int64)
    n = 0
    row = np.empty(5, np.int64)
    for i in range(have):
        if kept[i, NODE] != number:
            n = keep(new, n, kept[i])
            continue
        for j in range(count):
            row[LOSS], row[NODE] = kept[i, LOSS] + choices[j, LOSS], choices[j, NODE]
            row[ROW], row[START], row[SCORE] = kept[i, ROW], choices[j, START], choices[j, SCORE]
            n = keep(new, n, row)
    used[:] = False
    for i in range(n):
        if new[i, START] < 0 and new[i, NODE] >= 0:
            used[new[i, NODE]] = True
    c, end = node[LABEL], node[END]
    for i in range(k):
        if not used[i]:
            nodes[i, END] = 0
    for i in range(n):
        start, before = new[i, START], new[i, NODE]
        if start >= 0:
            table[rows, 0], table[rows, 1], table[rows, 2], table[rows, 3] = start, end, c, new[i, ROW]
            new[i, ROW], new[i, START], new[i, NODE] = rows, -1, NOWHERE
            rows += 1
            if start > 0:
                new[i, NODE] = arrive(nodes, before, start, new[i, SCORE])
    kept[:n] = new[:n]
    return n, rows


@compiled
def arrive(nodes, label, end, target):
    """Return the number of the node where a segment of a label ends, which may be a new one."""
    free = -1
    for i in range(nodes.shape[0]):
        if nodes[i, END] == end and nodes[i, LABEL] == label:
            return i
        if nodes[i, END] == 0:
            free = i
    nodes[free, LABEL], nodes[free, END], nodes[free, AT] = label, end, end
    nodes[free, GATHERED], nodes[free, TARGET], nodes[free, WAY] = 0, target, 0
    return free


@compiled
def sweep(
    model, laws, u, alpha, h, emissions, scores, phase, older, cut, kept, have, nodes, choices, counts, table, rows
):  # fmt: skip
    """Move on what is kept, the rightmost first: whatever may still come to stand there has come.

    Return how many are kept, the rows of `table`, and the boundary left of which scores are wanted to go on (0: none).
    `table` has room for a row of each that is kept, or the boundary is wanted again.
    """
    used = np.zeros(len(nodes), np.bool_)
    v = u + len(h)
    while True:
        number = -1
        for i in range(len(nodes)):
            if nodes[i, END] > 0 and (number < 0 or nodes[i, END] > nodes[number, END]):
                number = i
        if number < 0:
            return have, rows, np.int64(0)
        node = nodes[number]
        if not u < node[AT] <= v or rows + len(kept) > len(table):
            return have, rows, node[AT]
        if node[AT] == node[END]:
            counts[number] = 0
        limit = np.int64(LIMIT)
        if have == len(kept):  # what loses as much as the worst may still come before it
            worst, least = np.int64(0), np.int64(LIMIT)
            for i in range(have):
                worst = max(worst, kept[i, LOSS])
                if kept[i, NODE] == number:
                    least = min(least, kept[i, LOSS])
            limit = worst - least
        counts[number], over = search(
            model, laws, u, alpha, h, emissions, scores, phase, older, cut, node, limit, choices[number], counts[number]
        )  # fmt: skip
        if over:
            where = node.copy()
            have, rows = split(number, where, choices[number], counts[number], kept, have, nodes, used, table, rows)


def k_best_item(x: Sequence, k: int, plan: Plan, pool: ThreadPoolExecutor) -> Paths:
    """Return the k best segmentations of one sequence, or all there are; ties as in `viterbi_item`."""
    found = forward(x, plan, pool)
    T, law, shift = x.emissions.shape[0], found.laws, found.offset + found.constants[-1]
    ends, targets = last_ends(found.state, law, found.finish, found.both)
    if not (ends > NEVER // 2).any():
        raise InfeasibleError(0, T)
    kept, nodes, have = _begin(ends, targets + shift, T, k, 0 if found.both is None else 1)
    choices, counts = np.full((k, k, 5), -1, np.int64), np.zeros(k, np.int64)
    table, rows, at = np.empty((max(1024, 4 * k), 4), np.int64), 0, T
    panels = list(found.chunks.panels())
    held = lru_cache(HELD)(lambda number: _searchable(found, *panels[number]))
    while at > 0:
        if rows + k > len(table):
            table = np.concatenate([table, np.empty_like(table)])
        parts = held(bisect_left(panels, at, key=lambda panel: panel[2]))
        have, rows, at = sweep(found.direction.model, law, *parts, kept, have, nodes, choices, counts, table, rows)
    order = np.argsort(kept[:have, LOSS], kind="stable")
    scores = [int(ends.max()) + shift - int(kept[i, LOSS]) for i in order]
    return Paths(scores, [_path(table, int(kept[i, ROW])) for i in order], found.chunks.settled)


def _begin(ends: NDArray, targets: NDArray, T: int, k: int, way: int) -> tuple[NDArray, NDArray, int]:
    """Return what is kept at the right end, where it stands, and its number: the k best last labels."""
    kept, nodes, have = np.full((k, 5), -1, np.int64), np.zeros((k, 6), np.int64), 0
    for c in np.flatnonzero(ends > NEVER // 2):
        have = keep(kept, have, np.array([ends.max() - ends[c], c, -1, -1, 0]))
    for i in range(have):
        c = kept[i, NODE]
        nodes[i] = c, T, T, 0, targets[c], way
        kept[i, NODE] = i
    return kept, nodes, have


def _searchable(found: Forward, chunk: int, u: int, v: int) -> tuple:
    """Return a stretch, all chunks on one scale, and (n + 1, C) the best open scores before each of its boundaries.

    The last two are those of whole segments, and of a first one that a censored end cuts.
    """
    part, state, constant = stretch(found.chunks, chunk, u, v), found.chunks.state(0, chunk, u), found.constants[chunk]
    part = part._replace(alpha=part.alpha + constant, h=part.h + constant)
    older, cut = np.full(part.alpha.shape, NEVER), np.full(part.alpha.shape, NEVER)
    open_ = np.maximum(state.ring.max(1), state.folded.max(1, initial=NEVER))
    for out, values in ((older, open_), (cut, state.first)):
        out[0] = np.where(values > NEVER // 2, values + int(state.offset.real) + constant, NEVER)
    beyond(found.laws, part.emissions, part.h, older, cut)
    return (*part, older, cut)


def _path(table: NDArray, row: int) -> NDArray:
    """Return the segments of a path from left to right; its last row is that of its first segment."""
    rows = []
    while row >= 0:
        rows.append(row)
        row = int(table[row, 3])
    return table[rows, :3]
