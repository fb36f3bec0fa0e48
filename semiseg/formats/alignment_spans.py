"""BAM as spans of coordinates: what reads cover, read once and in order."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import SemisegError
from .bins import Spans
from .packages import needed

BATCH = 1 << 15  # blocks of reads
SKIPPED = 0x4 | 0x100 | 0x200 | 0x400  # reads: unmapped, secondary, of low quality, duplicates


def open_alignments(path: Path) -> tuple[Any, dict[str, int]]:
    """Return an open BAM, and the lengths of its contigs."""
    htslib = needed("pysam", "BAM")
    htslib.set_verbosity(0)  # what is wrong is said once, and here
    with reading(path):
        file = htslib.AlignmentFile(str(path), "rb", check_sq=False)
        return file, dict(zip(file.references, file.lengths, strict=True))


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Whatever goes wrong with the file inside is a SemisegError."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise SemisegError(f"{path}: cannot be read as BAM, it may be damaged or cut off: {error}") from error


def alignment_spans(path: Path, file: Any, lengths: Mapping[str, int]) -> Iterator[tuple[str, Iterator[Spans]]]:
    """Yield the contigs with what their reads cover, without introns and deletions; others than asked for are left out.

    Each is to be used before the next one is asked for.
    """
    seen = set()
    for contig, reads in groupby(used(path, file), key=lambda read: read.reference_name):
        if contig in seen:
            raise unsorted(path)
        seen.add(contig)
        if contig in lengths:
            yield contig, spans(path, reads)


def spans(path: Path, reads: Iterator[Any]) -> Iterator[Spans]:
    """Yield what the reads of one contig cover."""
    at, blocks = 0, []
    for read in reads:
        if read.reference_start < at:
            raise unsorted(path)
        at = read.reference_start
        blocks += read.get_blocks()
        if len(blocks) >= BATCH:
            yield covered(blocks, at)
            blocks = []
    yield covered(blocks, at)


def covered(blocks: list[tuple[int, int]], reached: int) -> Spans:
    """Return blocks as spans."""
    starts, ends = np.array(blocks, np.int64).reshape(-1, 2).T
    return Spans(starts, ends, np.ones(len(starts)), reached)


def used(path: Path, file: Any) -> Iterator[Any]:
    """Yield the reads that count."""
    with reading(path), file:
        for read in file.fetch(until_eof=True):
            if not read.flag & SKIPPED:
                yield read


def unsorted(path: Path) -> SemisegError:
    """The error for a BAM in another order."""
    return SemisegError(f"{path}: not sorted by coordinate: samtools sort does that")
