"""Files that appear under their names only when they are complete; those that end in .gz are bgzip with an index."""

import errno
import os
import secrets
import struct
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import BinaryIO, Literal, Protocol

from ..errors import SemisegError

COMPRESSED = (".gz", ".bgz")
INDEXES = (".tbi", ".csi")  # the first is the one that every program reads, but ends at base 2^29
FORMS = {".bed": "bed", ".gff": "gff3", ".gff3": "gff3"}
BLOCK = 0xFF00  # bytes that htslib puts into a block: it stays below 2^16 even where nothing can be compressed


class Writer(Protocol):
    """What the writers of formats need of a stream."""

    def write(self, text: str, /) -> object:
        """Write all of the text."""


class Bgzip:
    """Bytes as bgzip blocks, which are gzip members that say how long they are.

    Not pysam.BGZFile: that ends the interpreter where a file cannot be opened, and does not say why it cannot write.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.waiting = bytearray()

    def write(self, data: bytes) -> None:
        """Write the blocks that are full."""
        self.waiting += data
        while len(self.waiting) >= BLOCK:
            self.file.write(bgzip_block(self.waiting[:BLOCK]))
            del self.waiting[:BLOCK]

    def close(self) -> None:
        """Write what is left, and the empty block that tells a complete file."""
        if self.waiting:
            self.file.write(bgzip_block(self.waiting))
        self.file.write(bgzip_block(b""))
        self.file.close()


class Output:
    """Text on its way into a file; every failure is a SemisegError that names the file."""

    def __init__(self, stream: BinaryIO | Bgzip, path: Path) -> None:
        self.stream = stream
        self.path = path

    def write(self, text: str) -> None:
        """Write text as UTF-8."""
        with told(self.path):
            self.stream.write(text.encode())

    def close(self) -> None:
        """Complete the file."""
        with told(self.path):
            self.stream.close()


@contextmanager
def writing(path: Path | None, index: Literal["bed", "gff"] | None = None) -> Iterator[Writer]:
    """A stream into a file, which gets its name when the block ends well and is gone if not; None or "-" is stdout.

    Where the name ends in .gz or .bgz the file is bgzip, and a tabix index of the given kind of rows is put beside it:
    .tbi, or .csi if a row lies beyond what that can index. Pipes and devices are written into as they are.
    """
    if path is None or str(path) == "-":
        yield sys.stdout
        return
    is_compressed = path.suffix.lower() in COMPRESSED
    with told(path):
        if path.is_dir():
            raise SemisegError(f"cannot write {path}: it is a folder: give the name of a file")
        is_stream = path.exists() and not path.is_file()
    if is_stream:
        with opened(path, path, is_compressed) as stream:
            yield stream
        return
    htslib = load_htslib(path) if index and is_compressed else None
    target = Path(os.path.realpath(path))  # a link goes on to be one
    part = target.with_name(f".{target.name[:40]}.part-{secrets.token_hex(4)}")
    try:
        with opened(path, part, is_compressed) as stream:
            yield stream
        with told(path):
            sync(part)
            suffix = make_index(htslib, part, index, path) if htslib and index else None
            if is_compressed:
                for old in INDEXES:  # or one would lie beside a file that it is not of
                    add_suffix(target, old).unlink(missing_ok=True)
            part.replace(target)
            if suffix:
                add_suffix(part, suffix).replace(add_suffix(target, suffix))
    finally:
        for suffix in ("", *INDEXES):
            with suppress(OSError):
                add_suffix(part, suffix).unlink(missing_ok=True)


@contextmanager
def opened(path: Path, at: Path, is_compressed: bool) -> Iterator[Writer]:
    """A stream into the file `at`, which messages call `path`; new if it is not the same."""
    with told(path):
        file = open(at, "wb" if at == path else "xb")  # noqa: SIM115
    try:
        stream = Output(Bgzip(file) if is_compressed else file, path)
        yield stream
        stream.close()
    finally:
        with suppress(OSError):  # a second failure would hide the first
            file.close()


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Turn what the system says into one line; that a pipe's reader is gone is left for the caller."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise SemisegError(f"cannot write {path}: {explain(error, path.parent)}") from error


def explain(error: OSError, folder: Path) -> str:
    """What went wrong and what to do about it."""
    said = error.strerror or str(error)
    match error.errno:
        case errno.ENOENT:
            return f"there is no folder {folder}: make it first"
        case errno.ENOSPC | errno.EDQUOT:
            return f"{said}: free some space or write elsewhere"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return f"{said}: choose a folder that you may write into, {folder} is none"
    return said


def load_htslib(path: Path) -> ModuleType:
    """pysam, asked for before any work is done."""
    try:
        import pysam
    except ImportError as error:
        raise SemisegError(f"{path}: an index needs pysam: pip install pysam, or leave out {path.suffix}") from error
    return pysam


def make_index(htslib: ModuleType, part: Path, preset: str, path: Path) -> str:
    """The suffix of the index that was put beside a part: the first kind that can hold its rows."""
    verbosity = htslib.set_verbosity(0)  # or the library says on stderr that the first kind cannot
    try:
        for suffix in INDEXES:
            made = add_suffix(part, suffix)
            with suppress(OSError):
                htslib.tabix_index(
                    str(part), preset=preset, index=str(made), csi=suffix == ".csi", keep_original=True, force=True
                )
                sync(made)
                return suffix
    finally:
        htslib.set_verbosity(verbosity)
    raise SemisegError(f"cannot write the index of {path}: expected room for it, and rows sorted by sequence and start")


def sync(path: Path) -> None:
    """Wait until the file is on the disk: a name must not survive a crash that its content does not."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def add_suffix(path: Path, suffix: str) -> Path:
    """The path with a further suffix."""
    return path.with_name(path.name + suffix)


def bgzip_block(data: bytes | bytearray) -> bytes:
    """One gzip member with its size in an extra field."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    packed = packer.compress(data) + packer.flush()
    head = struct.pack("<4BI2BH2BHH", 31, 139, 8, 4, 0, 0, 255, 6, 66, 67, 2, len(packed) + 25)
    return head + packed + struct.pack("<II", zlib.crc32(data), len(data))


def comment(text: str) -> str:
    """A text as a comment line; what UTF-8 cannot hold, in names of files, is spelled out."""
    return f"# {' '.join(text.splitlines())}\n".encode(errors="backslashreplace").decode()


def format_of(path: Path | None, default: str) -> str:
    """The format that a file's name tells, "bed" or "gff3", with or without .gz; of any other name, the default."""
    name = path.name.lower() if path else ""
    for suffix in COMPRESSED:
        name = name.removesuffix(suffix)
    return FORMS.get(Path(name).suffix, default)
