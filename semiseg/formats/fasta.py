"""Nucleotide sequences of a FASTA file, one whole record at a time.

Plain Python and not pysam.FastxFile: that skips what precedes the first record and ends in silence on a file without
any, keeps blanks inside sequences, writes to stderr from C and crashes the interpreter when it is given a directory.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import SemisegError
from .files import describe, read_lines

BLANKS = b" \t\v\f"
CODES = b"ACGTURYSWKMBDHVNX-acgturyswkmbdhvnx"  # IUPAC; X is how some programs mask


class Contig(NamedTuple):
    """One record."""

    name: str  # up to the first blank
    sequence: NDArray[np.uint8]  # (T,) ASCII, as in the file


def read_fasta(path: str | Path) -> Iterator[Contig]:
    """Records in the file's order, also those without any base; names are unique and there is at least one record."""
    source = describe(path)
    name: str | None = None
    seen: set[str] = set()
    bases = bytearray()
    for number, line in enumerate(read_lines(path), start=1):
        if line.startswith(b">"):
            if name is not None:
                yield make_contig(name, bases, source)
            name, bases = cut_name(line), bytearray()
            if not name:
                raise SemisegError(f"{source}, line {number}: expected a name right after >, found none")
            if name in seen:
                raise SemisegError(f"{source}, line {number}: there is a second record named {name}: rename one")
            seen.add(name)
        elif name is not None:
            bases += line
        elif line.strip():
            raise SemisegError(f"{source}, line {number}: expected FASTA, which begins with >, found {line[:40]!r}")
    if name is None:
        raise SemisegError(f"{source}: expected FASTA, found no record")
    yield make_contig(name, bases, source)


def cut_name(header: bytes) -> str:
    """What stands between > and the first blank."""
    text = header[1:].decode(errors="replace")
    return "" if not text or text[0].isspace() else text.split(maxsplit=1)[0]


def make_contig(name: str, bases: bytearray, source: str) -> Contig:
    """The record, if it is made of nucleotide codes."""
    bases = bases.translate(None, BLANKS)
    foreign = bases.translate(None, CODES)
    if foreign:
        raise SemisegError(
            f"{source}, record {name}: expected nucleotides (IUPAC codes), found {bytes(foreign[:1])!r}"
            f" at base {bases.index(foreign[:1]) + 1}"
        )
    return Contig(name, np.frombuffer(bases, dtype=np.uint8))
