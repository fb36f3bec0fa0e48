"""Marks that are there or not: one probability a state and channel."""

from typing import Any

import torch
from torch import Tensor

from ..errors import SemisegError
from ..survey import Survey

SUREST = 1e-6  # no probability is nearer to 0 or 1: clipping is the best there is within these bounds


class Bernoulli:
    """Values of 0 and 1; `p` (C, D)."""

    context = 0

    def __init__(self, survey: Survey) -> None:
        if not survey.binary.all():
            channel = survey.channels[int((~survey.binary).argmax())]
            raise SemisegError(f"--family bernoulli: channel {channel} has values other than 0 and 1")
        self.spread = torch.from_numpy(survey.variance).sqrt()

    def foreign(self, x: Tensor) -> Tensor:
        return (x != 0) & (x != 1) & ~x.isnan()

    def density(self, parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        p = parameters["p"].to(x.dtype)
        return (x == 1).to(x.dtype) @ p.log().T + (x == 0).to(x.dtype) @ torch.log1p(-p).T

    def statistics(self, x: Tensor, weights: Tensor) -> dict[str, Tensor]:
        w = weights.flatten(0, -2).T
        x = x.flatten(0, -2)
        return {name: (w @ (x == value).to(w.dtype)).double() for name, value in (("ones", 1), ("zeros", 0))}

    def update(self, statistics: dict[str, Tensor], parameters: dict[str, Tensor] | None) -> dict[str, Tensor]:
        ones, zeros = statistics["ones"], statistics["zeros"]
        before = torch.full_like(ones, 0.5) if parameters is None else parameters["p"]
        n = ones + zeros
        return {"p": torch.where(n > 0, ones / n.clamp(min=1e-300), before).clamp(SUREST, 1 - SUREST)}

    def coordinates(self, x: Tensor) -> Tensor:
        return torch.nan_to_num(x) / self.spread.to(x)

    def profile(self, parameters: dict[str, Tensor]) -> Tensor:
        return parameters["p"]

    def free(self, parameters: dict[str, Tensor]) -> int:
        return parameters["p"].numel()

    def sample(self, parameters: dict[str, Tensor], states: Tensor, generator: Any) -> Tensor:
        return torch.bernoulli(parameters["p"][states], generator=generator)
