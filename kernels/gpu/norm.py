"""Normalisation over channels that lie side by side, a row of a warp each: what PyTorch spends a block a row on."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from .pieces import cdiv, power_of_2

ROWS = 8  # of a program


@triton.jit
def norm_kernel(x, weight, bias, out, rows, eps, C: tl.constexpr, CP: tl.constexpr, ROWS: tl.constexpr):
    """Fill `out` [rows, C] with rows of mean 0 and variance 1, scaled and shifted by channel."""
    row = (tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS))[:, None]
    c = tl.arange(0, CP)[None, :]
    known = (row < rows) & (c < C)
    value = tl.load(x + row * C + c, known, 0.0).to(tl.float32)
    centred = tl.where(known, value - tl.sum(value, 1, keep_dims=True) / C, 0.0)
    spread = tl.rsqrt(tl.sum(centred * centred, 1, keep_dims=True) / C + eps)
    scale, shift = tl.load(weight + c, c < C, 0.0).to(tl.float32), tl.load(bias + c, c < C, 0.0).to(tl.float32)
    tl.store(out + row * C + c, (centred * spread * scale + shift).to(out.dtype.element_ty), known)


def channel_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
    """Return (..., C) rows normalised, of another dtype; x is contiguous."""
    out = torch.empty_like(x, dtype=dtype)
    C = x.shape[-1]
    rows = x.numel() // C
    norm_kernel[(cdiv(rows, ROWS),)](x, weight, bias, out, rows, eps, C=C, CP=power_of_2(C), ROWS=ROWS, num_warps=4)
    return out
