"""ChromHMM's binarised marks: text of one contig a file, one row a bin, 1 where a mark is present, 2 where not known.

K562   chr11
CTCF   H3K27ac
0      1
"""

from collections.abc import Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import SemisegError
from ..signals import Source, Strip
from .files import open_bytes, read_lines, reading
from .track_file import columns_of

BIN = 200  # bases: ChromHMM's own, as the files do not tell
ENDINGS = ("_binary.txt", "_binary.txt.gz")
ROWS = 1 << 16  # that are read at once
UNKNOWN = 2


class Marks(NamedTuple):
    """One file."""

    cell: str
    contig: str
    names: list[str]
    values: NDArray[np.uint8]  # (bins, marks); a genome of 10 marks takes 155 MB


def are_binarised(path: Path) -> list[Path]:
    """Return the binarised files that a path names: itself, or those in a folder."""
    if path.is_dir():
        return sorted(x for x in path.iterdir() if x.name.endswith(ENDINGS))
    try:
        with open_bytes(path) as stream:
            lines = [line.rstrip(b"\r\n").split(b"\t") for line in islice(stream, 3)]
    except (OSError, EOFError):
        return []
    is_one = len(lines) == 3 and len(lines[0]) == 2 and len(lines[1]) == len(lines[2])
    return [path] if is_one and set(lines[2]) <= {b"0", b"1", b"2"} and not set(lines[1]) <= {b"0", b"1", b"2"} else []


def binarised_source(path: Path, files: Sequence[Path], channels: Sequence[str] | None = None) -> Source:
    """Return files as one source; where they are of several cell types, contigs are named <cell>_<contig>."""
    marks = [read_marks(file) for file in files]
    names = marks[0].names
    for file, one in zip(files, marks, strict=True):
        if one.names != names:
            raise SemisegError(f"{file}: its marks are {', '.join(one.names)}, those of {files[0]} {', '.join(names)}")
    several = len({one.cell for one in marks}) > 1
    columns = columns_of(path, names, channels)
    strips: dict[str, Strip] = {}
    for file, one in zip(files, marks, strict=True):
        name = f"{one.cell}_{one.contig}" if several else one.contig
        if name in strips:
            raise SemisegError(f"{file}: {name} is in another file too")
        n = len(one.values)
        strips[name] = Strip(name, n, partial(stretch, one.values, columns), n * BIN)
    return Source(str(path), tuple(names[i] for i in columns), tuple(strips.values()), BIN)


def stretch(values: NDArray, columns: list[int], first: int, last: int) -> NDArray:
    """Return some rows as numbers."""
    rows = values[first:last, columns]
    return np.where(rows == UNKNOWN, np.nan, rows).astype(np.float32)


def read_marks(path: Path) -> Marks:
    """Return the content of one file."""
    head = [line.decode(errors="replace").split("\t") for line in islice(read_lines(path), 2)]
    if len(head) < 2 or len(head[0]) != 2:
        raise SemisegError(f"{path}: expected the cell type and the contig in the first line, marks in the second")
    (cell, contig), names = head
    parts, number = [], 3
    with reading(path), open_bytes(path) as stream:
        for _ in range(2):
            stream.readline()
        wide = 2 * len(names)  # bytes of a line with its end
        held = b""
        while data := stream.read(wide * ROWS):
            held += data.replace(b"\r", b"")
            whole = len(held) - len(held) % wide
            parts.append(rows(path, number, held[:whole], len(names)))
            number += len(parts[-1])
            held = held[whole:]
    if held:
        parts.append(rows(path, number, held + b"\n", len(names)))
    values = np.concatenate(parts) if parts else np.zeros((0, len(names)), np.uint8)
    if not len(values):
        raise SemisegError(f"{path}: no bin in it")
    return Marks(cell, contig, names, values)


def rows(path: Path, number: int, data: bytes, marks: int) -> NDArray[np.uint8]:
    """Return lines, of which the first is of that number, as numbers."""
    n = len(data) // (2 * marks)
    signs = np.frombuffer(data[: n * 2 * marks], np.uint8).reshape(n, marks, 2)
    values = signs[..., 0] - ord("0")
    ends = np.full(marks, ord("\t"))
    ends[-1] = ord("\n")
    bad = ((values > UNKNOWN) | (signs[..., 1] != ends)).any(1)
    if bad.any() or n * 2 * marks != len(data):
        line = number + (int(bad.argmax()) if bad.any() else n)
        raise SemisegError(f"{path}, line {line}: expected {marks} marks, each 0, 1 or 2 (not known), and tabs")
    return values
