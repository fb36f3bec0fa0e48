"""Lines of a file, however it is stored: plain or gzip (bgzip is gzip in many members), or from standard input."""

import gzip
import io
import sys
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from ..errors import SemisegError

GZIP = b"\x1f"  # its first byte is no text; a pipe may hand over the second later
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def read_lines(path: str | Path) -> Iterator[bytes]:
    """Lines without their ends, Unix or Windows; "-" is standard input. Whatever cannot be read is a SemisegError."""
    name = describe(path)
    try:
        with open_bytes(path) as stream:
            for number, line in enumerate(stream, start=1):
                text = line.rstrip(b"\r\n")
                if number == 1:
                    text = text.removeprefix(BYTE_ORDER_MARK)
                if b"\0" in text:
                    raise SemisegError(f"{name}, line {number}: expected text, plain or gzip, found binary data")
                if b"\r" in text:
                    raise SemisegError(f"{name}, line {number}: carriage return inside a line: convert the line ends")
                yield text
    except EOFError as error:
        raise SemisegError(f"{name}: the gzip data end early: the file is cut off") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise SemisegError(f"{name}: damaged gzip data: {error}") from error
    except OSError as error:
        raise SemisegError(f"cannot read {name}: {error.strerror or error}") from error


@contextmanager
def open_bytes(path: str | Path) -> Iterator[Iterable[bytes]]:
    """Lines of a file, decompressed where it begins like gzip; standard input stays open."""
    is_input = str(path) == "-"
    raw = cast(io.RawIOBase, sys.stdin.buffer if is_input else open(path, "rb", buffering=0))  # noqa: SIM115
    stream = io.BufferedReader(raw)
    try:
        if stream.peek(1)[:1] == GZIP:
            with gzip.GzipFile(fileobj=stream) as unpacked:
                yield unpacked
        else:
            yield stream
    finally:
        stream.detach()  # or it would close what it reads from
        if not is_input:
            raw.close()


def describe(path: str | Path) -> str:
    """How messages name the file."""
    return "standard input" if str(path) == "-" else str(path)
