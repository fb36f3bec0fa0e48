"""Sequences of a FASTA file, of any length: in order piece by piece, or a region of one.

    with open_sequences("genome.fa.gz") as sequences:
        for record in sequences:
            for piece in record.pieces():
                ...

Files may be plain, gzip or bgzip. What comes from a pipe is read once and in order, and its lengths are not known.
"""

import stat
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ..errors import SemisegError
from .fasta_index import Index, find_records
from .fasta_scan import Stretch, clean, stretches
from .files import BLOCK, describe, read_blocks, reading
from .storage import Stored, open_stored

LISTED = 10  # names in a message
COMPARED = 10_000  # names that are looked through for one alike: 0.2 s


class Record:
    """One record, read in order and once."""

    __slots__ = ("is_past", "length", "letters", "name")

    def __init__(self, name: str, length: int | None, letters: Iterator[bytes]) -> None:
        self.name = name  # up to the first blank, else unchanged
        self.length = length  # None: comes from a pipe, known when it has been read
        self.letters = letters  # as blocks hold them
        self.is_past = False

    def pieces(self, size: int = BLOCK) -> Iterator[NDArray[np.uint8]]:
        """ASCII letters as in the file; every piece but the last has `size` of them, an empty record has no piece."""
        if size < 1:
            raise ValueError(f"expected pieces of one letter or more, got {size}")
        held = bytearray()
        for letters in self.letters:
            held += letters
            whole = len(held) - len(held) % size
            for start in range(0, whole, size):
                yield np.frombuffer(held[start : start + size], np.uint8)
            del held[:whole]
        if self.is_past:
            raise ValueError(f"record {self.name} was passed before it was read: read each before the next")
        if held:
            yield np.frombuffer(held, np.uint8)


def read_records(path: str | Path, lengths: Mapping[str, int] | None = None) -> Iterator[Record]:
    """Records in the file's order; one that is not read to its end is skipped when the next is asked for."""
    source = describe(path)
    found = stretches(read_blocks(path), source)
    upcoming: Stretch | None = next(found)

    def letters_of(first: Stretch, length: int | None) -> Iterator[bytes]:
        nonlocal upcoming
        count = len(first.letters)
        upcoming = None
        yield first.letters
        for stretch in found:
            if stretch.name is not None:
                upcoming = stretch
                break
            count += len(stretch.letters)
            yield stretch.letters
        if count != length and lengths is not None:
            raise changed(source, str(first.name))

    while upcoming is not None:
        name = str(upcoming.name)
        length = None if lengths is None else lengths.get(name)
        record = Record(name, length, letters_of(upcoming, length))
        yield record
        for _ in record.letters:
            record.is_past = True


class Sequences:
    """A FASTA file. Made by open_sequences and closed by leaving its `with`."""

    def __init__(self, path: str | Path, stored: Stored | None, index: Index | None, notes: list[str]) -> None:
        self.path = path
        self.stored = stored
        self.index = index
        self.notes = notes  # sentences to warn with
        self.lengths = None if index is None else index.lengths  # in the file's order; None for a pipe

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the file back."""
        if self.stored is not None:
            self.stored.close()

    def __iter__(self) -> Iterator[Record]:
        """Records in the file's order, from the first; a pipe has them once."""
        return read_records(self.path, self.lengths)

    def read(self, name: str, start: int, end: int) -> NDArray[np.uint8]:
        """Letters start..end of a record; costs what lies between, or what comes before in gzip that is not bgzip."""
        source = describe(self.path)
        if self.stored is None or self.index is None:
            raise SemisegError(f"{source}: a region needs a file, since a pipe can be read only once and in order")
        if name not in self.index.lengths:
            raise no_sequence(source, name, self.index.lengths)
        if not 0 <= start <= end <= self.index.lengths[name]:
            length = self.index.lengths[name]
            raise SemisegError(f"{source}: {name} has {length} bases, and none from {start + 1} to {end}")
        with reading(self.path):
            return fetch(self.stored, self.index, source, name, start, end)


def fetch(stored: Stored, index: Index, source: str, name: str, start: int, end: int) -> NDArray[np.uint8]:
    """Letters of a region that lies within its record, read in blocks that are little longer than it."""
    out = np.empty(end - start, np.uint8)
    filled = 0
    offset, skip = index.place(name, start)
    while filled < len(out):
        wanted = skip + len(out) - filled
        raw = stored.at(offset, min(BLOCK, wanted + wanted // 32 + 128))  # lines of 60 have an end in 61 letters
        offset += len(raw)
        inside, next_record, _ = raw.partition(b">")
        letters = clean(inside, name, start + filled - skip, source)
        fresh = np.frombuffer(letters, np.uint8)[skip:wanted]
        out[filled : filled + len(fresh)] = fresh
        filled += len(fresh)
        skip = max(0, skip - len(letters))
        if filled < len(out) and (next_record or not raw):
            raise changed(source, name)
    return out


def open_sequences(path: str | Path) -> Sequences:
    """A FASTA file with the lengths of its records; "-" is standard input. What cannot be read twice has no lengths."""
    if str(path) == "-":
        return Sequences(path, None, None, [])
    with reading(path):
        mode = Path(path).stat().st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            return Sequences(path, None, None, [])
        stored = open_stored(path)
        try:
            index, notes = find_records(path, stored)
        except BaseException:
            stored.close()
            raise
    if not stored.is_whole:
        notes.append(f"{path} lacks the empty block that bgzip ends with: it may be cut off")
    return Sequences(path, stored, index, notes)


def changed(source: str, name: str) -> SemisegError:
    """The error for a record that is not as long as it was."""
    return SemisegError(
        f"{source}, record {name}: not as long as the index or the first look said: the file has changed,"
        f" or its .fai is wrong: remove that"
    )


def near(name: str, names: Iterable[str], n: int = 3) -> list[str]:
    """Up to n names that are like one: first those that differ in case or by chr alone."""

    def core(text: str) -> str:
        return text.lower().removeprefix("chr")

    some = list(islice(names, COMPARED))
    same = [other for other in some if core(other) == core(name)]
    return list(dict.fromkeys([*same, *get_close_matches(name, some, n)]))[:n]


def no_sequence(where: str, name: str, names: Iterable[str]) -> SemisegError:
    """The error for a name that no sequence has; `where` is the option or the file that asks for it."""
    alike = near(name, names)
    listed = list(dict.fromkeys([*(x for x in islice(names, COMPARED) if x in alike), *islice(names, LISTED + 1)]))
    more = ", ..." if len(listed) > LISTED else ""
    return SemisegError(f"{where}: no sequence named {name}; there are {', '.join(listed[:LISTED])}{more}")
