"""Bytes from anywhere in a file that is plain, gzip or bgzip.

bgzip is gzip in many members that say how long they are. Hopping from one to the next finds where each begins, in 0.2 s
for a genome of 3 Gb, so that no .gzi is needed, none can be out of date, and nothing is asked of htslib,
which writes to stderr and makes missing indexes unasked.
"""

import gzip
import io
import os
from array import array
from bisect import bisect_right
from pathlib import Path
from typing import NamedTuple, Protocol

from .files import GZIP

BGZIP_HEAD = 18


class Stored(Protocol):
    """A file that can be read anywhere."""

    size: int | None  # decompressed; None for gzip in one member, where every place is reached through all before it
    is_whole: bool  # as far as can be told

    def at(self, offset: int, count: int) -> bytes:
        """What stands there, fewer bytes only at the end."""

    def close(self) -> None:
        """Give the file back."""


def open_stored(path: str | Path) -> Stored:
    """The file, however it is stored."""
    file = open(path, "rb", buffering=0)  # noqa: SIM115
    try:
        return Packed(file, find_members(file)) if file.read(1) == GZIP else Plain(file)
    except BaseException:
        file.close()
        raise


class Plain:
    """A file as it is."""

    is_whole = True

    def __init__(self, file: io.FileIO) -> None:
        self.file = file
        self.size: int | None = os.fstat(file.fileno()).st_size

    def at(self, offset: int, count: int) -> bytes:
        """What stands there."""
        self.file.seek(offset)
        return self.file.read(count)

    def close(self) -> None:
        """Give the file back."""
        self.file.close()


class Members(NamedTuple):
    """Where decompression can begin."""

    packed: "array[int]"  # in the file
    plain: "array[int]"  # in what it holds
    size: int | None  # of what it holds
    is_whole: bool  # bgzip ends with an empty member


def find_members(file: io.FileIO) -> Members:
    """The members of a bgzip file; of any other, the beginning alone."""
    packed, plain = array("q"), array("q")
    place = total = held = 0
    end = os.fstat(file.fileno()).st_size
    while place < end:
        file.seek(place)
        head = file.read(BGZIP_HEAD)
        if len(head) < BGZIP_HEAD or head[:4] != b"\x1f\x8b\x08\x04" or head[12:16] != b"BC\2\0":
            break
        packed.append(place)
        plain.append(total)
        place += int.from_bytes(head[16:], "little") + 1
        file.seek(place - 4)
        held = int.from_bytes(file.read(4), "little")
        total += held
    if place != end:  # not bgzip, or damaged: then whoever reads it from the beginning says so
        return Members(array("q", [0]), array("q", [0]), None, True)
    return Members(packed, plain, total, held == 0)


class Packed:
    """A gzip or bgzip file. Going forward decompresses what lies between, unless a member begins nearer."""

    def __init__(self, file: io.FileIO, members: Members) -> None:
        self.file = file
        self.members = members
        self.size = members.size
        self.is_whole = members.is_whole
        self.begin(0)

    def begin(self, member: int) -> None:
        """Decompress from there on."""
        self.file.seek(self.members.packed[member])
        self.stream = gzip.GzipFile(fileobj=self.file)
        self.base = self.members.plain[member]

    def at(self, offset: int, count: int) -> bytes:
        """What stands there."""
        reached = self.base + self.stream.tell()
        member = bisect_right(self.members.plain, offset) - 1
        if not self.members.plain[member] <= reached <= offset:
            self.begin(member)
        self.stream.seek(offset - self.base)
        return self.stream.read(count)

    def close(self) -> None:
        """Give the file back."""
        self.stream.close()
        self.file.close()
