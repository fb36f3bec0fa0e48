"""Normalisation over channels that lie side by side, between margins of zeros: what a convolution is to read next.

PyTorch takes twice as long for rows as short as these, and a convolution twice as long again if it has to imagine the
margins.
"""

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from ..compiled import compiled
from ..plan import boundaries
from .threads import pool, spread

WORTH = 1 << 16  # values that are worth a thread
ZERO, ONE = np.float32(0), np.float32(1)


@compiled(fast=True)
def norm_rows(x, weight, bias, eps, first, last, margin, out):
    """Fill `out` (B, T + 2 margin, C) with rows first..last - 1 of x (B, T, C) normalised, scaled and shifted.

    Where they are the first of all, the margins are filled too.
    """
    B, T, C = x.shape
    share = ONE / np.float32(C)
    for b in range(B):
        for t in range(margin if first == 0 else 0):
            for c in range(C):
                out[b, t, c] = out[b, margin + T + t, c] = ZERO
        for t in range(first, last):
            row, normal = x[b, t], out[b, margin + t]
            mean, square = ZERO, ZERO
            for c in range(C):
                mean += row[c]
            mean *= share
            for c in range(C):
                square += (row[c] - mean) * (row[c] - mean)
            spread = ONE / np.sqrt(square * share + eps)
            for c in range(C):
                normal[c] = (row[c] - mean) * spread * weight[c] + bias[c]


def channel_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float, margin: int) -> Tensor:
    """Return (B, T + 2 margin, C) float32 of (B, T, C) rows; threads share them, as many as torch uses."""
    B, T, C = x.shape
    out = torch.empty(B, T + 2 * margin, C)
    read, scale, shift, written = (a.numpy() for a in (x.contiguous(), weight, bias, out))

    def normalise(rows: tuple[int, int]) -> None:
        norm_rows(read, scale, shift, np.float32(eps), *rows, margin, written)

    parts = list(pairwise(boundaries(T, min(torch.get_num_threads(), max(1, B * T * C // WORTH)))))
    list(spread(pool(role="rows"), normalise, parts))
    return out
