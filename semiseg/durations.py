"""Laws of durations: smooth families over explicit lengths, and a tail that goes on as the family does behind them.

A law is a distribution over k = shortest, shortest + 1, ...: explicit up to K, then every further position is
`exp(tail)` as likely. All families are normalised with their tails, so censored edges may sum over what they cut.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from .errors import SemisegError

FLATTEST = -1e-7  # of a tail: a mean of ten million positions
SHORTEST_TAIL = 1.01  # positions on average, of those behind the explicit lengths
KNOTS = 12  # of a spline, evenly in log k


class Table(NamedTuple):
    """Laws side by side, as the kernels take them."""

    durations: Tensor  # (K + 1, L) log probability of k positions; row 0 is unused
    longest: Tensor  # (L,) int64: explicit lengths
    tail: Tensor  # (L,) log weight of one more position behind them


class Law(nn.Module):
    """One law; a family gives log weights of k = 1..longest, up to a constant."""

    lengths: Tensor  # (K,) 1..K

    def __init__(self, longest: int, shortest: int = 1):
        super().__init__()
        if not 1 <= shortest < longest:
            raise SemisegError(f"durations: expected 1 <= shortest < longest, got {shortest} and {longest}")
        self.longest, self.shortest = longest, shortest
        self.register_buffer("lengths", torch.arange(1, longest + 1, dtype=torch.float64), persistent=False)

    def weights(self) -> Tensor:
        """Return (K,) float64 log weights."""
        raise NotImplementedError

    def slope(self, weights: Tensor) -> Tensor:
        """Return the tail's slope: as the family goes at its end, but never upwards."""
        return (weights[-1] - weights[-2]).clamp(max=FLATTEST)

    def forward(self) -> tuple[Tensor, Tensor]:
        """Return (K,) log probabilities and the tail's slope."""
        x = self.weights()
        tail = self.slope(x)
        x = torch.where(self.lengths < self.shortest, -torch.inf, x)
        beyond = x[-1] + tail - torch.log(-torch.expm1(tail))
        return x - torch.logsumexp(torch.cat([x, beyond[None]]), 0), tail


class Geometric(Law):
    """Every further position is as likely as the one before, from the first on: a Markov chain's."""

    def __init__(self, longest: int = 2, shortest: int = 1, mean: float = 150.0):
        super().__init__(longest, shortest)
        self.stay = nn.Parameter(torch.tensor(math.log(mean), dtype=torch.float64))  # logit of going on

    def weights(self) -> Tensor:
        return (self.lengths - 1) * nn.functional.logsigmoid(self.stay)


class Lognormal(Law):
    """Log k is normal: what exons and introns look like, and robust with few examples."""

    def __init__(self, longest: int, shortest: int = 1, mean: float = 5.0, deviation: float = 0.7):
        super().__init__(longest, shortest)
        self.mean = nn.Parameter(torch.tensor(mean, dtype=torch.float64))
        self.deviation = nn.Parameter(torch.tensor(_inverse_softplus(deviation), dtype=torch.float64))

    def weights(self) -> Tensor:
        z = (self.lengths.log() - self.mean) / softplus(self.deviation)
        return -0.5 * z * z - self.lengths.log()

    def slope(self, weights: Tensor) -> Tensor:
        """Return the slope of a tail that is as long on average as what the family has behind its explicit lengths.

        Its slope at the end is another: where few lengths are explicit the family may still rise there.
        """
        deviation = softplus(self.deviation)
        z = (math.log(self.longest) - self.mean) / deviation
        beyond = torch.special.log_ndtr(deviation - z) - torch.special.log_ndtr(-z)
        mean = torch.exp(self.mean + deviation**2 / 2 + beyond) - self.longest
        return torch.log1p(-1 / mean.clamp(min=SHORTEST_TAIL)).clamp(max=FLATTEST)


class NegativeBinomial(Law):
    """A sum of `size` geometric waiting times: a peak at small sizes, geometric at size 1."""

    def __init__(self, longest: int, shortest: int = 1, size: float = 2.0, mean: float = 150.0):
        super().__init__(longest, shortest)
        self.size = nn.Parameter(torch.tensor(_inverse_softplus(size), dtype=torch.float64))
        self.stay = nn.Parameter(torch.tensor(math.log(mean / size), dtype=torch.float64))  # logit of going on

    def weights(self) -> Tensor:
        r, k = softplus(self.size), self.lengths - 1
        return torch.lgamma(k + r) - torch.lgamma(r) - torch.lgamma(k + 1) + k * nn.functional.logsigmoid(self.stay)


class Spline(Law):
    """Log weights linear in log k between knots: any smooth shape."""

    left: Tensor  # (K,) int64, the knot before each length
    share: Tensor  # (K,) of the knot behind it
    ground: Tensor  # (K,)

    def __init__(self, longest: int, shortest: int = 1, knots: int = KNOTS):
        super().__init__(longest, shortest)
        self.heights = nn.Parameter(torch.zeros(knots, dtype=torch.float64))
        at = self.lengths.log() / math.log(longest) * (knots - 1)
        self.register_buffer("left", at.floor().long().clamp(max=knots - 2), persistent=False)
        self.register_buffer("share", at - self.left, persistent=False)
        self.register_buffer("ground", -self.lengths.log(), persistent=False)  # even in log k to begin with

    def weights(self) -> Tensor:
        return self.heights[self.left] * (1 - self.share) + self.heights[self.left + 1] * self.share + self.ground


class Free(Law):
    """Every explicit length has a weight of its own, and the tail its slope."""

    def __init__(self, longest: int, shortest: int = 1, mean: float = 150.0):
        super().__init__(longest, shortest)
        self.heights = nn.Parameter(-self.lengths / mean)
        self.decay = nn.Parameter(torch.tensor(_inverse_softplus(1 / mean), dtype=torch.float64))

    def weights(self) -> Tensor:
        return self.heights

    def slope(self, weights: Tensor) -> Tensor:
        return (-softplus(self.decay)).clamp(max=FLATTEST)


FAMILIES: dict[str, type[Law]] = {
    "geometric": Geometric,
    "lognormal": Lognormal,
    "negative-binomial": NegativeBinomial,
    "spline": Spline,
    "free": Free,
}


def _inverse_softplus(x: float) -> float:
    return math.log(math.expm1(x))


def family(name: str, longest: int, shortest: int = 1, **shape: float) -> Law:
    """Return a law of a family by name."""
    if name not in FAMILIES:
        raise SemisegError(f"durations: expected one of {', '.join(FAMILIES)}, got {name!r}")
    return FAMILIES[name](longest, shortest, **shape)


def tabulate(laws: Iterable[nn.Module]) -> Table:
    """Return laws of their own longest explicit lengths as one table."""
    found = [law() for law in laws]
    longest = torch.tensor([len(x) for x, _ in found])
    K = int(longest.max())
    columns = [nn.functional.pad(x, (1, K - len(x)), value=-torch.inf) for x, _ in found]
    return Table(torch.stack(columns, 1), longest, torch.stack([tail for _, tail in found]))
