"""Whether a bigWig is whole: its index and all blocks, before a library reads it.

The library takes offsets and counts on trust: a damaged index makes it ask for more memory than there is, which ends
the process, or leave out blocks without a word.
"""

import mmap
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import SemisegError

MAGIC, NAMES, INDEX = 0x888FFC26, 0x78CA8C91, 0x2468ACE0
HEADER = "IHHQQQHHQQIQ"
NAMES_HEADER = "IIIIQQ"
INDEX_HEADER = "IIQIIIIQII"
NODE = "BBH"
BLOCK = "IIIIIBBH"
ITEMS = {1: 12, 2: 8, 3: 4}  # bytes of an item, by the kind of its block


class Damaged(Exception):
    """What is wrong."""


class Bytes:
    """The bytes of a file, as numbers in its order."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data = data
        self.order = "<" if data[:4] == struct.pack("<I", MAGIC) else ">"

    def at(self, offset: int, form: str) -> tuple[Any, ...]:
        """Numbers that stand there."""
        if offset + size_of(form) > len(self.data):
            raise Damaged("it points beyond its end")
        return struct.unpack_from(self.order + form, self.data, offset)


def size_of(form: str) -> int:
    """Return the bytes of numbers."""
    return struct.calcsize(f"={form}")


def check_whole(path: Path) -> None:
    """Refuse a bigWig of which something is missing or damaged, but for its zoom levels, which nobody reads here."""
    with path.open("rb") as file:
        try:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                check(Bytes(data))
        except (Damaged, ValueError) as error:  # an empty file cannot be mapped
            raise SemisegError(f"{path}: cannot be read as bigWig, it may be damaged or cut off: {error}") from None


def check(file: Bytes) -> None:
    """Look at the names, at the index and at every block."""
    magic, _, _, names, _, index, _, _, _, _, inflated, _ = file.at(0, HEADER)
    if magic != MAGIC:
        raise Damaged("it does not begin like one")
    lengths = lengths_of(file, names)
    magic, _, items, a, b, c, d, _, together, _ = file.at(index, INDEX_HEADER)
    if magic != INDEX:
        raise Damaged("its index is not where it should be")
    found = 0
    for *span, offset, size in leaves(file, (a, b, c, d, index + size_of(INDEX_HEADER)), "IIIIQQ", "IIIIQ"):
        check_block(file, (span[0], span[1]), (span[2], span[3]), offset, size, inflated, lengths)
        found += 1
    if found not in (items, -(-items // max(together, 1))):
        raise Damaged(f"it has {found} blocks, and {items} by its index")


def lengths_of(file: Bytes, at: int) -> list[int]:
    """Return the lengths of the sequences, by number."""
    magic, _, letters, values, items, _ = file.at(at, NAMES_HEADER)
    if magic != NAMES or values != size_of("II") or letters > len(file.data):
        raise Damaged("its sequences are not where they should be")
    found = {x[1]: x[2] for x in leaves(file, (at + size_of(NAMES_HEADER),), f"{letters}sII", f"{letters}sQ")}
    if len(found) != items or sorted(found) != list(range(len(found))):
        raise Damaged("its sequences are not those that it counts")
    return [found[i] for i in range(items)]


def leaves(file: Bytes, root: tuple[int, ...], leaf: str, inner: str) -> Iterator[tuple[Any, ...]]:
    """Yield the items of a tree's leaves; an inner item, and the root, ends with where its node is.

    Spans, in the index, lie inside of those above.
    """
    waiting, seen = [root], set()
    while waiting:
        above = waiting.pop()
        if above[-1] in seen:
            raise Damaged("it goes round in circles")
        seen.add(above[-1])
        is_leaf, _, count = file.at(above[-1], NODE)
        form = leaf if is_leaf else inner
        if is_leaf > 1:
            raise Damaged("its index is no tree")
        for i in range(count):
            item = file.at(above[-1] + size_of(NODE) + i * size_of(form), form)
            if len(item) > 4 and not above[:2] <= item[:2] <= item[2:4] <= above[2:4]:
                raise Damaged("its index contradicts itself")
            if is_leaf:
                yield item
            else:
                waiting.append(item)


def check_block(
    file: Bytes, first: tuple[int, int], last: tuple[int, int], offset: int, size: int, inflated: int,
    lengths: list[int],
) -> None:  # fmt: skip
    """Look at one block: that its sum is right where it is compressed, and that it lies where the index says."""
    if offset + size > len(file.data):
        raise Damaged("it points beyond its end")
    block = file.data[offset : offset + size]
    if inflated:
        unpacking = zlib.decompressobj()
        try:
            block = unpacking.decompress(block, inflated)
        except zlib.error as error:
            raise Damaged(str(error)) from None
        if not unpacking.eof:
            raise Damaged("a block is cut off")
    if len(block) < size_of(BLOCK):
        raise Damaged("a block is cut off")
    sequence, start, end, _, _, kind, _, count = struct.unpack_from(file.order + BLOCK, block)
    if kind not in ITEMS or size_of(BLOCK) + count * ITEMS[kind] > len(block):
        raise Damaged("a block is not what it says")
    if not first <= (sequence, start) <= (sequence, end) <= last or sequence >= len(lengths) or end > lengths[sequence]:
        raise Damaged("a block is not where its index says")
