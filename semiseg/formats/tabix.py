"""Indexes of bgzip files, through htslib.

A .tbi is what every program reads, but it ends at base 2^29; a .csi has no such bound.
"""

from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from ..errors import SemisegError

INDEXES = (".tbi", ".csi")
TBI_LONGEST = 1 << 29

Kind = Literal["bed", "gff"]


def make_index(htslib: Any, path: Path, kind: Kind, suffix: str) -> None:
    """Put an index of rows beside their file; `htslib` is pysam, which is asked for before any work is done."""
    htslib.tabix_index(
        str(path), preset=kind, index=str(add_suffix(path, suffix)), csi=suffix == ".csi",
        keep_original=True, force=True,
    )  # fmt: skip


def make_some_index(htslib: Any, path: Path, kind: Kind, shown: Path) -> None:
    """Put the first kind of index that can hold the rows beside a file, which messages call `shown`."""
    verbosity = htslib.set_verbosity(0)  # or the library says on stderr that the first kind cannot
    try:
        for suffix in INDEXES:
            with suppress(OSError):
                make_index(htslib, path, kind, suffix)
                return
    finally:
        htslib.set_verbosity(verbosity)
    raise SemisegError(
        f"cannot write the index of {shown}: expected room for it, and rows sorted by sequence and start"
    )


def remove_indexes(path: Path) -> None:
    """Remove those beside a file that is about to be replaced: they are not of the new one."""
    for suffix in INDEXES:
        add_suffix(path, suffix).unlink(missing_ok=True)


def add_suffix(path: Path, suffix: str) -> Path:
    """The path with a further suffix."""
    return path.with_name(path.name + suffix)
