"""What is known about the values of sources after one look at all of them: their kind, location and spread."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .errors import SemisegError
from .kernels.cpu.rows import columns
from .signals import Source, Strip, channel_names

PIECE = 1 << 18  # positions read at a time


class Survey(NamedTuple):
    """Of each channel; values that are NaN do not count."""

    channels: tuple[str, ...]
    known: NDArray  # (D,) int64: how many values there are
    mean: NDArray  # (D,)
    variance: NDArray  # (D,)
    least: NDArray  # (D,)
    most: NDArray  # (D,)
    whole: NDArray  # (D,) bool: all are integers

    @property
    def binary(self) -> NDArray:
        """Return (D,) whether all values are 0 or 1."""
        return self.whole & (self.least >= 0) & (self.most <= 1)

    @property
    def counts(self) -> NDArray:
        """Return (D,) whether all values are integers from 0 on."""
        return self.whole & (self.least >= 0)

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {name: list(x) if name == "channels" else x.tolist() for name, x in self._asdict().items()}


def survey_of(values: dict[str, Any]) -> Survey:
    """Return the survey that `as_json` gave."""
    try:
        return Survey(tuple(values["channels"]), *(np.asarray(values[name]) for name in Survey._fields[1:]))
    except (KeyError, TypeError) as error:
        raise SemisegError(f"model configuration: what is known about its data: {error}") from None


def pieces(strip: Strip) -> Iterator[NDArray]:
    """Yield (n, D) float64 values of a strip."""
    for first in range(0, strip.length, PIECE):
        yield np.ascontiguousarray(strip.read(first, min(strip.length, first + PIECE)), np.float64)


def look(sources: Sequence[Source]) -> Survey:
    """Return what is known about sources of the same channels; refuse channels that say nothing."""
    channels = channel_names(sources[0], sources[0].strips[0])
    D = len(channels)
    known, mean, square = np.zeros(D, np.int64), np.zeros(D), np.zeros(D)
    least, most, whole = np.full(D, np.inf), np.full(D, -np.inf), np.ones(D, bool)
    for source, strip in [(x, strip) for x in sources for strip in x.strips]:
        found = channel_names(source, strip)
        if found != channels:
            raise SemisegError(
                f"{source.name}: the channels of {strip.name} are {', '.join(found)}, those before"
                f" {', '.join(channels)}: one model is for one list of channels; choose with --channels"
            )
        for x in pieces(strip):
            if np.isinf(x).any():
                raise SemisegError(f"{source.name}: {strip.name}: values must be finite, or NaN where not known")
            new = columns(x)
            total = known + new.known
            share = np.divide(new.known, total, out=np.zeros(D), where=total > 0)
            square += new.spread + (new.mean - mean) ** 2 * known * share  # as Chan et al. join variances
            mean += (new.mean - mean) * share
            known = total
            least, most = np.minimum(least, new.least), np.maximum(most, new.most)
            whole &= new.whole
    name = ", ".join(source.name for source in sources)
    for channel, n, low, high in zip(channels, known, least, most, strict=True):
        if n == 0:
            raise SemisegError(f"{name}: channel {channel} has no value at all: leave it out with --channels")
        if low == high:
            raise SemisegError(
                f"{name}: channel {channel} is {low:g} everywhere and tells nothing: leave it out with --channels"
            )
    return Survey(channels, known, mean, square / known, least, most, whole)
