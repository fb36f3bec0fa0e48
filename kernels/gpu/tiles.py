"""What the passes' tiles are made of: a block of 16 sources against 16 outputs in registers, and both semirings' sums.

Scores are 64 bits wide: float64 in units of log 2, or int64 fixed point. Work on pairs is 32 bits wide, relative to a
block's largest score: float32 weights, so that a pair is one multiply-add, or int32 maxima.
"""

import triton
import triton.language as tl

from .. import fixed

LOG2E = 1.4426950408889634
TILE = 16  # outputs of a tile and sources of a block; 32 take minutes to compile
WINDOW = 2 * TILE  # durations between a block of sources and a tile of outputs, and one more: whole quads
QUAD = 4  # rows that a lane loads at once, 16 bytes: they lie side by side
NEVER = fixed.NEVER  # forbidden, in both semirings: finite, so that differences are never NaN
FLOOR = fixed.FLOOR  # scores at or below it are forbidden
DEEP = -(2**29)  # int32 work saturates here; a maximum above it has met no saturated term
DARK = -1e30  # forbidden among 32-bit differences
# Every lost product is below 2^-126 of its reference, so a sum above this is exact to rounding.
TRUSTED = 2.0**-90

HIGH = 8  # bits of the low end of a span
FULL = 16  # bits of both ends: behind them, of a window, the outputs of sources that are all alive

_NEVER = tl.constexpr(NEVER)
_FLOOR = tl.constexpr(FLOOR)
_DEEP = tl.constexpr(DEEP)
_TILE = tl.constexpr(TILE)
_QUAD = tl.constexpr(QUAD)
_HIGH = tl.constexpr(HIGH)
_LOW = tl.constexpr((1 << HIGH) - 1)
_ALL = tl.constexpr((1 << TILE) - 1)


@triton.jit
def alive(x):
    """Return whether scores are not forbidden."""
    return x > _FLOOR


@triton.jit
def plus(x, y):
    """Return the product of two scores: their sum, forbidden where the first is."""
    return tl.where(x > _FLOOR, x + y, _NEVER)


@triton.jit
def log2_1p(x):
    """Return log2(1 + x) of float32 0 <= x <= 1 to a few units in its own last place.

    The device's logarithm is good to 2^-22 whatever it comes to: too little for a sum that thousands of terms join.
    """
    s = x / (2.0 + x)
    t = s * s
    series = 1.0 + t * (
        0.33333333 + t * (0.2 + t * (0.14285714 + t * (0.11111111 + t * (0.09090909 + t * 0.07692308))))
    )
    return 2.8853900818 * s * series


@triton.jit
def combine(x, y, MAX: tl.constexpr):
    """Return the sum of two scores: the larger, or log2(2^x + 2^y)."""
    top = tl.maximum(x, y)
    if not MAX:
        small = (tl.minimum(x, y) - top).to(tl.float32)
        top = tl.where(top > _FLOOR, top + log2_1p(tl.exp2(small)), _NEVER)
    return top


@triton.jit
def narrow(x, MAX: tl.constexpr):
    """Return differences to a reference as 32-bit work."""
    if MAX:
        return tl.maximum(x, _DEEP).to(tl.int32)
    else:  # a second return type is an error otherwise
        return tl.exp2(x.to(tl.float32))


def span_of(low, high):
    """Return two small row numbers as one."""
    return low | high << HIGH


@triton.jit
def outputs_of(first, last, window):
    """Return bits of the outputs of a tile that sources first..last may reach by the durations of a span."""
    low = (window & _LOW) + first - (_TILE - 1)
    last = (window >> _HIGH & _LOW) + last - 2 * (_TILE - 1)  # counted from the last output
    every = tl.zeros_like(low) + _ALL
    return (every << tl.maximum(low, 0)) & (every >> tl.maximum(-last, 0))


@triton.jit
def in_quads(row, c, C: tl.constexpr):
    """Return where a row of a label stands among quads of rows, label by label."""
    return row // _QUAD * (_QUAD * C) + c * _QUAD + row % _QUAD


@triton.jit
def load_quads(at, STRIDE: tl.constexpr, N: tl.constexpr, SHARED: tl.constexpr):
    """Return N rows as a tuple, so that they stay in registers; quads of them stand `STRIDE` apart.

    What programs share (SHARED) stays in the nearest cache, and what only one reads, once a tile, does not push it out.
    """
    out = ()
    for i in tl.static_range(N // _QUAD):
        quad = (at + i * STRIDE)[:, None] + tl.arange(0, _QUAD)[None, :]
        rows = tl.load(quad, eviction_policy="evict_last") if SHARED else tl.load(quad, cache_modifier=".cg")
        even, odd = tl.split(tl.reshape(rows, [rows.shape[0], 2, 2]))
        first, third = tl.split(even)
        second, fourth = tl.split(odd)
        out = out + (first, second, third, fourth)
    return out


@triton.jit
def scaled(work, scale, MAX: tl.constexpr):
    """Return a block of work moved to another reference."""
    out = ()
    for i in tl.static_range(len(work)):
        out = out + ((work[i] + scale) if MAX else (work[i] * scale),)
    return out


@triton.jit
def lowered(acc, amount, MAX: tl.constexpr):
    """Return outputs relative to a higher reference; what sinks too deep stays at the bottom."""
    out = ()
    for j in tl.static_range(len(acc)):
        out = out + (tl.maximum(acc[j] + amount, _DEEP) if MAX else (acc[j] * amount),)
    return out


@triton.jit
def add_pairs(acc, work, window, MAX: tl.constexpr):
    """Return outputs with every pair of a block of sources and a tile of outputs added; output j, source i: j - i."""
    out = ()
    for j in tl.static_range(len(acc)):
        x = acc[j]
        for i in tl.static_range(len(work)):
            if MAX:
                x = tl.maximum(x, work[i] + window[j - i + len(work) - 1])
            else:
                x += work[i] * window[j - i + len(work) - 1]
        out = out + (x,)
    return out


@triton.jit
def filled(shape: tl.constexpr, value: tl.constexpr, dtype: tl.constexpr, N: tl.constexpr):
    """Return a tuple of N constant tensors."""
    out = ()
    for _ in tl.static_range(N):
        out = out + (tl.full(shape, value, dtype),)
    return out
