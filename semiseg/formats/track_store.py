"""Tracks in one HDF5 file: the layout of signals that are read from, and of posteriors that are written.

    /                 attributes format "semiseg tracks", version 1, tracks (their names), bin_size (bases), comments;
                      where values are whole numbers: scale, and missing if one of them says that nothing is known
    /contigs/name     names in input order; datasets and not attributes, which hold 64 KiB at most
    /contigs/length   their lengths in bases
    /values/<contig>  (bins, tracks) float32, float16, uint16 or uint8; times scale they are the values. What is not
                      known is NaN, or the missing number: it is not 0. The last bin may reach beyond the contig.

In <contig> a slash is written %2F, a percent sign %25 and a dot that stands alone %2E: HDF5 would take them for paths.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .packages import needed

FORMAT, VERSION = "semiseg tracks", 1
CHUNK = 65536  # positions
COMPRESSION = 1  # of gzip: 6 % more bytes than 4, its usual one, in two thirds of the time


class ForgivingFile(io.FileIO):
    """A file that remembers the first error of writing and pretends from then on.

    HDF5 cannot close a file that it cannot write and crashes the interpreter at its end.
    """

    error: OSError | None = None

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        done = 0
        while done < len(view) and self.error is None:
            try:
                done += super().write(view[done:])
            except OSError as error:
                self.error = error
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        try:
            return super().truncate(size)
        except OSError as error:
            self.error = self.error or error
            return size or 0


class Coding(NamedTuple):
    """How values are stored."""

    dtype: str
    scale: float | None = None
    missing: int | None = None  # the number for what is not known; None: NaN, or none is


CODINGS = {  # of signals
    "float32": Coding("float32"),
    "float16": Coding("float16"),
    "uint8": Coding("uint8", 1.0, 255),
}
POSTERIORS = Coding("uint16", 0.001)


class Layout(NamedTuple):
    """What a file is about."""

    names: Sequence[str]  # of the tracks
    contigs: Sequence[tuple[str, int]]  # and their lengths in bases
    bin_size: int = 1
    comments: Sequence[str] = ()

    def bins(self, length: int) -> int:
        """Return how many bins a contig has."""
        return -(-length // self.bin_size)


class StoreFile:
    """A file of that layout that is being written; failures come out of `raise_error`."""

    def __init__(self, path: Path, layout: Layout, coding: Coding, together: int) -> None:
        """Begin the file; so many tracks share a chunk: those that are written at once."""
        h5py = needed("h5py", "HDF5")
        self.file = ForgivingFile(path, "w+")
        self.store = h5py.File(self.file, "w")
        names, contigs, text = layout.names, layout.contigs, h5py.string_dtype()
        about = {"format": FORMAT, "version": VERSION, "bin_size": layout.bin_size}
        about |= {"tracks": np.array(names, text), "comments": np.array(layout.comments, text)}
        about |= {key: value for key, value in coding._asdict().items() if key != "dtype" and value is not None}
        self.store.attrs.update(about)
        self.create("contigs/name", data=np.array([name for name, _ in contigs], text))
        self.create("contigs/length", data=np.array([length for _, length in contigs], np.int64))
        unsaid = coding.missing or (np.nan if np.dtype(coding.dtype).kind == "f" else 0)
        for name, length in contigs:
            shape = (layout.bins(length), len(names))
            packing: dict[str, Any] = {"chunks": (min(CHUNK, shape[0]), together), "compression": "gzip"}
            packing |= {"compression_opts": COMPRESSION, "shuffle": True, "fillvalue": unsaid}
            self.create(dataset_name(name), shape=shape, dtype=coding.dtype, **(packing if length else {}))

    def create(self, name: str, **what: Any) -> None:
        """Create a dataset that does not say when, so that the same input gives the same bytes."""
        self.store.create_dataset(name, track_times=False, **what)

    def values(self, contig: str) -> Any:
        """Return the dataset of a contig."""
        return self.store[dataset_name(contig)]

    def close(self) -> None:
        """Let go of the file."""
        self.store.close()
        self.file.close()

    def raise_error(self) -> None:
        """Raise what the file remembers."""
        if self.file.error is not None:
            raise self.file.error


class TrackStore:
    """A backend of tracks: gathers whole chunks, as a part of one would be unpacked and packed again."""

    def __init__(self, path: Path, layout: Layout) -> None:
        self.file = StoreFile(path, layout, POSTERIORS, len(layout.names))
        self.gathered = np.empty((CHUNK, len(layout.names)), np.uint16)
        self.begin_chunk(0)
        self.contig: Any = None

    def begin_chunk(self, start: int) -> None:
        """Gather from start on."""
        self.start = self.end = start

    def begin(self, name: str) -> None:
        self.write_chunk()
        self.contig = self.file.values(name)

    def put(self, start: int, values: NDArray[np.uint16]) -> None:
        if self.start == self.end:
            self.begin_chunk(start)
        while len(values):
            room = CHUNK - self.end % CHUNK
            taken, values = values[:room], values[room:]
            self.gathered[self.end - self.start :][: len(taken)] = taken
            self.end += len(taken)
            if self.end % CHUNK == 0:
                self.write_chunk()

    def write_chunk(self) -> None:
        """Write what was gathered."""
        if self.start < self.end:
            self.contig[self.start : self.end] = self.gathered[: self.end - self.start]
            self.begin_chunk(self.end)
            self.file.raise_error()

    def finish(self) -> None:
        self.write_chunk()
        self.cancel()
        self.file.raise_error()

    def cancel(self) -> None:
        self.file.close()


def dataset_name(contig: str) -> str:
    """Name of the contig's dataset."""
    return "values/" + ("%2E" if contig == "." else contig.replace("%", "%25").replace("/", "%2F"))
