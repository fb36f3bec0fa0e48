"""Emissions with a label's mean taken off: a part of the model that is chosen, and never a means to stay in range.

Taking a mean `m[c]` off every position of label c adds `-k m[c]` to the score of a segment of k positions: a tilt of
its duration law that differs from sequence to sequence. Where labels are out of balance the common one's mean is high,
so positions and segments go over to rare ones. The kernels keep their range without it.
"""

from typing import Literal

import torch
from torch import Tensor

from .hidden_states import inside

Centring = Literal["per-sequence", "running"]
KINDS = ("per-sequence", "running")


def centred(emissions: Tensor, lengths: Tensor, how: Centring) -> Tensor:
    """Return (B, T, C) emissions less the mean of each label: of the sequence, or of all positions up to each one.

    Forbidden positions stay so and count in no mean; what lies behind a sequence's end is in none either.
    """
    counted = inside(emissions, lengths)[..., None] & (emissions > -torch.inf)
    values, ones = torch.where(counted, emissions, 0.0).double(), counted.double()
    if how == "per-sequence":
        mean = values.sum(1, keepdim=True) / ones.sum(1, keepdim=True).clamp(min=1)
    else:
        mean = values.cumsum(1) / ones.cumsum(1).clamp(min=1)
    return emissions - mean.to(emissions.dtype)
