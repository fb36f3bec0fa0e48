"""Emissions in fixed point on the device: the same integers as `fixed.quantised_emissions`, bit for bit.

Inside a grid block the carry is a plain integer sum of rounded fractions, so a tile at a time gives what a position at
a time gives. A program owns one grid block of one item; nothing depends on other blocks.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from .. import fixed
from .pieces import cdiv, power_of_2

NARROW = 16_000.0  # nats: what surely fits into int32 units, with room for the carry
SPAN = 16  # tiles that a program looks at
TILE = 1024  # scores a program holds at once


@triton.jit(do_not_specialize=["lead", "T", "C", "blocks"])
def emissions_quantise_kernel(
    x, slope, lengths, out, lead, T, C, blocks, stride_b, stride_t, stride_c,
    GRID: tl.constexpr, FINE: tl.constexpr, FORBIDDEN: tl.constexpr, BLOCK_T: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """Fill `out` (B, T, C) of one item, grid block and block of labels; `lead` is the origin modulo GRID."""
    item = (tl.program_id(0) // blocks).to(tl.int64)
    block = tl.program_id(0) % blocks
    label = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)  # [BLOCK_C]
    length = tl.load(lengths + item)
    moved = tl.load(slope + label, mask=label < C, other=0.0)
    x += item * stride_b
    out += item * T * C
    half = 1 << (FINE - 17)
    carry = tl.zeros([BLOCK_C], tl.int64)
    base = block.to(tl.int64) * GRID - lead
    start = tl.maximum(base, 0)
    stop = tl.minimum(base + GRID, T)
    while start < stop:
        t = start + tl.arange(0, BLOCK_T)  # [BLOCK_T]
        inside = (t < stop)[:, None] & (label < C)[None, :]
        given = inside & (t < length)[:, None]
        e = tl.load(x + t[:, None] * stride_t + label[None, :] * stride_c, mask=given, other=float("-inf"))
        e = e.to(tl.float64)
        alive = e > float("-inf")
        e = tl.where(alive, e, 0.0) + moved[None, :]
        whole = tl.floor(e)
        fraction = (e - whole) * (1 << FINE)
        # half to even, in integers: no compiler can take it for something simpler
        fine = fraction.to(tl.int64)
        rest = fraction - fine.to(tl.float64)
        fine += ((rest > 0.5) | ((rest == 0.5) & ((fine & 1) == 1))).to(tl.int64)
        fine = tl.where(alive, fine, 0)
        sums = carry[None, :] + tl.cumsum(fine, 0)
        carry += tl.sum(fine, 0)
        units = whole.to(tl.int64) * (1 << 16) + ((sums + half) >> (FINE - 16)) - ((sums - fine + half) >> (FINE - 16))
        units = tl.where(alive, units, FORBIDDEN).to(out.dtype.element_ty)
        tl.store(out + t[:, None] * C + label[None, :], units, mask=inside)
        start += BLOCK_T


def is_narrow(highest: Any) -> Any:
    """Return whether sums of an emission and its slope, in absolute value no larger, fit into 32 bits: of a float or a
    tensor.
    """
    return highest < NARROW


def quantised_emissions(emissions: Tensor, slope: Tensor, origin: int, lengths: Tensor, narrow: bool) -> Tensor:
    """Return (B, T, C) emissions plus slope in fixed-point units, the smallest integer where forbidden or padding.

    int32 where they are `narrow`, else int64.
    """
    B, T, C = emissions.shape
    dtype = torch.int32 if narrow else torch.int64
    out = torch.empty((B, T, C), dtype=dtype, device=emissions.device)
    BLOCK_C = min(32, power_of_2(C))
    blocks = cdiv(origin % fixed.GRID + T, fixed.GRID)
    emissions_quantise_kernel[(B * blocks, cdiv(C, BLOCK_C))](
        emissions, slope.to(emissions.device, torch.float64), lengths.to(emissions.device, torch.int64), out,
        origin % fixed.GRID, T, C, blocks, *emissions.stride(),
        GRID=fixed.GRID, FINE=fixed.FINE, FORBIDDEN=torch.iinfo(dtype).min, BLOCK_T=TILE // BLOCK_C, BLOCK_C=BLOCK_C,
        num_warps=4,
    )  # fmt: skip
    return out


@triton.jit
def bounds_kernel(
    rows, lengths, sums, tops, dead, T, blocks, C: tl.constexpr, BLOCK_T: tl.constexpr, BLOCK_C: tl.constexpr,
    TILES: tl.constexpr,
):  # fmt: skip
    """Write for a block of rows: sum and maximum of a row's largest finite absolute value, and whether any is -inf."""
    block = tl.program_id(0)
    item = (block // blocks).to(tl.int64)
    block = block % blocks
    c = tl.arange(0, BLOCK_C)[None, :]
    stop = tl.load(lengths + item).to(tl.int32)
    rows += item * T * C
    total = tl.zeros([BLOCK_T], tl.float64)
    highest = tl.zeros([BLOCK_T], tl.float64)
    forbidden = tl.zeros([BLOCK_T], tl.int32)
    for tile in range(TILES):
        t = (block * TILES + tile) * BLOCK_T + tl.arange(0, BLOCK_T)[:, None]
        inside = (t < stop) & (c < C)
        x = tl.abs(tl.load(rows + t.to(tl.int64) * C + c, mask=inside, other=0).to(tl.float64))
        low = x == float("inf")
        largest = tl.max(tl.where(low, 0.0, x), 1)
        total += largest
        highest = tl.maximum(highest, largest)
        forbidden = forbidden | tl.max(low.to(tl.int32), 1)
    at = item * blocks + block
    tl.store(sums + at, tl.sum(total, 0))
    tl.store(tops + at, tl.max(highest, 0))
    tl.store(dead + at, tl.max(forbidden, 0).to(tl.float64))


def bounds(rows: Tensor, lengths: Tensor) -> Tensor:
    """Return (3, B) float64: sum and maximum of a row's largest finite absolute value, and 1 where any is -inf."""
    B, T, C = rows.shape
    block_c = power_of_2(C)
    block_t = max(1, 1024 // block_c)
    blocks = cdiv(T, block_t * SPAN)
    found = torch.empty(3, B, blocks, dtype=torch.float64, device=rows.device)
    bounds_kernel[(B * blocks,)](  # the other axes of a grid end at 65,535
        rows.contiguous(), lengths.to(rows.device), found[0], found[1], found[2], T, blocks,
        C=C, BLOCK_T=block_t, BLOCK_C=block_c, TILES=SPAN,
    )  # fmt: skip
    if blocks == 1:
        return found[:, :, 0]
    return torch.stack([found[0].sum(1), found[1].amax(1), found[2].amax(1)])
