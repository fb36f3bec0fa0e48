"""Tracks in one HDF5 file, every position of them.

    /                 attributes format "semiseg tracks", tracks (their names), bin_size 1, scale 0.001, comments
    /contigs/name     names in input order; datasets and not attributes, which hold 64 KiB at most
    /contigs/length   their lengths
    /values/<contig>  (length, tracks) uint16; times scale they are the posteriors; 0 where none came

In <contig> a slash is written %2F, a percent sign %25 and a dot that stands alone %2E: HDF5 would take them for paths.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .packages import needed

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


class TrackStore:
    """A backend of tracks: gathers whole chunks, as a part of one would be unpacked and packed again."""

    def __init__(
        self, path: Path, names: Sequence[str], contigs: Sequence[tuple[str, int]], comments: Sequence[str]
    ) -> None:
        h5py = needed("h5py", "HDF5")
        self.file = ForgivingFile(path, "w+")
        self.store = h5py.File(self.file, "w")
        text = h5py.string_dtype()
        self.store.attrs["format"] = "semiseg tracks"
        self.store.attrs["tracks"] = np.array(names, text)
        self.store.attrs["bin_size"] = 1
        self.store.attrs["scale"] = 0.001
        self.store.attrs["comments"] = np.array(comments, text)
        self.create("contigs/name", data=np.array([name for name, _ in contigs], text))
        self.create("contigs/length", data=np.array([length for _, length in contigs], np.int64))
        for name, length in contigs:
            shape = (length, len(names))
            packing: dict[str, Any] = {"chunks": (min(CHUNK, length), len(names)), "compression": "gzip"}
            packing |= {"compression_opts": COMPRESSION, "shuffle": True}
            self.create(f"values/{dataset_name(name)}", shape=shape, dtype=np.uint16, **(packing if length else {}))
        self.gathered = np.empty((CHUNK, len(names)), np.uint16)
        self.begin_chunk(0)
        self.contig: Any = None

    def create(self, name: str, **what: Any) -> None:
        """Create a dataset that does not say when, so that the same input gives the same bytes."""
        self.store.create_dataset(name, track_times=False, **what)

    def begin_chunk(self, start: int) -> None:
        """Gather from start on."""
        self.start = self.end = start

    def begin(self, name: str) -> None:
        self.write_chunk()
        self.contig = self.store[f"values/{dataset_name(name)}"]

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
            self.raise_error()

    def finish(self) -> None:
        self.write_chunk()
        self.cancel()
        self.raise_error()

    def cancel(self) -> None:
        self.store.close()
        self.file.close()

    def raise_error(self) -> None:
        """Raise what the file remembers."""
        if self.file.error is not None:
            raise self.file.error


def dataset_name(contig: str) -> str:
    """Name of the contig's dataset."""
    return "%2E" if contig == "." else contig.replace("%", "%25").replace("/", "%2F")
