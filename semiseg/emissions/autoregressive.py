"""Numbers that follow from the ones before: a linear prediction of each channel from its own past, by state.

A value counts where it and all that it is predicted from are known. That is the likelihood given the first values of
a stretch; to sum over what is missing inside one would take a Kalman filter a path.
"""

import math
from typing import Any

import torch
from torch import Tensor

from ..errors import SemisegError
from ..survey import Survey

NARROWEST = 1e-6  # of a channel's variance
RIDGE = 1e-9  # of the mean square of what is predicted from: keeps constants solvable


class Autoregressive:
    """`weights` (C, D, order + 1) of the values before, the nearest first, and 1; `variance` (C, D) of the rest."""

    def __init__(self, survey: Survey, order: int = 4) -> None:
        if order < 1:
            raise SemisegError(f"--family autoregressive: its order must be at least 1, got {order}")
        self.order = self.context = order
        self.mean, self.variance = torch.from_numpy(survey.mean), torch.from_numpy(survey.variance)

    def _rows(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return (B, n, D, order + 2): what is predicted from, 1 and the value, or 0; and where all of it is known."""
        z = (x - self.mean.to(x)) / self.variance.to(x).sqrt()
        n = z.shape[-2] - self.order
        past = [z[..., self.order - lag : self.order - lag + n, :] for lag in range(1, self.order + 1)]
        now = z[..., self.order :, :]
        rows = torch.stack([*past, torch.ones_like(now), now], -1)
        there = ~rows.isnan().any(-1)
        return torch.where(there[..., None], rows, 0), there

    def foreign(self, x: Tensor) -> Tensor:
        return x.isinf()

    def density(self, parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        rows, there = self._rows(x)
        weights, variance = parameters["weights"].to(rows), parameters["variance"].to(rows) / self.variance.to(rows)
        constant = -0.5 * (variance.log() + math.log(2 * math.pi) + self.variance.to(rows).log())
        out = there.to(rows.dtype) @ constant.T
        for state, (w, v) in enumerate(zip(weights, variance, strict=True)):  # one by one: it is states times larger
            error = rows[..., -1] - (rows[..., :-1] * w).sum(-1)
            out[..., state] -= 0.5 * (error**2 / v).sum(-1)
        return out

    def statistics(self, x: Tensor, weights: Tensor) -> dict[str, Tensor]:
        rows, there = self._rows(x)
        w = weights.flatten(0, -2).T
        moments = (rows[..., :, None] * rows[..., None, :]).flatten(0, 1)  # (N, D, order + 2, order + 2)
        sums = (w @ moments.flatten(1)).double()
        return {
            "moments": sums.reshape(len(w), *moments.shape[1:]),
            "n": (w @ there.to(w.dtype).flatten(0, -2)).double(),
        }

    def update(self, statistics: dict[str, Tensor], parameters: dict[str, Tensor] | None) -> dict[str, Tensor]:
        n, moments = statistics["n"], statistics["moments"]
        A, b, square = moments[..., :-1, :-1], moments[..., :-1, -1], moments[..., -1, -1]
        ridge = RIDGE * A.diagonal(dim1=-2, dim2=-1).mean(-1).clamp(min=1e-12)
        A = A + ridge[..., None, None] * torch.eye(A.shape[-1], dtype=A.dtype, device=A.device)
        weights = torch.linalg.solve(A, b)
        scale = self.variance.to(n)
        variance = ((square - (weights * b).sum(-1)) / n.clamp(min=1e-300)).clamp(min=NARROWEST) * scale
        if parameters is None:
            parameters = {"weights": torch.zeros_like(b), "variance": scale.expand_as(n)}
        some = n > 0
        return {
            "weights": torch.where(some[..., None], weights, parameters["weights"]),
            "variance": torch.where(some, variance, parameters["variance"]),
        }

    def coordinates(self, x: Tensor) -> Tensor:
        """Return the values, and how much they move: what a prediction differs by."""
        z = (x - self.mean.to(x)) / self.variance.to(x).sqrt()
        move = (z[..., self.order :, :] - z[..., self.order - 1 : -1, :]).abs()
        return torch.nan_to_num(torch.cat([z[..., self.order :, :], move], -1))

    def profile(self, parameters: dict[str, Tensor]) -> Tensor:
        """Return where a state rests: the mean that predicts itself; the channel's where it has none."""
        w = parameters["weights"]
        rest = 1 - w[..., :-1].sum(-1)
        level = torch.where(rest.abs() > 1e-2, w[..., -1] / rest, 0)
        return level * self.variance.to(w).sqrt() + self.mean.to(w)

    def free(self, parameters: dict[str, Tensor]) -> int:
        return parameters["weights"].numel() + parameters["variance"].numel()

    def sample(self, parameters: dict[str, Tensor], states: Tensor, generator: Any) -> Tensor:
        w, deviation = parameters["weights"], (parameters["variance"] / self.variance.to(parameters["variance"])).sqrt()
        z = torch.zeros(self.order + len(states), w.shape[1], dtype=w.dtype)
        noise = torch.randn(len(states), w.shape[1], dtype=w.dtype, generator=generator)
        for t, c in enumerate(states.tolist()):
            past = z[t : t + self.order].flip(0).T  # (D, order), the nearest first
            z[t + self.order] = (w[c, :, :-1] * past).sum(-1) + w[c, :, -1] + noise[t] * deviation[c]
        return z[self.order :] * self.variance.sqrt() + self.mean
