"""How far the past is decided: the last boundary that the best path to every live state goes through."""

import numpy as np

from ..compiled import compiled
from .trace import LOST, find_source, find_start

NONE, SEVERAL = -1, -2  # in place of a label


@compiled
def mark(model, scores, alpha, h, phase, row, c, marks):
    """Mark the segment that a segment of `c` which begins at `row` follows; return how many new marks that makes.

    Row 0 is the root: whatever begins there has the same past.
    """
    if row == 0:
        label = 0
    else:
        label = find_source(model, (phase + row) % model.transitions.shape[0], scores[row], alpha[row], c, h[row, c])
        if label == LOST:
            return LOST
    if marks[row, label]:
        return 0
    marks[row, label] = True
    return 1


@compiled
def mark_folded(model, base, alpha, h, emissions, scores, phase, folded, c, root, split, marks):
    """Mark what the open segments of `c` beyond its longest explicit duration follow.

    Folded row i holds the best of the starts `p` apart from K + p - i before the end: the latest that explains it.
    Return how many new marks that makes, and whether one of those segments lies over boundary `split`.
    """
    floor = model.never // 2
    n = h.shape[0]
    K, p = model.longest[c], model.period[c]
    pending = folded[c, :p] > floor
    total, gathered, crossed = 0, 0, False
    row = n
    while pending.any():
        row -= 1
        if row < 0 and c == root:
            return total + mark_root(marks), True
        if row < 0 or emissions[row, c] <= floor:
            return LOST, False
        gathered += emissions[row, c]
        if n - row > K:
            i = (row - n + K) % p
            if pending[i] and h[row, c] > floor and h[row, c] + gathered == folded[c, i]:
                pending[i] = False
                new = mark(model, scores, alpha, h, phase, row, c, marks)
                if new == LOST:
                    return LOST, False
                total += new
                crossed = crossed or row < split
    return total, crossed


@compiled
def mark_root(marks):
    """Mark the root; return whether that is new."""
    new = not marks[0, 0]
    marks[0, 0] = True
    return int(new)


@compiled
def over(crossing, c):
    """Return the label of all segments over a boundary when one of label `c` joins them; SEVERAL: they differ."""
    return c if crossing in (NONE, c) else SEVERAL


@compiled
def meet(model, laws, base, alpha, h, emissions, scores, phase, ring, folded, first, root, split):
    """Return (row, label) of the last segment end that all live states share (row 0: only the root), and a crossing.

    `alpha` (n + 1, C), `h` (n, C) and the rest begin at boundary `base`; the state is that at their end, in the same
    offsets. Marks are what live states go through; the rightmost is replaced by what it follows until one is left.

    The crossing is the label of the one segment, begun at that end, in which all live states lie at row `split`;
    below 0 where there is none. `root` is such a label of the rows that were left out before `base`, NONE: the root is
    a boundary.
    """
    floor = model.never // 2
    n, C = h.shape
    R = ring.shape[1]
    marks = np.zeros((n + 1, C), np.bool_)
    count, crossing = 0, NONE
    lost = LOST, 0, NONE
    for c in range(C):
        if first[c] > floor:
            count += mark_root(marks)
            crossing = over(crossing, c)
        if alpha[n, c] > floor:
            marks[n, c] = True
            count += 1
        for i in range(R - model.longest[c], R):
            if ring[c, i] > floor:
                row = n - R + i
                if row < 0:
                    return lost
                new = mark(model, scores, alpha, h, phase, row, c, marks)
                if new == LOST:
                    return lost
                count += new
                if row < split:
                    crossing = over(crossing, c)
        new, crossed = mark_folded(model, base, alpha, h, emissions, scores, phase, folded, c, root, split, marks)
        if new == LOST:
            return lost
        count += new
        if crossed:
            crossing = over(crossing, c)
    for row in range(n, 0, -1):
        if row == split and (count > 1 or marks[row].any()):
            crossing = SEVERAL
        for c in range(C):
            if not marks[row, c]:
                continue
            if count == 1:
                return row, c, crossing if row < split else NONE
            end = base + row
            start, _, begun = find_start(laws, base, h, emissions, c, end, end, 0, alpha[row, c], 0)
            if begun:
                new = mark(model, scores, alpha, h, phase, start - base, c, marks)
                if new == LOST:
                    return lost
            elif start == base and c == root:
                new = mark_root(marks)
            else:
                return lost
            count += new - 1
            if row > split and start - base < split:
                crossing = over(crossing, c)
    return 0, 0, crossing
