"""Tracks as runs of equal values, one file and one thread a track."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

QUEUED = 4  # batches that wait for a thread


class Runs(NamedTuple):
    """Some runs of one track in one contig, ascending, apart from each other in place or value.

    Posteriors come in thousandths and have no run of value 0; other values as they are, without what is not known.
    """

    contig: str
    starts: NDArray[np.int64]  # (N,)
    ends: NDArray[np.int64]  # (N,)
    values: NDArray  # (N,) uint16 thousandths, or float32


class RunFinder:
    """Runs of one track in one contig; the last one stays open until it is known where it ends.

    Values are of bins, runs of bases: the last bin may reach beyond the contig, and its run does not.
    """

    def __init__(self, contig: str, bin_size: int = 1, length: int | None = None) -> None:
        self.contig, self.bin_size, self.length = contig, bin_size, length
        nothing = np.empty(0, np.int64)
        self.open = Runs(contig, nothing, nothing, np.empty(0))  # one run or none

    def put(self, start: int, values: NDArray) -> Runs:
        """Take (n,) values, n > 0, that follow on from the last; return the runs that they close."""
        begins = np.flatnonzero(np.concatenate(([True], values[1:] != values[:-1])))
        starts, found = start + begins, values[begins]
        if len(self.open.starts) and self.open.values[0] == found[0]:
            starts[0] = self.open.starts[0]
        else:
            starts = np.concatenate((self.open.starts, starts))
            found = np.concatenate((self.open.values.astype(found.dtype), found))
        end = np.array([start + len(values)])
        self.open = Runs(self.contig, starts[-1:], end, found[-1:])
        return self.some(starts[:-1], starts[1:], found[:-1])

    def finish(self) -> Runs:
        """Return the last run."""
        return self.some(*self.open[1:])

    def some(self, starts: NDArray[np.int64], ends: NDArray[np.int64], found: NDArray) -> Runs:
        """Return those runs that say something."""
        kept = ~np.isnan(found) if found.dtype.kind == "f" else found > 0
        starts, ends = starts[kept] * self.bin_size, ends[kept] * self.bin_size
        return Runs(self.contig, starts, ends if self.length is None else ends.clip(max=self.length), found[kept])


class BackgroundWriter:
    """A thread that writes one file from the batches put to it; what goes wrong there comes out here."""

    def __init__(self, path: Path, write: Callable[[Iterator[Runs]], None]) -> None:
        self.write = write
        self.queue: Queue[Runs | None] = Queue(QUEUED)
        self.error: BaseException | None = None
        self.cancelled = False
        self.thread = Thread(target=self.run, name=path.name, daemon=True)
        self.thread.start()

    def run(self) -> None:
        """Write, and take batches to the end even when that failed: put never waits for a thread that is gone."""
        batches = self.batches()
        try:
            self.write(batch for batch in batches if not self.cancelled)
        except BaseException as error:  # also what is no Exception: it is raised where the thread was started
            self.error = error
        for _ in batches:
            pass

    def batches(self) -> Iterator[Runs]:
        """Batches up to the end."""
        while (batch := self.queue.get()) is not None:
            yield batch

    def put(self, batch: Runs) -> None:
        """Hand over a batch; waits while the thread is behind."""
        if self.error is not None:
            raise self.error
        if len(batch.starts):
            self.queue.put(batch)

    def finish(self) -> None:
        """Say that nothing follows."""
        self.queue.put(None)

    def join(self) -> None:
        """Wait for the thread."""
        self.thread.join()
        if self.error is not None and not self.cancelled:
            raise self.error

    def cancel(self) -> None:
        """Have the thread drop what still waits."""
        self.cancelled = True


class RunFiles:
    """A backend of tracks: files that are written in parallel."""

    def __init__(
        self, files: Sequence[tuple[Path, Callable[[Iterator[Runs]], None]]], lengths: Mapping[str, int], bin_size: int
    ) -> None:
        self.lengths, self.bin_size = lengths, bin_size
        for path, _ in files:
            path.touch()  # what cannot be begun is said before any thread is started
        self.writers = [BackgroundWriter(path, write) for path, write in files]
        self.finders: list[RunFinder] = []  # one a track, within a contig
        self.is_finished = False

    def begin(self, name: str) -> None:
        self.end_contig()
        self.finders = [RunFinder(name, self.bin_size, self.lengths[name]) for _ in self.writers]

    def put(self, start: int, values: NDArray[np.uint16]) -> None:
        for writer, finder, column in zip(self.writers, self.finders, np.ascontiguousarray(values.T), strict=True):
            writer.put(finder.put(start, column))

    def end_contig(self) -> None:
        """Hand over the last runs of the contig at hand."""
        for writer, finder in zip(self.writers, self.finders, strict=False):  # no finder before the first contig
            writer.put(finder.finish())
        self.finders = []

    def finish(self) -> None:
        self.end_contig()
        self.end_queues()
        for writer in self.writers:
            writer.join()

    def end_queues(self) -> None:
        """Let all threads come to their ends, at once rather than one after another."""
        if not self.is_finished:
            self.is_finished = True
            for writer in self.writers:
                writer.finish()

    def cancel(self) -> None:
        for writer in self.writers:
            writer.cancel()
        self.end_queues()
        for writer in self.writers:
            writer.join()
