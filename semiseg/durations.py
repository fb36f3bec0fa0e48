"""Laws of durations: smooth families over explicit lengths, and a tail that goes on as the family does behind them.

A law is a distribution over k = shortest, shortest + 1, ...: explicit up to K, then every further position is
`exp(tail)` as likely; without a tail nothing is longer than K. All families are normalised with their tails, so
censored edges may sum over what they cut. A module is one law, or those of several labels side by side, each with its
own parameters.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from .errors import SemisegError

FLATTEST = -1e-7  # of a tail: a mean of ten million positions
SHORTEST_TAIL = 1.01  # positions on average, of those behind the explicit lengths
KNOTS = 12  # of a spline, evenly in log k
NEAR = 1e-2  # positions beyond the first, of laws around a mean of hardly more than that


class Table(NamedTuple):
    """Laws side by side, as the kernels take them."""

    durations: Tensor  # (K + 1, L) log probability of k positions; row 0 is unused
    longest: Tensor  # (L,) int64: explicit lengths
    tail: Tensor  # (L,) log weight of one more position behind them


class Law(nn.Module):
    """Laws of one family: that of one label, or with `labels` that many side by side.

    A family gives log weights of k = 1..longest, up to a constant, and begins anywhere: `around` a mean length.
    """

    lengths: Tensor  # (K,) or (K, 1): 1..K; integers, which stay exact in a module of half precision

    def __init__(self, longest: int, shortest: int = 1, *, labels: int | None = None, tail: bool = True):
        super().__init__()
        if not 1 <= shortest <= longest - tail:
            wanted = "1 <= shortest < longest" if tail else "1 <= shortest <= longest without a tail"
            raise SemisegError(f"durations: expected {wanted}, got {shortest} and {longest}")
        self.longest, self.shortest, self.endless = longest, shortest, tail
        self.columns: tuple[int, ...] = () if labels is None else (labels,)
        lengths = torch.arange(1, longest + 1)
        self.register_buffer("lengths", lengths if labels is None else lengths[:, None], persistent=False)

    def parameter(self, value: float, *more: int) -> nn.Parameter:
        """Return a parameter (*more, L) that has one value everywhere."""
        return nn.Parameter(torch.full((*more, *self.columns), value, dtype=torch.float64))

    def weights(self) -> Tensor:
        """Return (K,) or (K, L) float64 log weights; one column stands for all."""
        raise NotImplementedError

    def slope(self, weights: Tensor) -> Tensor:
        """Return the tail's slope: as the family goes at its end, but never upwards."""
        return (weights[-1] - weights[-2]).clamp(max=FLATTEST)

    def around(self, mean: Tensor) -> None:
        """Set the parameters so that lengths are about `mean` (L,) or ()."""
        raise NotImplementedError

    def forward(self) -> tuple[Tensor, Tensor]:
        """Return (K,) or (K, L) log probabilities and the tail's slope, () or (L,)."""
        weights = self.weights().expand(self.longest, *self.columns)
        x = torch.where(self.lengths < self.shortest, -torch.inf, weights)
        if not self.endless:
            return x - torch.logsumexp(x, 0), x.new_full(self.columns, -torch.inf)
        tail = self.slope(weights).expand(self.columns)
        beyond = x[-1] + tail - torch.log(-torch.expm1(tail))
        return x - torch.logsumexp(torch.cat([x, beyond[None]]), 0), tail


class Lognormal(Law):
    """Log k is normal: what exons and introns look like, and robust with few examples."""

    def __init__(self, longest: int, shortest: int = 1, mean: float = 5.0, deviation: float = 0.7, **options: Any):
        super().__init__(longest, shortest, **options)
        self.mean = self.parameter(mean)
        self.deviation = self.parameter(_inverse_softplus(deviation))

    def weights(self) -> Tensor:
        k = self.lengths.double()
        z = (k.log() - self.mean.double()) / softplus(self.deviation.double())
        return -0.5 * z * z - k.log()

    def slope(self, weights: Tensor) -> Tensor:
        """Return the slope of a tail that is as long on average as what the family has behind its explicit lengths.

        Its slope at the end is another: where few lengths are explicit the family may still rise there.
        """
        mean, deviation = self.mean.double(), softplus(self.deviation.double())
        z = (math.log(self.longest) - mean) / deviation
        beyond = torch.special.log_ndtr(deviation - z) - torch.special.log_ndtr(-z)
        longer = torch.exp(mean + deviation**2 / 2 + beyond) - self.longest
        return torch.log1p(-1 / longer.clamp(min=SHORTEST_TAIL)).clamp(max=FLATTEST)

    def around(self, mean: Tensor) -> None:
        self.mean.data.copy_(mean.log() - softplus(self.deviation) ** 2 / 2)


class Gamma(Law):
    """Of `shape` exponential waiting times: a peak whose spread is its mean over the root of `shape`."""

    def __init__(self, longest: int, shortest: int = 1, shape: float = 2.0, mean: float = 150.0, **options: Any):
        super().__init__(longest, shortest, **options)
        self.shape = self.parameter(_inverse_softplus(shape))
        self.scale = self.parameter(math.log(mean / shape))

    def weights(self) -> Tensor:
        k = self.lengths.double()
        return (softplus(self.shape.double()) - 1) * k.log() - k * torch.exp(-self.scale.double())

    def around(self, mean: Tensor) -> None:
        self.scale.data.copy_((mean / softplus(self.shape)).log())


class NegativeBinomial(Law):
    """A sum of `size` geometric waiting times: a peak at small sizes, geometric at size 1."""

    def __init__(self, longest: int, shortest: int = 1, size: float = 2.0, mean: float = 150.0, **options: Any):
        super().__init__(longest, shortest, **options)
        self.size = self.parameter(_inverse_softplus(size))
        self.stay = self.parameter(math.log(mean / size))  # logit of going on

    def weights(self) -> Tensor:
        r, k = softplus(self.size.double()), self.lengths.double() - 1
        going = log_sigmoid(self.stay.double())
        return torch.lgamma(k + r) - torch.lgamma(r) - torch.lgamma(k + 1) + k * going

    def around(self, mean: Tensor) -> None:
        self.stay.data.copy_(((mean - 1).clamp(min=NEAR) / softplus(self.size)).log())


class Geometric(Law):
    """Every further position is as likely as the one before: what a linear chain has."""

    def __init__(self, longest: int = 2, shortest: int = 1, mean: float = 150.0, **options: Any):
        super().__init__(longest, shortest, **options)
        self.stay = self.parameter(math.log(mean - 1))  # logit of going on

    def going(self) -> Tensor:
        """Return () or (L,) the log probability of one more position."""
        return log_sigmoid(self.stay.double()).clamp(max=FLATTEST)

    def weights(self) -> Tensor:
        return self.lengths.double() * self.going()

    def slope(self, weights: Tensor) -> Tensor:
        return self.going()

    def around(self, mean: Tensor) -> None:
        self.stay.data.copy_((mean - 1).clamp(min=NEAR).log())


class Poisson(Law):
    """One more than a Poisson number: narrow, its spread is the root of its mean."""

    def __init__(self, longest: int, shortest: int = 1, mean: float = 150.0, **options: Any):
        super().__init__(longest, shortest, **options)
        self.rate = self.parameter(math.log(mean - 1))

    def weights(self) -> Tensor:
        k = self.lengths.double()
        return (k - 1) * self.rate.double() - torch.lgamma(k)

    def around(self, mean: Tensor) -> None:
        self.rate.data.copy_((mean - 1).clamp(min=NEAR).log())


class Spline(Law):
    """Log weights linear in log k between knots: any smooth shape."""

    def __init__(self, longest: int, shortest: int = 1, knots: int = KNOTS, **options: Any):
        super().__init__(longest, shortest, **options)
        self.heights = self.parameter(0.0, knots)  # even in log k to begin with

    def weights(self) -> Tensor:
        log_k = self.lengths.double().log()
        at = log_k / math.log(max(2, self.longest)) * (len(self.heights) - 1)
        left = at.floor().long().clamp(max=len(self.heights) - 2)  # the knot before each length
        share = at - left  # of the knot behind it
        before, behind = (self.heights.double()[knot.flatten()] for knot in (left, left + 1))
        return before * (1 - share) + behind * share - log_k

    def around(self, mean: Tensor) -> None:
        knots = len(self.heights)
        k = torch.linspace(0, math.log(max(2, self.longest)), knots, dtype=torch.float64, device=mean.device).exp()
        k = k.reshape(-1, *(1 for _ in self.columns))
        self.heights.data.copy_(-k / mean + k.log())


class Decaying(Law):
    """What a tail of its own slope follows."""

    def __init__(self, longest: int, shortest: int = 1, mean: float = 150.0, **options: Any):
        super().__init__(longest, shortest, **options)
        self.decay = self.parameter(_inverse_softplus(1 / mean)) if self.endless else None

    def slope(self, weights: Tensor) -> Tensor:
        assert self.decay is not None
        return (-softplus(self.decay.double())).clamp(max=FLATTEST)

    def around(self, mean: Tensor) -> None:
        if self.decay is not None:
            self.decay.data.copy_((1 / mean).expm1().log())


class Free(Decaying):
    """Every explicit length has a weight of its own, and the tail its slope."""

    def __init__(self, longest: int, shortest: int = 1, mean: float = 150.0, **options: Any):
        super().__init__(longest, shortest, mean, **options)
        self.heights = nn.Parameter(-self.lengths.double().expand(-1, *self.columns) / mean)

    def weights(self) -> Tensor:
        return self.heights.double()

    def around(self, mean: Tensor) -> None:
        super().around(mean)
        self.heights.data.copy_(-self.lengths / mean)


class Uniform(Decaying):
    """Every explicit length is as likely as any other."""

    def weights(self) -> Tensor:
        return torch.zeros_like(self.lengths, dtype=torch.float64)


class Given(Law):
    """Log weights from a function of the lengths 1..K (K,): it returns (K,), or (K, L) for labels of their own.

    The parameters of a function that is a module are learnt with it.
    """

    def __init__(self, longest: int, shortest: int = 1, *, function: Callable[[Tensor], Tensor], **options: Any):
        super().__init__(longest, shortest, **options)
        self.function = function

    def weights(self) -> Tensor:
        found = self.function(self.lengths.double().flatten())
        shapes = {(self.longest,), (self.longest, *self.columns)}
        if not isinstance(found, Tensor) or tuple(found.shape) not in shapes:
            wanted = " or ".join(map(str, sorted(shapes)))
            got = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise SemisegError(f"durations: expected the function to return a tensor {wanted}, got {got}")
        return found.double().reshape(self.longest, *(found.shape[1:] or (1 for _ in self.columns)))

    def around(self, mean: Tensor) -> None:
        """Leave the function as it is: whoever gave it knows where it begins."""


FAMILIES: dict[str, type[Law]] = {
    "lognormal": Lognormal,
    "gamma": Gamma,
    "negative-binomial": NegativeBinomial,
    "geometric": Geometric,
    "poisson": Poisson,
    "uniform": Uniform,
    "spline": Spline,
    "free": Free,
}


def _inverse_softplus(x: float) -> float:
    return math.log(math.expm1(x))


def log_sigmoid(x: Tensor) -> Tensor:
    """Return the log of the logistic function; torch's own wakes all threads, for a single number too."""
    return -torch.logaddexp(-x, torch.zeros_like(x))


def family(name: str, longest: int, shortest: int = 1, **shape: Any) -> Law:
    """Return a law of a family by name."""
    if name not in FAMILIES:
        raise SemisegError(f"durations: expected one of {', '.join(FAMILIES)}, got {name!r}")
    return FAMILIES[name](longest, shortest, **shape)


def tabulate(laws: Iterable[nn.Module]) -> Table:
    """Return laws, each of its own longest explicit length, as one table: a column a label, in order."""
    found = [(x.reshape(len(x), -1), tail.reshape(-1)) for x, tail in (law() for law in laws)]
    longest = torch.cat([torch.full(tail.shape, len(x)) for x, tail in found])
    K = int(longest.max())
    # row 0 too
    columns = [nn.functional.pad(x, (0, 0, 1, K - len(x)), value=-torch.inf) for x, _ in found]
    return Table(torch.cat(columns, 1), longest, torch.cat([tail for _, tail in found]))
