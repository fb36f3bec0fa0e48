"""Where the records of a FASTA file are: from its .fai, or from one scan. Nothing is ever written.

An index is believed when it is not older than its file and all of it fits: before each record's first letter stands its
header, after its last letter nothing but the next header. That costs two short reads a record.
"""

import os
import re
from array import array
from bisect import bisect_right
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, Protocol

from .fasta_scan import LONGEST_HEADER, Stretch, cut_name, stretches
from .files import BLOCK, BYTE_ORDER_MARK, describe, read_blocks
from .storage import Stored

FAI_LINE = re.compile(rb"([^\t\r\n]+)" + rb"\t([0-9]{1,18})" * 4 + rb"\r?\n?")


class Index(Protocol):
    """Lengths, and the way to any letter."""

    lengths: dict[str, int]

    def place(self, name: str, start: int) -> tuple[int, int]:
        """An offset in the file, and how many letters from there it is to that of the record."""


class Row(NamedTuple):
    """A line of a .fai."""

    length: int
    offset: int  # of the first letter
    letters: int  # a line
    bytes: int  # a line

    def find(self, position: int) -> int:
        """The offset of a letter."""
        line, column = divmod(position, max(1, self.letters))
        return self.offset + line * self.bytes + column


class Faidx:
    """Index of a .fai."""

    def __init__(self, rows: dict[str, Row]) -> None:
        self.rows = rows
        self.lengths = {name: row.length for name, row in rows.items()}

    def place(self, name: str, start: int) -> tuple[int, int]:
        """The letter itself."""
        return self.rows[name].find(start), 0


class Scan:
    """Index of a scan: where records begin, and a mark about every block on the way, however long the lines are."""

    def __init__(self, found: Iterable[Stretch]) -> None:
        self.lengths: dict[str, int] = {}
        self.begins: dict[str, tuple[int, int]] = {}  # offset, and letters of the file before it
        self.marks = array("q")  # offsets, increasing
        self.letters = array("q")  # of the file before each mark, increasing
        name, letters, last = "", 0, 0
        for stretch in found:
            if stretch.name is not None:
                name, last = stretch.name, stretch.offset
                self.lengths[name] = 0
                self.begins[name] = last, letters
            elif stretch.offset - last >= BLOCK:
                last = stretch.offset
                self.marks.append(last)
                self.letters.append(letters)
            letters += len(stretch.letters)
            self.lengths[name] += len(stretch.letters)

    def place(self, name: str, start: int) -> tuple[int, int]:
        """The last mark before the letter, or the record's beginning where that comes later."""
        begin = self.begins[name]
        wanted = begin[1] + start
        mark = bisect_right(self.letters, wanted) - 1
        offset, letters = max(begin, (self.marks[mark], self.letters[mark])) if mark >= 0 else begin
        return offset, wanted - letters


def find_records(path: str | Path, stored: Stored) -> tuple[Index, list[str]]:
    """The index of a file, and what is to be said about the one beside it."""
    beside = Path(f"{path}.fai")
    notes = []
    if stored.size is not None and beside.is_file():
        if os.stat(beside).st_mtime_ns < os.stat(path).st_mtime_ns:
            notes.append(f"{beside} is older than its file and not used: samtools faidx makes a new one")
        else:
            rows = read_fai(beside)
            full = complete(rows, stored, stored.size)
            if rows and full is not None:
                return Faidx(full), notes
            notes.append(f"{beside} does not fit its file and is not used: samtools faidx makes a new one")
    return Scan(stretches(read_blocks(path), describe(path))), notes


def read_fai(path: Path) -> dict[str, Row]:
    """The rows of an index; none if it is not one."""
    rows: dict[str, Row] = {}
    with path.open("rb") as file:
        for count, line in enumerate(file):
            match = FAI_LINE.fullmatch(line)
            name = match[1].decode(errors="replace") if match else ""
            if match is None or len(rows) < count:  # a name came twice
                return {}
            rows[name] = Row(*map(int, match.groups()[1:]))
    return rows


def complete(rows: dict[str, Row], stored: Stored, size: int) -> dict[str, Row] | None:
    """The rows and those of records without a letter, which samtools leaves out; None if the rows do not fit the file.

    They fit if nothing but headers lies before, between and behind the records.
    """
    found: dict[str, Row] = {}
    end = 0  # of what was looked at
    for name, row in [*rows.items(), (None, Row(0, size, 0, 0))]:
        if max(row.length, row.offset, row.bytes) > size or not 0 <= row.offset - end <= LONGEST_HEADER:
            return None
        between = stored.at(end, row.offset - end)
        names = read_headers(between if end else b"\n" + between.removeprefix(BYTE_ORDER_MARK))
        if name is not None and (names[-1:] != [name] or not between.endswith(b"\n")):
            return None
        for other in names:
            if not other or other in found:
                return None
            found[other] = row if other == name else Row(0, 0, 0, 0)
        end = row.offset - 1
        if row.length:
            if not 0 < row.letters <= row.bytes:
                return None
            last = row.length - 1
            if stored.at(row.find(last - last % row.letters) - 1, 1) != b"\n":
                return None
            end = row.find(last) + 1
    return found


def read_headers(text: bytes) -> list[str]:
    """Names in the headers after the first line end; an empty one if there is anything else."""
    before, *lines = text.split(b"\n")
    headers = [line for line in lines if line.strip()]
    return [cut_name(line[1:]) if line.startswith(b">") else "" for line in headers] + [""] * bool(before.strip())
