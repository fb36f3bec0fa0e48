"""Recordings as text: a column a channel, a row a sample; commas, or tabs in .tsv.

A row of names may stand above. An empty cell, NA and NaN are what is not known. A column called time or sample is no
channel.
"""

import csv
import re
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import SemisegError
from .files import open_bytes, reading
from .recordings import Recording

UNKNOWN = ("", "na", "nan")
CLOCKS = ("time", "t", "sample", "index")  # in any case; what comes behind a space or a bracket is a unit


def read(path: Path, dataset: str | None) -> list[Recording]:
    """Return the table of a file."""
    if dataset is not None:
        raise SemisegError(f"{path}: --dataset is for HDF5 and .npz")
    with reading(path), open_bytes(path) as stream:
        text = (line.decode(errors="replace") for line in stream)
        rows = csv.reader(text, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
        numbered = ((rows.line_num, row) for row in rows if row and not row[0].startswith("#"))
        first = next(numbered, None)
        if first is None:
            raise SemisegError(f"{path}: the recording is empty")
        is_header = any(not is_number(cell) for cell in first[1])
        names = [cell.strip() for cell in first[1]] if is_header else [str(i) for i in range(len(first[1]))]
        values = [numbers(path, names, *row) for row in (numbered if is_header else chain([first], numbered))]
    columns = [i for i, name in enumerate(names) if re.split(r"[ (]", name.lower())[0] not in CLOCKS]
    if not columns:
        raise SemisegError(f"{path}: no channel beside {', '.join(names)}")
    table = np.array(values, np.float32).reshape(len(values), len(names))[:, columns]

    def stretch(a: int, b: int) -> NDArray:
        return table[a:b]

    return [Recording(path.stem, tuple(names[i] for i in columns), None, len(table), stretch)]


def is_number(cell: str) -> bool:
    """Return whether a cell is a number, or one that is not known."""
    if cell.strip().lower() in UNKNOWN:
        return True
    try:
        float(cell)
    except ValueError:
        return False
    return True


def numbers(path: Path, names: list[str], line: int, row: list[str]) -> list[float]:
    """Return a row's numbers."""
    if len(row) != len(names):
        raise SemisegError(f"{path}, line {line}: expected {len(names)} columns, found {len(row)}")
    for name, cell in zip(names, row, strict=True):
        if not is_number(cell):
            raise SemisegError(f"{path}, line {line}, column {name}: expected a number, found {cell!r}")
    return [float("nan") if cell.strip().lower() in UNKNOWN else float(cell) for cell in row]
