"""What is segmented besides DNA: sources of numbers, and what a model of them offers to be decoded.

A source is a track store or a recording. Its sequences are read window by window; what is not known is NaN. Positions
are what the kernels count in; coordinates are what people read: bases of a track store, samples of a recording.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from .kernels import Potentials
from .segment_stream import Block


class Strip(NamedTuple):
    """One sequence of a source: a chromosome, a recording."""

    name: str
    length: int  # positions
    read: Callable[[int, int], NDArray]  # (first, last) -> (last - first, channels) float32, NaN where nothing is known
    end: int  # in coordinates: the last position may be cut short
    channels: tuple[str, ...] = ()  # where they are others than the source's
    rate: float | None = None  # where it is another than the source's


class Source(NamedTuple):
    """What is read from."""

    name: str  # for messages
    channels: tuple[str, ...]
    strips: tuple[Strip, ...]
    bin: int = 1  # coordinates of a position
    rate: float | None = None  # positions a second; None: not in time


def channel_names(source: Source, strip: Strip) -> tuple[str, ...]:
    """Return the names of a sequence's channels."""
    return strip.channels or source.channels


def alone(source: Source) -> Iterator[Strip]:
    """Yield every channel of every sequence on its own, named after both where a sequence has several."""
    for strip in source.strips:
        channels = channel_names(source, strip)
        for i, channel in enumerate(channels):
            yield strip._replace(
                name=f"{strip.name}_{channel}" if len(channels) > 1 else strip.name,
                read=partial(column, strip.read, i),
                channels=(channel,),
                rate=strip.rate or source.rate,
            )


def column(read: Callable[[int, int], NDArray], i: int, first: int, last: int) -> NDArray:
    """Return (last - first, 1) values of one channel."""
    return read(first, last)[:, i : i + 1]


class SignalModel(Protocol):
    """A model of signals, as decoding wants it."""

    @property
    def labels(self) -> tuple[str, ...]:
        """(C,) what a label's segments are called; the same name: the same concept."""

    @property
    def colours(self) -> tuple[str, ...]:
        """(C,) "r,g,b"."""

    @property
    def asked(self) -> NDArray[np.bool_]:
        """(C,) whether segments of a label are written, and told about."""

    @property
    def look(self) -> int:
        """Positions that the backward pass begins beyond a view."""

    @property
    def view(self) -> int:
        """Positions of a view."""

    @property
    def reach(self) -> int:
        """Positions to either side of one that its scores look at."""

    def parts(self, source: Source) -> Iterator[tuple[Strip, float]]:
        """Yield what is decoded, each on its own, and how many of its coordinates one of the model's positions takes.

        Raise a SemisegError in one line where the source is none that the model knows: its channels, its rate.
        """

    def template(self) -> Potentials:
        """Return the potentials of one position: laws and grammar, as a stream wants them."""

    def blocks(self, strip: Strip) -> Iterator[Block]:
        """Yield the scores of a strip's positions from left to right."""


@runtime_checkable
class Lenient(Protocol):
    """A model of segments whose ends nobody knows to a position: a call is as good as where one of its kind is near.

    Ends are written where they lie in the mean, their posteriors are sums over what is near, and a segment's own is the
    mean of its label's over it.
    """

    @property
    def slack(self) -> int:
        """Positions to either side of a called end that are near."""

    @property
    def meaning(self) -> str:
        """Of the posteriors, for headers."""

    def calibrated(self, labels: NDArray, starts: NDArray, ends: NDArray) -> tuple[NDArray, NDArray]:
        """Return (n,) posteriors of both ends of segments as often as they turn out right."""

    def is_called(self, label: int, posterior: float) -> bool:
        """Return whether a segment is sure enough to be called, by its own posterior."""
