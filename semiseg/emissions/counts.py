"""Counts of reads: negative binomial, and with more zeros than it has.

The size has no closed form: it is searched for along one line a state and channel, with the mean at its best. What is
summed up are histograms. Counts above EXACT stand on a grid of 2 % steps, for the likelihood too.
"""

import math
from typing import Any

import torch
from torch import Tensor

from ..errors import SemisegError
from ..survey import Survey

EXACT = 256  # counts below it are kept as they are
STEPS = 32  # an octave, of those above
LEAST, MOST = 1e-3, 1e4  # sizes: beyond, a Poisson
SEARCH = 24  # golden sections
INNER = 3  # steps for the share of zeros
FEW = 1e-6  # smallest mean


class NegativeBinomial:
    """`mean` and `size` (C, D): variance = mean + mean^2 / size."""

    context = 0
    name = "negative-binomial"

    def __init__(self, survey: Survey) -> None:
        if not survey.counts.all():
            channel = survey.channels[int((~survey.counts).argmax())]
            raise SemisegError(f"--family {self.name}: channel {channel} has values that are no counts")
        self.values = grid(float(survey.most.max()))
        self.mean = torch.from_numpy(survey.mean)

    def codes(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return (N, D) rows of the grid, 0 where unknown, and where known."""
        x = x.flatten(0, -2)
        there = ~x.isnan()
        value = torch.nan_to_num(x).double()
        above = EXACT + (torch.log2(value.clamp(min=EXACT) / EXACT) * STEPS).round()
        code = torch.where(value < EXACT, value, above).long()
        return code.clamp(max=len(self.values) - 1), there

    def table(self, parameters: dict[str, Tensor]) -> Tensor:
        """Return (C, D, V) log probabilities of the grid's values."""
        return log_negative_binomial(self.values.to(parameters["mean"]), parameters["mean"], parameters["size"])

    def foreign(self, x: Tensor) -> Tensor:
        return ((x < 0) | (x != x.round()) | x.isinf()) & ~x.isnan()

    def density(self, parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        code, there = self.codes(x)
        table = self.table(parameters).to(x.dtype).permute(1, 2, 0)  # (D, V, C)
        out = x.new_zeros(len(code), table.shape[-1])
        for d in range(len(table)):
            out += torch.where(there[:, d, None], table[d][code[:, d]], 0)
        return out.reshape(*x.shape[:-1], -1)

    def statistics(self, x: Tensor, weights: Tensor) -> dict[str, Tensor]:
        code, there = self.codes(x)
        w = weights.flatten(0, -2).double()
        out = w.new_zeros(code.shape[1], len(self.values), w.shape[1])
        for d in range(len(out)):
            out[d].index_add_(0, code[:, d], torch.where(there[:, d, None], w, 0))
        return {"histogram": out.permute(2, 0, 1).contiguous()}  # (C, D, V)

    def begin(self, histogram: Tensor) -> dict[str, Tensor]:
        """Return what to improve on where nothing is known yet."""
        mean = self.mean.to(histogram).expand(histogram.shape[:2]).clamp(min=FEW)
        return {"mean": mean, "size": torch.ones_like(mean)}

    def update(self, statistics: dict[str, Tensor], parameters: dict[str, Tensor] | None) -> dict[str, Tensor]:
        histogram = statistics["histogram"]
        before = self.begin(histogram) if parameters is None else parameters
        mean, size = best(histogram, self.values.to(histogram), before["size"])
        some = histogram.sum(-1) > 0
        return {"mean": torch.where(some, mean, before["mean"]), "size": torch.where(some, size, before["size"])}

    def coordinates(self, x: Tensor) -> Tensor:
        scale = torch.log1p(self.mean.to(x))
        return torch.nan_to_num(torch.log1p(x) / scale.clamp(min=0.1))

    def profile(self, parameters: dict[str, Tensor]) -> Tensor:
        return parameters["mean"]

    def free(self, parameters: dict[str, Tensor]) -> int:
        return sum(x.numel() for x in parameters.values())

    def sample(self, parameters: dict[str, Tensor], states: Tensor, generator: Any) -> Tensor:
        mean, size = parameters["mean"][states], parameters["size"][states]
        rate = torch._standard_gamma(size, generator=generator) * mean / size
        return torch.poisson(rate, generator=generator)


class ZeroInflated(NegativeBinomial):
    """`zero` (C, D): the share of values that are 0 for another reason than chance."""

    name = "zero-inflated"

    def table(self, parameters: dict[str, Tensor]) -> Tensor:
        zero = parameters["zero"]
        counts = torch.log1p(-zero)[..., None] + super().table(parameters)
        first = torch.logaddexp(zero.log(), counts[..., 0])
        return torch.cat([first[..., None], counts[..., 1:]], -1)

    def begin(self, histogram: Tensor) -> dict[str, Tensor]:
        before = super().begin(histogram)
        return {**before, "zero": torch.full_like(before["mean"], 0.1)}

    def update(self, statistics: dict[str, Tensor], parameters: dict[str, Tensor] | None) -> dict[str, Tensor]:
        histogram = statistics["histogram"]
        now = self.begin(histogram) if parameters is None else parameters
        n = histogram.sum(-1)
        for _ in range(INNER):
            whole = self.table(now)[..., 0]
            other = histogram[..., 0] * torch.exp(now["zero"].log() - whole)  # zeros for another reason
            counted = torch.cat([(histogram[..., 0] - other)[..., None], histogram[..., 1:]], -1)
            found = super().update({"histogram": counted}, now)
            zero = torch.where(n > 0, other / n.clamp(min=1e-300), now["zero"]).clamp(1e-6, 1 - 1e-6)
            now = {**found, "zero": zero}
        return now

    def profile(self, parameters: dict[str, Tensor]) -> Tensor:
        return parameters["mean"] * (1 - parameters["zero"])

    def sample(self, parameters: dict[str, Tensor], states: Tensor, generator: Any) -> Tensor:
        there = torch.bernoulli(1 - parameters["zero"][states], generator=generator)
        return super().sample(parameters, states, generator) * there


def grid(most: float) -> Tensor:
    """Return (V,) the values that counts up to `most` are rounded to."""
    octaves = max(0.0, math.log2(max(most, 1) / EXACT)) if most >= EXACT else 0.0
    above = EXACT * 2 ** (torch.arange(math.ceil(octaves * STEPS) + 1, dtype=torch.float64) / STEPS)
    exact = torch.arange(min(EXACT, int(most) + 1), dtype=torch.float64)
    return torch.cat([exact, above]) if most >= EXACT else exact


def log_negative_binomial(x: Tensor, mean: Tensor, size: Tensor) -> Tensor:
    """Return (..., V) log probabilities of values under means and sizes (...)."""
    m, r = mean[..., None], size[..., None]
    return (
        torch.lgamma(x + r) - torch.lgamma(r) - torch.lgamma(x + 1)
        - r * torch.log1p(m / r) + x * (m.log() - torch.log(m + r))
    )  # fmt: skip


def best(histogram: Tensor, values: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
    """Return means and sizes (C, D) that fit histograms (C, D, V); a size is looked for near the one before."""
    n = histogram.sum(-1)
    mean = ((histogram @ values) / n.clamp(min=1e-300)).clamp(min=FEW)
    seen = histogram.sum((0, 1)) > 0  # most of a grid is empty
    histogram, values = histogram[..., seen], values[seen]

    def gain(log_size: Tensor) -> Tensor:
        return (histogram * log_negative_binomial(values, mean, log_size.exp())).sum(-1)

    low, high = size.log() - 2, size.log() + 2
    ratio = (math.sqrt(5) - 1) / 2
    for _ in range(SEARCH):
        a, b = high - ratio * (high - low), low + ratio * (high - low)
        left = gain(a) > gain(b)
        low, high = torch.where(left, low, a), torch.where(left, b, high)
    found = ((low + high) / 2).clamp(math.log(LEAST), math.log(MOST))
    return mean, torch.where(gain(found) >= gain(size.log()), found, size.log()).exp()
