"""Where states from the left meet states from the right: what lies ahead of open segments, normalisers, distances."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from .model import Model
from .pieces import cdiv
from .states import States
from .tiles import DARK, FLOOR, LOG2E, NEVER

_NEVER = tl.constexpr(NEVER)
_FLOOR = tl.constexpr(FLOOR)
_DARK = tl.constexpr(DARK)


@triton.jit(do_not_specialize=["ages", "columns"])
def meet_kernel(
    open_, law, longest, period, out, ages, columns, C: tl.constexpr, NEAR: tl.constexpr, BEYOND: tl.constexpr
):
    """Fill `out[n, c, a - 1]` with the sum over ages b on the other side of `open_[n, c, b - 1] + law[c, a + b]`."""
    n, c = tl.program_id(0).to(tl.int64), tl.program_id(1)
    first = tl.program_id(2) * NEAR + 1
    a = first + tl.arange(0, NEAR)
    tail = tl.load(period + c)
    reach = tl.load(longest + c) + tail
    if first > reach:
        return
    open_ += (n * C + c) * ages - 1
    law += c * columns
    base = tl.full([], _NEVER, tl.float64)
    for b0 in range(1, reach + 1, 256):
        b = b0 + tl.arange(0, 256)
        base = tl.maximum(base, tl.max(tl.load(open_ + b, mask=b <= reach, other=_NEVER), 0))
    best = tl.full([NEAR], _DARK, tl.float32)
    total = tl.zeros([NEAR], tl.float32)
    # without a tail, nothing is longer than the longest
    stop = tl.where(tail > 0, reach, reach - first)
    for b0 in range(1, stop + 1, BEYOND):
        b = b0 + tl.arange(0, BEYOND)
        there = tl.load(open_ + b, mask=b <= reach, other=_NEVER)
        there = tl.where(there > _FLOOR, (there - base).to(tl.float32), _DARK)
        x = there[None, :] + tl.load(law + a[:, None] + b[None, :])
        top = tl.maximum(best, tl.max(x, 1))
        total = total * tl.exp2(best - top) + tl.sum(tl.exp2(x - top[:, None]), 1)
        best = top
    value = tl.where(best > _DARK / 2, base + (best + tl.log2(total)).to(tl.float64), _NEVER)
    tl.store(out + (n * C + c) * ages + a - 1, value, mask=a <= reach)


def meet(model: Model, open_: Tensor) -> Tensor:
    """Return (n, A, C) what lies ahead of open segments, by their age, where the other side stands open like this."""
    n, ages, C = open_.shape
    if n * ages == 0:
        return open_
    by_label = open_.transpose(1, 2).contiguous()
    out = torch.full_like(by_label, NEVER)
    near, beyond = 64, 32
    meet_kernel[(n, C, cdiv(ages, near))](
        by_label, model.law_rows, model.longest, model.period, out, ages, model.law_rows.shape[1],
        C=C, NEAR=near, BEYOND=beyond,
    )  # fmt: skip
    return out.transpose(1, 2)


def begin(model: Model, way: int, alpha: Tensor, phase: Tensor, scores: Tensor) -> Tensor:
    """Return (n, C) scores of segments that begin where `alpha` (n, C) ended; `scores` (n, columns) of the boundary."""
    source = model.arc_source[way, phase].long()  # (n, D, C)
    x = alpha[:, None].expand(-1, source.shape[1], -1).gather(2, source.clamp(min=0))
    x = torch.where((source >= 0) & (x > FLOOR), x + model.arc_score[way, phase], NEVER)
    for m in range(model.sizes.maps):
        kind = model.arc_type[way, phase, ..., m].long()
        evidence = scores[:, None].expand(-1, kind.shape[1], -1).gather(2, kind.clamp(min=0)).to(x.dtype) * LOG2E
        x = torch.where((kind < 0) & (x > FLOOR), x, torch.where((kind >= 0) & (evidence > FLOOR), x + evidence, NEVER))
    return log_sum(x, 1)


def log_sum(x: Tensor, dim: int | tuple[int, ...]) -> Tensor:
    """Return the log2 of summed powers of 2, at or below FLOOR where nothing is alive."""
    top = x.amax(dim, keepdim=True)
    return (x - top).exp2().sum(dim).log2() + top.squeeze(dim)


def entries(h: Tensor, open_: Tensor, alpha: Tensor, ahead: Tensor) -> Tensor:
    """Return (n, 1 + A, C) all that goes through a boundary: what begins there, then what is open across it.

    Sums of which either part is forbidden lie below FLOOR.
    """
    return torch.cat([(h + alpha)[:, None], open_ + ahead], 1)


def total_variation(there: Tensor, here: Tensor) -> tuple[Tensor, Tensor]:
    """Return (n,) distances between two weightings of the same entries, and the logs of their sums' ratios."""
    u, v = log_sum(there, (1, 2)), log_sum(here, (1, 2))
    p, q = (there - u[:, None, None]).exp2(), (here - v[:, None, None]).exp2()
    distance = 0.5 * (p - q).abs().sum((1, 2))
    dead, none = (u <= FLOOR) | (v <= FLOOR), (u <= FLOOR) & (v <= FLOOR)
    return torch.where(none, 0.0, torch.where(dead, 1.0, distance)), torch.where(dead, 0.0, u - v)


def same_up_to_constant(there: States, here: States, slack: float = 0) -> tuple[Tensor, Tensor]:
    """Return (n,) whether states differ by one constant only, up to `slack`, and the constant `there - here`."""
    flat = lambda s: torch.cat([s.alpha, s.first, s.open.flatten(1)], 1)  # noqa: E731
    u, v = flat(there), flat(here)
    live = u > FLOOR
    d = u - v
    high = torch.where(live, d, -(2**62)).amax(1)
    low = torch.where(live, d, 2**62).amin(1)
    agree = (live == (v > FLOOR)).all(1) & (high <= low + slack)
    middle = high if slack == 0 else (high + low) / 2
    return agree, torch.where(agree & live.any(1), middle, 0)
