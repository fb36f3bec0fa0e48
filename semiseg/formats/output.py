"""Files that appear under their names only when they are complete; those that end in .gz are bgzip with an index."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from ..errors import UsageError
from ..interruption import resumable
from .bgzip import COMPRESSED, is_compressed
from .draft import Draft
from .packages import needed
from .places import check_file, is_stream
from .resumable import Output, Resumable
from .tabix import Kind, make_some_index
from .telling import told


class Writer(Protocol):
    """What the writers of formats need of a stream."""

    def write(self, text: str, /) -> object:
        """Write all of the text."""


@contextmanager
def writing(path: Path | None, index: Kind | None = None, resume: str | None = None) -> Iterator[Writer]:
    """A stream into a file, which gets its name when the block ends well and is gone if not; None or "-" is stdout.

    Where the name ends in .gz or .bgz the file is bgzip, and a tabix index of the given kind of rows is put beside it:
    .tbi, or .csi if a row lies beyond what that can index. Pipes and devices are written into as they are.

    `resume` is a key: what a run with the same one left behind when it was killed is gone on with.
    """
    if path is None or str(path) == "-":
        yield sys.stdout
        return
    check_file(path)
    if is_stream(path):
        with opened(path, path) as stream:
            yield stream
        return
    htslib = None
    if index and is_compressed(path):
        htslib = needed("pysam", f"{path}: an index", f", or leave out {path.suffix}")  # before any work is done
    kept = None
    if resume is not None:
        kept = Resumable(path, resume)
        try:
            with resumable(lambda: kept.last(resume) > (0, 0)):
                yield kept
            kept.close()
        finally:
            with suppress(OSError):
                kept.file.close()
    with told(path):
        draft = Draft(Path(os.path.realpath(path)), is_file=True)  # a link goes on to be one
    try:
        if kept is None:
            with opened(path, draft.file) as stream:
                yield stream
        with told(path):
            if kept is not None:
                os.replace(kept.part, draft.file)
            if htslib and index:
                make_some_index(htslib, draft.file, index, path)
            draft.publish()
            if kept is not None:
                kept.journal.unlink()
    finally:
        draft.discard()


@contextmanager
def opened(path: Path, at: Path) -> Iterator[Writer]:
    """A stream into the file `at`, which messages call `path`; its name says whether it is bgzip."""
    with told(path):
        file = open(at, "wb")  # noqa: SIM115
    try:
        stream = Output(file, path)
        yield stream
        stream.close()
    finally:
        with suppress(OSError):  # a second failure would hide the first
            file.close()


def comment(text: str) -> str:
    """A text as a comment line; what UTF-8 cannot hold, in names of files, is spelled out."""
    return f"# {' '.join(text.splitlines())}\n".encode(errors="backslashreplace").decode()


def format_of(path: Path | None, forms: Mapping[str, str], default: str) -> str:
    """The format that a file's name tells by its ending, with or without .gz; without any, the default."""
    name = path.name.lower() if path else ""
    for suffix in COMPRESSED:
        name = name.removesuffix(suffix)
    ending = Path(name).suffix
    if ending and ending not in forms:
        known = f"{', '.join(forms)}, with or without .gz"
        raise UsageError(f"--output: expected a name that ends in {known}, got {path}: or give --format")
    return forms.get(ending, default)
