"""Where states from the left meet states from the right: what lies ahead of open segments, normalisers, distances."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from .model import Model
from .states import States
from .tiles import FLOOR, LOG2E, NEVER

_NEVER = tl.constexpr(NEVER)
_FLOOR = tl.constexpr(FLOOR)


@triton.jit(do_not_specialize=["ages"])
def meet_kernel(
    open_, law, longest, period, out, ages, C: tl.constexpr, NEAR: tl.constexpr, BEYOND: tl.constexpr
):
    """Fill `out[n, a - 1, c]` with the sum over ages b on the other side of `open_[n, b - 1, c] + law[a + b, c]`."""
    n, c = tl.program_id(0).to(tl.int64), tl.program_id(1)
    a = tl.program_id(2) * NEAR + 1 + tl.arange(0, NEAR)
    reach = tl.load(longest + c) + tl.load(period + c)
    open_ += n * ages * C + c
    first = tl.program_id(2) * NEAR + 1
    best = tl.full([NEAR], _NEVER, tl.float64)
    total = tl.zeros([NEAR], tl.float32)
    # without a tail, nothing is longer than the longest
    stop = tl.where(tl.load(period + c) > 0, reach, reach - first)
    for b0 in range(1, stop + 1, BEYOND):
        b = b0 + tl.arange(0, BEYOND)
        there = tl.load(open_ + (b - 1) * C, mask=b <= reach, other=_NEVER)
        x = tl.load(law + (a[:, None] + b[None, :]) * C + c, mask=(a[:, None] <= reach) & (b[None, :] <= reach), other=_NEVER)
        x = tl.where(there[None, :] > _FLOOR, x + there[None, :], _NEVER)
        top = tl.maximum(best, tl.max(x, 1))
        total = total * tl.exp2((best - top).to(tl.float32))
        total += tl.sum(tl.exp2((x - top[:, None]).to(tl.float32)), 1)
        best = top
    value = tl.where(best > _FLOOR, best + tl.log2(total), _NEVER)
    tl.store(out + (n * ages + a - 1) * C + c, value, mask=a <= ages)


def meet(model: Model, open_: Tensor) -> Tensor:
    """Return (n, A, C) what lies ahead of every open segment, by its age, where the other side stands open like this."""
    n, ages, C = open_.shape
    out = torch.empty_like(open_)
    if n:
        near, beyond = 64, 32
        meet_kernel[(n, C, triton.cdiv(ages, near))](
            open_.contiguous(), model.law, model.longest, model.period, out, ages, C=C, NEAR=near, BEYOND=beyond
        )
    return out


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
    """Return the log2 of summed powers of 2, NEVER where nothing is alive."""
    top = x.amax(dim, keepdim=True)
    total = (x - top).exp2().sum(dim)
    top = top.squeeze(dim)
    return torch.where(top > FLOOR, top + total.log2(), NEVER)


def joined(x: Tensor, y: Tensor) -> Tensor:
    """Return sums of scores, NEVER where either is forbidden."""
    return torch.where((x > FLOOR) & (y > FLOOR), x + y, NEVER)


def entries(h: Tensor, open_: Tensor, alpha: Tensor, ahead: Tensor) -> Tensor:
    """Return (n, 1 + A, C) all that goes through a boundary: what begins there, then what is open across it."""
    return torch.cat([joined(h, alpha)[:, None], joined(open_, ahead)], 1)


def total_variation(there: Tensor, here: Tensor) -> tuple[Tensor, Tensor]:
    """Return (n,) distances between two weightings of the same entries, and the logs of their sums' ratios."""
    u, v = log_sum(there, (1, 2)), log_sum(here, (1, 2))
    p, q = (there - u[:, None, None]).exp2(), (here - v[:, None, None]).exp2()
    distance = 0.5 * (p - q).abs().sum((1, 2))
    dead, none = (u <= FLOOR) | (v <= FLOOR), (u <= FLOOR) & (v <= FLOOR)
    return torch.where(none, 0.0, torch.where(dead, 1.0, distance)), torch.where(dead, 0.0, u - v)


def same_up_to_constant(there: States, here: States) -> tuple[Tensor, Tensor]:
    """Return (n,) whether states differ by one constant only, and the constant `there - here`."""
    flat = lambda s: torch.cat([s.alpha, s.first, s.open.flatten(1)], 1)  # noqa: E731
    u, v = flat(there), flat(here)
    live = u > FLOOR
    d = u - v
    high = torch.where(live, d, -(2**62)).amax(1)
    low = torch.where(live, d, 2**62).amin(1)
    agree = (live == (v > FLOOR)).all(1) & (high <= low)
    return agree, torch.where(agree & live.any(1), high, 0)
