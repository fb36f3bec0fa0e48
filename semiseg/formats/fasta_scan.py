"""FASTA taken apart block by block, in memory that grows with neither records nor lines.

Plain Python and not pysam.FastxFile: that skips what precedes the first record and ends in silence on a file without
any, keeps blanks inside sequences, writes to stderr from C and crashes the interpreter when it is given a directory.
Nothing here goes line by line or letter by letter: some 500 MB/s on one core.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

from ..errors import SemisegError
from .files import BINARY, BYTE_ORDER_MARK, bare_return

BLANKS = b" \t\v\f\r\n"
CODES = b"ACGTURYSWKMBDHVNX-acgturyswkmbdhvnx"  # IUPAC; X is how some programs mask
BARE_RETURN = re.compile(rb"\r+[^\r\n]")
NEWLINE = ord("\n")
LONGEST_HEADER = 1 << 20


class Stretch(NamedTuple):
    """What a block holds of one record."""

    name: str | None  # of the record that begins here; None where one goes on
    offset: int  # in the file; no letter of the stretch stands before it
    letters: bytes  # ASCII as in the file, without line ends and blanks


def stretches(blocks: Iterable[bytes], source: str) -> Iterator[Stretch]:
    """Records in the file's order, also those without a letter; names are unique and there is at least one record."""
    seen: set[str] = set()
    name, done = "", 0  # of the record that goes on: its letters so far
    held, offset, lines = b"\n", -1, 0  # a line end before the file: now every header follows one
    for data in chain(blocks, [b"\n\n"]):  # and one behind it, and one to be held back
        if offset < 0 and data.startswith(BYTE_ORDER_MARK):
            data, offset = data.removeprefix(BYTE_ORDER_MARK), offset + len(BYTE_ORDER_MARK)
        block = held + data
        end = len(block) - block.endswith((b"\n", b"\r"))  # what follows it decides what it is
        check_text(block, end, lines, source)
        begun: str | None = None
        start = 0
        while True:
            mark = find_header(block, start, end)
            raw = block[start : end if mark < 0 else mark]
            if name:
                letters = clean(raw, name, done, source)
                done += len(letters)
                if letters or begun is not None:
                    yield Stretch(begun, offset + start, letters)
            elif raw.strip():
                raise no_fasta(raw, lines, source)
            if mark < 0:
                break
            start = block.find(b"\n", mark, end)
            if start < 0:
                end = mark - 1  # with the line end that makes it a header
                break
            begun = name = cut_name(block[mark + 1 : start])
            if not name or name in seen:  # only now is the line looked for: that takes time
                raise bad_name(name, f"{source}, line {lines + block.count(NEWLINE, 0, mark)}")
            seen.add(name)
            done = 0
        held = block[end:]
        offset += end
        lines += block.count(NEWLINE, 0, end)
        if len(held) > LONGEST_HEADER:
            raise SemisegError(f"{source}, line {lines + 1}: expected a header, found a line without end")
    if not name:
        raise SemisegError(f"{source}: expected FASTA, found no record")


def find_header(block: bytes, start: int, end: int) -> int:
    """Where the next > at the beginning of a line is, or -1; many times as fast as to look for both letters at once."""
    mark = block.find(b">", start, end)
    while mark == 0 or (mark > 0 and block[mark - 1] != NEWLINE):
        mark = block.find(b">", mark + 1, end)
    return mark


def cut_name(header: bytes) -> str:
    """What stands between > and the first blank."""
    return "" if not header or header[:1].isspace() else header.split(None, 1)[0].decode(errors="replace")


def bad_name(name: str, where: str) -> SemisegError:
    """The error for a name that is empty or was there before."""
    if not name:
        return SemisegError(f"{where}: expected a name right after >, found none")
    return SemisegError(f"{where}: there is a second record named {name}: rename one")


def clean(raw: bytes, name: str, done: int, source: str) -> bytes:
    """The letters without what stands between them, if they are nucleotide codes; `done` of the record came before."""
    letters = raw.replace(b"\n", b"")
    if not letters.translate(None, CODES):
        return letters
    letters = letters.translate(None, BLANKS)
    foreign = letters.translate(None, CODES)[:1]
    if foreign:
        raise SemisegError(
            f"{source}, record {name}: expected nucleotides (IUPAC codes), found {shown(foreign)}"
            f" at base {done + letters.index(foreign) + 1}"
        )
    return letters


def check_text(block: bytes, end: int, lines: int, source: str) -> None:
    """Refuse what no text holds, and lines that end with a carriage return alone."""
    if b"\0" in block:
        line = lines + block.count(NEWLINE, 0, block.index(b"\0"))
        raise SemisegError(f"{source}, line {line}: {BINARY}")
    if b"\r" not in block or block.count(b"\r", 0, end) == block.count(b"\r\n", 0, end):
        return
    bare = BARE_RETURN.search(block, 0, end)
    if bare:
        line = lines + block.count(NEWLINE, 0, bare.start())
        raise SemisegError(f"{source}, line {line}: {bare_return(block)}")


def no_fasta(raw: bytes, lines: int, source: str) -> SemisegError:
    """The error for what stands before the first header."""
    text = raw.lstrip()
    line = lines + raw.count(NEWLINE, 0, len(raw) - len(text))
    found = text.split(b"\n", 1)[0].rstrip()[:40]
    return SemisegError(f"{source}, line {line}: expected FASTA, which begins with >, found {shown(found)}")


def shown(data: bytes) -> str:
    """Bytes in quotes, what cannot be printed as escapes."""
    return repr(data).removeprefix("b")
