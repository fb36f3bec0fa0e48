"""Families of emissions: what states say about the values of channels, one small class a family.

A family is fixed by what its constructor takes; what is learnt are its parameters, a dict of float64 tensors. EM needs
sums that add up over stretches of data (`statistics`) and the parameters that are best for them (`update`). A value
that is NaN is unknown: it scores nothing and counts nowhere, each channel for itself.
"""

from typing import Any, Protocol

from torch import Tensor

from ..errors import SemisegError
from ..survey import Survey
from .autoregressive import Autoregressive
from .bernoulli import Bernoulli
from .counts import NegativeBinomial, ZeroInflated
from .gaussian import Gaussian

Values = dict[str, Tensor]


class Family(Protocol):
    """What fitting and decoding want of a family."""

    context: int  # positions left of a stretch that its scores depend on

    def __init__(self, survey: Survey, **options: Any) -> None:
        """Take what is known about all of the data; raise a SemisegError where it is not for this family."""

    def foreign(self, x: Tensor) -> Tensor:
        """Return where values are that states can say nothing about; NaN is none of them."""

    def density(self, parameters: Values, x: Tensor) -> Tensor:
        """Return (B, n, C) log densities of (B, context + n, D) values."""

    def statistics(self, x: Tensor, weights: Tensor) -> Values:
        """Return sums over the values under (B, n, C) weights: posteriors of states."""

    def update(self, statistics: Values, parameters: Values | None) -> Values:
        """Return parameters at which the expected log likelihood is no less than at the ones before."""

    def coordinates(self, x: Tensor) -> Tensor:
        """Return (B, n, E) of values, to tell by distance how unlike they are; 0 where nothing is known."""

    def profile(self, parameters: Values) -> Tensor:
        """Return (C, D) what a state looks like in each channel: a mean, on the scale of the values."""

    def free(self, parameters: Values) -> int:
        """Return how many free parameters there are."""

    def sample(self, parameters: Values, states: Tensor, generator: Any) -> Tensor:
        """Return (T, D) values drawn for (T,) states."""


FAMILIES: dict[str, type[Family]] = {
    "bernoulli": Bernoulli,
    "gaussian": Gaussian,
    "negative-binomial": NegativeBinomial,
    "zero-inflated": ZeroInflated,
    "autoregressive": Autoregressive,
}


def family(name: str, survey: Survey, **options: Any) -> Family:
    """Return a family by name; `auto` is what the values look like: binary, counts, or anything."""
    if name == "auto":
        name = guess(survey)
    if name not in FAMILIES:
        raise SemisegError(f"--family: expected auto or one of {', '.join(FAMILIES)}, got {name!r}")
    return FAMILIES[name](survey, **options)


def guess(survey: Survey) -> str:
    """Return the name of the family that values of this kind are for."""
    if survey.binary.all():
        return "bernoulli"
    return "negative-binomial" if survey.counts.all() else "gaussian"
