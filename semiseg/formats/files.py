"""A file from its beginning to its end, in lines or in blocks: plain, gzip (bgzip is that), or standard input."""

import codecs
import gzip
import io
import re
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from ..errors import SemisegError
from .bgzip import is_compressed

GZIP = b"\x1f"  # its first byte is no text; a pipe may hand over the second later
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
CONTROL = re.compile(rb"[\0-\x08\x0e-\x1f]")  # in no text
BINARY = "expected text, plain or gzip, found binary data"
BLOCK = 1 << 20
FIRST = 64  # the first block is no shorter, if the file is not: a pipe may hand over a byte at a time


def read_lines(path: str | Path) -> Iterator[bytes]:
    """Lines without their ends, Unix or Windows; "-" is standard input. Whatever cannot be read is a SemisegError."""
    name = describe(path)
    with reading(path), open_bytes(path) as stream:
        for number, line in enumerate(stream, start=1):
            text = line.rstrip(b"\r\n")
            if number == 1:
                text = text.removeprefix(BYTE_ORDER_MARK)
            if b"\0" in text:
                raise SemisegError(f"{name}, line {number}: {BINARY}")
            if b"\r" in text:
                raise SemisegError(f"{name}, line {number}: {bare_return(text)}")
            yield text


def bare_return(text: bytes) -> str:
    """Return what is wrong with text in which a carriage return stands alone."""
    return BINARY if CONTROL.search(text) else "carriage return inside a line: convert the line ends"


def read_blocks(path: str | Path) -> Iterator[bytes]:
    """Pieces of a file in order, decompressed, as they arrive; "-" is standard input."""
    with reading(path), open_bytes(path) as stream:
        data = stream.read(FIRST)
        while data:
            yield data
            data = stream.read1(BLOCK)


@contextmanager
def reading(path: str | Path) -> Iterator[None]:
    """Whatever goes wrong with a file inside is a SemisegError."""
    name = describe(path)
    try:
        yield
    except EOFError as error:
        raise SemisegError(f"{name}: the gzip data end early: the file is cut off") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        why = str(error).replace("(b'", "('")
        raise SemisegError(f"{name}: damaged gzip data: {why}") from error
    except OSError as error:
        raise SemisegError(f"cannot read {name}: {error.strerror or error}") from error


@contextmanager
def open_bytes(path: str | Path) -> Iterator[io.BufferedIOBase]:
    """The bytes of a file, decompressed where it begins like gzip; standard input stays open."""
    is_input = str(path) == "-"
    raw = cast(io.RawIOBase, sys.stdin.buffer if is_input else open(path, "rb", buffering=0))  # noqa: SIM115
    stream = io.BufferedReader(raw)
    try:
        head = stream.peek(FIRST)[:FIRST]
        if head[:1] == GZIP:
            with gzip.GzipFile(fileobj=stream) as unpacked:
                yield unpacked
        elif is_compressed(Path(path)) and not is_text(head):
            raise SemisegError(f"{path}: named as gzip, but what is in it is neither gzip nor text: is it damaged?")
        else:
            yield stream
    finally:
        stream.detach()  # or it would close what it reads from
        if not is_input:
            raw.close()


def is_text(head: bytes) -> bool:
    """Whether a file that begins so may be text; the last letter may be cut."""
    try:
        return "\0" not in codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False


def describe(path: str | Path) -> str:
    """How messages name the file."""
    return "standard input" if str(path) == "-" else str(path)
