"""What is found in sequences, on its way to a file: tracks take their part in passing, and it is counted."""

from collections.abc import Callable, Iterator
from typing import Generic, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from .formats.tracks import TrackSink

FILLED = 1 << 20  # positions of a gap between regions that are filled at once


class Passing(Protocol):
    """What is certain about the next positions."""

    @property
    def first(self) -> int: ...

    @property
    def last(self) -> int: ...

    @property
    def tracks(self) -> NDArray | None: ...  # (last - first, tracks)


Found = TypeVar("Found", bound=Passing)


class Result(NamedTuple, Generic[Found]):
    """A sequence, or a region of one."""

    name: str
    length: int | None  # of the sequence; None: not known before it has been read
    stretches: Iterator[Found]


def followed(
    results: Iterator[Result[Found]], sink: TrackSink | None, report: Callable[[int], None]
) -> Iterator[Result[Found]]:
    """Yield results whose stretches, when they are used, go to the tracks as well and are counted."""
    done, sequence, at = 0, None, 0

    def stretches(result: Result[Found]) -> Iterator[Found]:
        nonlocal done, sequence, at
        if sink is not None and result.name != sequence:
            assert result.length is not None
            sink.contig(result.name, result.length)
            sequence, at = result.name, -1
        for stretch in result.stretches:
            if sink is not None and stretch.tracks is not None and len(stretch.tracks):
                while 0 <= at < stretch.first:
                    n = min(FILLED, stretch.first - at)
                    sink.add(at, np.zeros((n, stretch.tracks.shape[1]), np.float32))
                    at += n
                sink.add(stretch.first, stretch.tracks)
                at = stretch.last
            done += stretch.last - stretch.first
            report(done)
            yield stretch

    for result in results:
        yield result._replace(stretches=stretches(result))
