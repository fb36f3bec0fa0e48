"""A sequence at another rate: what lies between its samples, without what the new rate cannot carry.

The ratio of rates is a fraction n / d of samples a position, so positions see only d different sets of weights.
Position p stands for the samples from p n / d on, and is read at the middle of them.
"""

from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

LOBES = 6  # of the sinc, to either side
FINEST = 10_000  # denominator of a ratio


def ratio_of(rate: float, wanted: float, finest: int = FINEST) -> Fraction:
    """Return samples a position."""
    return Fraction(rate / wanted).limit_denominator(finest)


def positions(length: int, ratio: Fraction) -> int:
    """Return how many positions so many samples take; the last one may be cut short."""
    return -(-length * ratio.denominator // ratio.numerator)


@lru_cache(64)
def filters(ratio: Fraction) -> tuple[NDArray, NDArray]:
    """Return the first sample (d,) that positions 0..d-1 look at, and their weights (d, taps)."""
    n, d = ratio.numerator, ratio.denominator
    middle = ((2 * np.arange(d) + 1) * n - d) / (2 * d)
    width = max(1.0, n / d)  # in samples: a slower rate carries less
    half = int(np.ceil(LOBES * width))
    low = np.floor(middle).astype(np.int64) - half + 1
    off = (low[:, None] + np.arange(2 * half) - middle[:, None]) / width
    weights = np.sinc(off) * np.cos(np.pi / 2 * np.clip(off / LOBES, -1, 1)) ** 2
    return low, (weights / weights.sum(1, keepdims=True)).astype(np.float32)


def resampled(read: Callable[[int, int], NDArray], length: int, ratio: Fraction, first: int, last: int) -> NDArray:
    """Return (last - first,) float32 positions of what `read` gives of (length,) samples; no sample is missing.

    Beyond its ends a sequence stays as it is there.
    """
    if ratio == 1:
        return read(first, last)
    n, d = ratio.numerator, ratio.denominator
    low, weights = filters(ratio)
    turn = first // d  # whole turns of the weights before the first position
    a = turn * n + int(low[0])
    b = -(-last // d) * n + int(low[-1]) + weights.shape[1]
    x = read(max(0, a), min(b, length))
    x = np.ascontiguousarray(np.pad(x, (max(0, -a), max(0, b - max(a, length))), mode="edge"), np.float32)
    turns = -(-last // d) - turn
    out = np.empty((turns, d), np.float32)
    taps = np.lib.stride_tricks.sliding_window_view(x, weights.shape[1])
    for j in range(d):
        at = int(low[j] - low[0])
        # a product of matrices would copy them, and have threads of its own in every process that draws windows
        out[:, j] = np.einsum("ij,j->i", taps[at : at + (turns - 1) * n + 1 : n], weights[j])
    return out.ravel()[first - turn * d : last - turn * d]
