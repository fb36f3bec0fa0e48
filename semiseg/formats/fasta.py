"""Nucleotide sequences of a FASTA file, one whole record at a time."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .sequences import read_records


class Contig(NamedTuple):
    """One record."""

    name: str  # up to the first blank
    sequence: NDArray[np.uint8]  # (T,) ASCII, as in the file


def read_fasta(path: str | Path) -> Iterator[Contig]:
    """Records in the file's order, also those without any base; names are unique and there is at least one record."""
    for record in read_records(path):
        yield Contig(record.name, next(record.pieces(sys.maxsize), np.empty(0, np.uint8)))
