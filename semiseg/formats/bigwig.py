"""bigWig through pybigtools, which pulls runs from an iterator and is written in Rust.

It swallows what goes wrong: it prints to standard output and returns as if nothing had happened, or it panics. So the
iterator never raises, a full disk is noticed before pybigtools notices it, and what was written is looked at. Contigs
come in input order: they are numbered so in the file and their names stand in one leaf, where order does not matter.
Zoomed values are its own, and not exact beside gaps: there it counts some bases twice.
"""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from itertools import chain, repeat
from pathlib import Path

from ..errors import SemisegError
from .packages import needed
from .run_files import Runs

MAGIC = bytes.fromhex("26fc8f88")  # the first bytes, written last, and the last bytes
MOST_CONTIGS = (1 << 16) - 1  # in one leaf
RESERVE = 16 << 20  # bytes of a disk that are left free: what pybigtools holds back and writes at its end

Item = tuple[str, int, int, float]


def check_bigwig(contigs: Sequence[tuple[str, int]]) -> None:
    """Refuse what a bigWig cannot hold, and a missing package, before anything is computed."""
    needed("pybigtools", "bigWig")
    advice = "choose bedgraph or hdf5"
    if len(contigs) > MOST_CONTIGS:
        raise SemisegError(f"bigWig: expected at most {MOST_CONTIGS} contigs, found {len(contigs)}: {advice}")
    if not any(length for _, length in contigs):
        raise SemisegError(f"bigWig: expected a contig with bases, found none: {advice}")


def write_bigwig(path: Path, contigs: Sequence[tuple[str, int]], runs: Iterator[Runs]) -> None:
    """Write runs; a track without any says 0 of the first base, as no bigWig can be empty."""
    pybigtools = needed("pybigtools", "bigWig")
    first = next(runs, None)  # before pybigtools is called: what is cancelled early needs no file
    feed = Feed(path, runs if first is None else chain([first], runs))
    items = feed.items() if first else iter([(next(name for name, length in contigs if length), 0, 1, 0.0)])
    try:
        pybigtools.open(str(path), "w").write(dict(contigs), items)
    except BaseException as error:  # a panic is no Exception
        raise feed.error or OSError(f"{path.name}: pybigtools: {' '.join(str(error).split())}") from error
    if feed.error:
        raise feed.error
    if next(runs, None) is not None or not is_complete(path):
        raise OSError(f"{path.name}: pybigtools did not complete it: is the disk full?")


class Feed:
    """Runs one by one; they end early when the disk is about to be full."""

    def __init__(self, path: Path, runs: Iterator[Runs]) -> None:
        self.runs = runs
        self.folders = (path.parent, tempfile.gettempdir())  # zoomed values wait in the latter
        self.error: Exception | None = None

    def items(self) -> Iterator[Item]:
        """Contig, start, end and value of every run."""
        try:
            for contig, starts, ends, values in self.runs:
                if min(shutil.disk_usage(folder).free for folder in self.folders) < RESERVE:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                numbers = values if values.dtype.kind == "f" else values / 1000
                yield from zip(repeat(contig), starts.tolist(), ends.tolist(), numbers.tolist(), strict=False)
        except Exception as error:  # also that the folder is gone, or that runs cannot be read
            self.error = error


def is_complete(path: Path) -> bool:
    """Whether the file begins and ends as a whole one does."""
    with open(path, "rb") as file:
        begins = file.read(len(MAGIC)) == MAGIC
        file.seek(-len(MAGIC), os.SEEK_END)
        return begins and file.read() == MAGIC
