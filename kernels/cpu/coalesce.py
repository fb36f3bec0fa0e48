"""How far the past is decided: the last boundary that the best path to every live state goes through."""

import numpy as np

from ..compiled import compiled
from .trace import LOST, find_source, find_start


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
def mark_folded(model, base, alpha, h, emissions, scores, phase, folded, c, marks):
    """Mark what the open segments of `c` beyond its longest explicit duration follow; return how many marks that makes.

    Folded row i holds the best of the starts `p` apart from K + p - i before the end: the latest that explains it.
    """
    floor = model.never // 2
    n = h.shape[0]
    K, p = model.longest[c], model.period[c]
    pending = folded[c, :p] > floor
    total, gathered = 0, 0
    row = n
    while pending.any():
        row -= 1
        if row < 0 or emissions[row, c] <= floor:
            return LOST
        gathered += emissions[row, c]
        if n - row > K:
            i = (row - n + K) % p
            if pending[i] and h[row, c] > floor and h[row, c] + gathered == folded[c, i]:
                pending[i] = False
                new = mark(model, scores, alpha, h, phase, row, c, marks)
                if new == LOST:
                    return LOST
                total += new
    return total


@compiled
def meet(model, laws, base, alpha, h, emissions, scores, phase, ring, folded, first):
    """Return (row, label) of the last segment end that all live states share; row 0: only the root.

    `alpha` (n + 1, C), `h` (n, C) and the rest begin at boundary `base`; the state is that at their end, in the same
    offsets. Marks are what live states go through; the rightmost is replaced by what it follows until one is left.
    """
    floor = model.never // 2
    n, C = h.shape
    R = ring.shape[1]
    marks = np.zeros((n + 1, C), np.bool_)
    count = 0
    for c in range(C):
        if first[c] > floor and not marks[0, 0]:
            marks[0, 0] = True
            count += 1
        if alpha[n, c] > floor:
            marks[n, c] = True
            count += 1
        for i in range(R - model.longest[c], R):
            if ring[c, i] > floor:
                if n - R + i < 0:
                    return LOST, 0
                new = mark(model, scores, alpha, h, phase, n - R + i, c, marks)
                if new == LOST:
                    return LOST, 0
                count += new
        new = mark_folded(model, base, alpha, h, emissions, scores, phase, folded, c, marks)
        if new == LOST:
            return LOST, 0
        count += new
    for row in range(n, 0, -1):
        for c in range(C):
            if not marks[row, c]:
                continue
            if count == 1:
                return row, c
            end = base + row
            start, _, begun = find_start(laws, base, h, emissions, c, end, end, 0, alpha[row, c], 0)
            if not begun:
                return LOST, 0
            new = mark(model, scores, alpha, h, phase, start - base, c, marks)
            if new == LOST:
                return LOST, 0
            count += new - 1
    return 0, 0
