"""Tracks of posteriors as files: bigWig and bedGraph for genome browsers, HDF5 for arrays.

Posteriors come as they are computed: contig by contig, left to right, stretch by stretch. What is held in memory does
not grow with them. Values are written in thousandths; one form is one backend that gets whole numbers.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import SemisegError, UsageError
from .bedgraph import indexer, write_bedgraph
from .bgzip import is_compressed
from .bigwig import check_bigwig, write_bigwig
from .draft import Draft
from .run_files import RunFiles
from .track_store import Layout, TrackStore

SUFFIXES = {"bigwig": (".bw",), "bedgraph": (".bedGraph.gz", ".bedGraph")}  # the first one in a folder
FORMS = (*SUFFIXES, "hdf5")
SLICE = 1 << 14  # positions handed on at once: a slice of 40 tracks stays in the cache, and queues stay small


class TrackSink(Protocol):
    """Where posteriors go."""

    def contig(self, name: str, length: int) -> None:
        """Begin a contig; the one before is done, however far it came."""

    def add(self, start: int, values: NDArray) -> None:
        """Take the (n, tracks) posteriors of positions start to start + n - 1, which follow on from the last."""

    def close(self) -> None:
        """Complete all files; only then do they stand under their names."""

    def abort(self) -> None:
        """Remove what was begun; after close nothing is left to remove."""


class Backend(Protocol):
    """What writes one form; a failure may come out of any call but cancel."""

    def begin(self, name: str) -> None:
        """Begin a contig."""

    def put(self, start: int, values: NDArray[np.uint16]) -> None:
        """Take (n, tracks) thousandths that follow on from the last."""

    def finish(self) -> None:
        """Complete the files."""

    def cancel(self) -> None:
        """Let go of the files, whatever state they are in."""


def open_tracks(
    where: Path,
    form: str,
    names: Sequence[str],
    contigs: Sequence[tuple[str, int]],
    comments: Sequence[str] = (),
    bin_size: int = 1,
) -> TrackSink:
    """Return the sink that writes tracks of these names over contigs of these names and lengths, in input order.

    Positions are bins of that many bases; lengths are bases.

    bigwig and bedgraph make one file a track in the folder where, or the file where if that has the form's suffix and
    there is one track; bedGraph is bgzipped and indexed unless where ends in .bedGraph. hdf5 makes the file where.
    Comments go into bedGraph and HDF5; bigWig has no place for them.
    """
    if form not in FORMS:
        raise SemisegError(f"tracks: expected one of {', '.join(FORMS)}, found {form}")
    with named_errors(where):
        draft = Draft(where, is_file=form == "hdf5" or is_file_name(where, form, len(names)))
        try:
            layout = Layout(names, contigs, bin_size, comments)
            backend = open_backend(draft, form, layout)
        except BaseException:
            draft.discard()
            raise
    return Tracks(where, draft, backend, layout)


def form_of(where: Path) -> str:
    """Return the form that a name tells: one file for all tracks, or a file a track."""
    return "hdf5" if where.suffix in (".h5", ".hdf5") else "bigwig"


def open_backend(draft: Draft, form: str, layout: Layout) -> Backend:
    """Return what writes into the draft."""
    if form == "hdf5":
        return TrackStore(draft.file, layout)
    names, contigs, bin_size, comments = layout
    paths = [draft.file] if draft.is_file else [draft.folder / name for name in file_names(names, SUFFIXES[form][0])]
    if form == "bigwig":
        check_bigwig(contigs)
        return RunFiles([(path, partial(write_bigwig, path, contigs)) for path in paths], dict(contigs), bin_size)
    if is_compressed(paths[0]):
        indexer()
    writers = [(path, partial(write_bedgraph, path, contigs, comments)) for path in paths]
    return RunFiles(writers, dict(contigs), bin_size)


def is_file_name(where: Path, form: str, tracks: int) -> bool:
    """Whether where names the one file rather than a folder."""
    if not where.name.endswith(SUFFIXES[form]):
        return False
    if tracks != 1:
        raise UsageError(f"{where}: expected a folder for {tracks} tracks, found the name of one file: drop the suffix")
    return True


def file_names(names: Sequence[str], suffix: str) -> list[str]:
    """File names of tracks: no / and no blanks, and a number behind a name that is taken."""
    taken: dict[str, None] = {}
    for name in names:
        safe = "".join("_" if sign in "/\0" or sign.isspace() else sign for sign in name)
        number, candidate = 1, safe
        while candidate in taken:
            number += 1
            candidate = f"{safe}_{number}"
        taken[candidate] = None
    return [name + suffix for name in taken]


def thousandths(values: NDArray) -> NDArray[np.uint16]:
    """Values in whole thousandths."""
    rounded = np.rint(values * 1000)
    if rounded.size and not (0 <= rounded.min() and rounded.max() <= np.iinfo(np.uint16).max):  # so NaN fails as well
        raise ValueError(f"expected values from 0 to 65.535, found {values.min()} to {values.max()}")
    return rounded.astype(np.uint16)


class Tracks:
    """The sink of every form: it holds callers to the order, rounds, and turns what the system says into one line."""

    def __init__(self, where: Path, draft: Draft, backend: Backend, layout: Layout) -> None:
        self.where, self.draft, self.backend, self.layout = where, draft, backend, layout
        self.tracks, self.ahead = len(layout.names), dict(layout.contigs)
        self.length: int | None = None  # of the contig at hand, in bins
        self.end: int | None = None  # where its next stretch begins
        self.is_open = True

    def contig(self, name: str, length: int) -> None:
        if self.ahead.get(name) != length:
            raise ValueError(f"expected one of the contigs announced, once and {self.ahead.get(name)} long: {name}")
        del self.ahead[name]
        self.length, self.end = self.layout.bins(length), None
        with named_errors(self.where):
            self.backend.begin(name)

    def add(self, start: int, values: NDArray) -> None:
        end = start + len(values)
        if values.shape[1:] != (self.tracks,):
            raise ValueError(f"expected (n, {self.tracks}) values, found {values.shape}")
        if (
            self.length is None
            or start != (start if self.end is None else self.end)
            or not 0 <= start <= end <= self.length
        ):
            raise ValueError(f"{start} to {end} does not follow on from {self.end} in a contig of {self.length}")
        self.end = end
        with named_errors(self.where):
            for low in range(0, len(values), SLICE):
                self.backend.put(start + low, thousandths(values[low : low + SLICE]))

    def close(self) -> None:
        with named_errors(self.where):
            self.backend.finish()
            self.draft.publish()
        self.is_open = False

    def abort(self) -> None:
        if self.is_open:
            self.is_open = False
            self.backend.cancel()
            self.draft.discard()


@contextmanager
def named_errors(where: Path) -> Iterator[None]:
    """What the system refuses is one line that says where."""
    try:
        yield
    except OSError as error:
        raise SemisegError(f"cannot write tracks to {where}: {error.strerror or error}") from error
