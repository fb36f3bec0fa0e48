"""bedGraph and BED as spans of coordinates: sorted by contig and start, read once and in order."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import SemisegError
from .bins import Spans
from .files import read_lines
from .sequences import no_sequence

BATCH = 1 << 15  # rows
Groups = Iterator[tuple[str, Iterator[Spans]]]
OTHER = (b"#", b"track", b"browser")  # what lines that are no rows begin with


class Rows:
    """Some rows of one contig."""

    def __init__(self, path: Path, contig: str, numbers: list[int], cells: list[list[bytes]]) -> None:
        self.path, self.contig, self.numbers, self.cells = path, contig, numbers, cells

    def column(self, i: int, kind: type, what: str) -> NDArray:
        """Return a column as numbers; the first cell that is none is an error."""
        words = [row[i] for row in self.cells]
        try:
            return np.array(words).astype(kind)
        except (ValueError, OverflowError):
            for number, word in zip(self.numbers, words, strict=True):
                try:
                    np.array([word]).astype(kind)
                except (ValueError, OverflowError):
                    raise self.wrong(number, f"expected {what}, found {word.decode(errors='replace')}") from None
            raise

    def refuse(self, bad: NDArray, why: str) -> None:
        """Refuse the first row that is bad."""
        if bad.any():
            raise self.wrong(self.numbers[int(bad.argmax())], why)

    def wrong(self, number: int, why: str) -> SemisegError:
        """The error for a row."""
        return SemisegError(f"{self.path}, line {number}: {why}")

    def spans(self, length: int, has_values: bool, before: int) -> Spans:
        """Return the rows' spans, which begin no further left than `before`; those of BED may overlap."""
        starts, ends = (self.column(i, np.int64, "a whole number") for i in (1, 2))
        self.refuse((starts < 0) | (ends <= starts), "expected 0 <= start < end")
        self.refuse(ends > length, f"beyond the end of {self.contig}, which has {length} bases: another assembly?")
        reached = ends if has_values else starts
        late = starts < np.concatenate([[before], reached[:-1]])
        self.refuse(late, f"not sorted by contig and start{', or over the row before' if has_values else ''}")
        values = self.column(3, np.float64, "a number") if has_values else np.ones(len(starts))
        self.refuse(np.isinf(values), "expected a finite value")
        known = ~np.isnan(values)
        return Spans(starts[known], ends[known], values[known], int(reached[-1]))


def text_spans(path: Path, lengths: Mapping[str, int], has_values: bool, partial: bool) -> Groups:
    """Yield the contigs of bedGraph, or of BED without values, with their spans; others than wanted are left out.

    Each is to be used before the next one is asked for. One that is not there is an error, unless the file may be
    `partial`; one of them must be there.
    """
    seen: dict[str, None] = {}
    for contig, group in groupby(batches(path, 4 if has_values else 3), key=lambda rows: rows.contig):
        rows = next(group)
        if contig in seen:
            raise rows.wrong(rows.numbers[0], f"{contig} once more: not sorted by contig and start")
        seen[contig] = None
        if contig in lengths:
            yield contig, spans(rows, group, lengths[contig], has_values)  # noqa: B031 - it goes on
    absent = [name for name in lengths if name not in seen]
    if absent and (not partial or len(absent) == len(lengths)):
        raise lacking(path, absent[0], seen)


def lacking(path: Path, name: str, there: Iterable[str]) -> SemisegError:
    """The error for a contig that a file of tracks does not have."""
    there = list(there)
    if not there:
        return SemisegError(f"{path}: nothing in it")
    return SemisegError(f"{no_sequence(str(path), name, there)}: --partial takes it as not known")


def spans(first: Rows, rest: Iterator[Rows], length: int, has_values: bool) -> Iterator[Spans]:
    """Yield the spans of one contig."""
    found = first.spans(length, has_values, 0)
    yield found
    for rows in rest:
        found = rows.spans(length, has_values, found.reached)
        yield found


def batches(path: Path, columns: int) -> Iterator[Rows]:
    """Yield all rows, some at a time."""
    lines = ((i, x) for i, x in enumerate(read_lines(path), start=1) if x.strip() and not x.startswith(OTHER))
    while some := list(islice(lines, BATCH)):
        for contig, group in groupby(((number, line.split(None, columns)) for number, line in some), key=contig_of):
            numbers, cells = (list(x) for x in zip(*group, strict=True))
            short = next((i for i, row in enumerate(cells) if len(row) < columns), None)
            if short is not None:
                names = "contig, start, end, value" if columns == 4 else "contig, start, end"
                raise SemisegError(f"{path}, line {numbers[short]}: expected {names}")
            yield Rows(path, contig.decode(errors="replace"), numbers, cells)


def contig_of(row: tuple[int, list[bytes]]) -> bytes:
    """Return the first cell."""
    return row[1][0]
