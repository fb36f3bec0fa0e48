"""Any numbers, and features of windows: a mean and a variance a state and channel."""

import math
from typing import Any

import torch
from torch import Tensor

from ..survey import Survey

NARROWEST = 1e-4  # of a channel's variance: a state may not collapse on one value


class Gaussian:
    """Channels independent given the state; `mean` and `variance` (C, D)."""

    context = 0

    def __init__(self, survey: Survey) -> None:
        self.mean, self.variance = torch.from_numpy(survey.mean), torch.from_numpy(survey.variance)

    def foreign(self, x: Tensor) -> Tensor:
        return x.isinf()

    def density(self, parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        z, there = self._standard(x)
        mean, variance = self._own(parameters, z)
        # (z - m)^2 / v multiplied out, so that no tensor has states and channels both
        constant = -0.5 * (mean**2 / variance + variance.log() + math.log(2 * math.pi) + self.variance.to(z).log())
        return z**2 @ (-0.5 / variance).T + z @ (mean / variance).T + there @ constant.T

    def statistics(self, x: Tensor, weights: Tensor) -> dict[str, Tensor]:
        z, there = (v.flatten(0, -2) for v in self._standard(x))
        w = weights.flatten(0, -2).T
        return {name: (w @ v).double() for name, v in (("n", there), ("sum", z), ("square", z**2))}

    def update(self, statistics: dict[str, Tensor], parameters: dict[str, Tensor] | None) -> dict[str, Tensor]:
        n = statistics["n"]
        some = n.clamp(min=1e-300)
        mean = statistics["sum"] / some
        variance = (statistics["square"] / some - mean**2).clamp(min=NARROWEST)
        location, scale = self.mean.to(n), self.variance.to(n)
        found = {"mean": mean * scale.sqrt() + location, "variance": variance * scale}
        if parameters is None:
            parameters = {"mean": location.expand_as(n), "variance": scale.expand_as(n)}
        return {name: torch.where(n > 0, value, parameters[name]) for name, value in found.items()}

    def _standard(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return values in units of their channel, 0 where unknown, and 1 where known."""
        there = ~x.isnan()
        z = (x - self.mean.to(x)) / self.variance.to(x).sqrt()
        return torch.where(there, z, 0), there.to(x.dtype)

    def _own(self, parameters: dict[str, Tensor], z: Tensor) -> tuple[Tensor, Tensor]:
        """Return means and variances in the same units."""
        scale = self.variance.to(parameters["mean"])
        mean = (parameters["mean"] - self.mean.to(scale)) / scale.sqrt()
        return mean.to(z.dtype), (parameters["variance"] / scale).to(z.dtype)

    def coordinates(self, x: Tensor) -> Tensor:
        return self._standard(x)[0]

    def profile(self, parameters: dict[str, Tensor]) -> Tensor:
        return parameters["mean"]

    def free(self, parameters: dict[str, Tensor]) -> int:
        return 2 * parameters["mean"].numel()

    def sample(self, parameters: dict[str, Tensor], states: Tensor, generator: Any) -> Tensor:
        return torch.normal(parameters["mean"][states], parameters["variance"][states].sqrt(), generator=generator)
