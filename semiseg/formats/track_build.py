"""Track stores made of files of tracks, one after another, in memory that does not grow."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import SemisegError
from .draft import Draft
from .files import read_lines
from .places import check_file
from .telling import told
from .track_input import open_track, track_name
from .track_store import CODINGS, Coding, Layout, StoreFile


def build(
    output: Path,
    sizes: Path,
    inputs: Sequence[Path],
    bin_size: int = 200,
    dtype: str = "float32",
    names: Sequence[str] = (),
    *,
    partial: bool = False,
    comments: Sequence[str] = (),
    report: Callable[[int, int | None], None] = lambda done, total: None,
) -> Layout:
    """Write a store of one track a file, return what it is about; `report` gets bins done and how many there are."""
    check_file(output)
    lengths = read_sizes(sizes)
    names = chosen_names(names, inputs)
    layout = Layout(names, list(lengths.items()), bin_size, comments)
    readers = [open_track(path, lengths, bin_size, partial) for path in inputs]
    done, total = 0, len(inputs) * sum(layout.bins(length) for length in lengths.values())
    with told(output):
        draft = Draft(output, is_file=True)
    try:
        with told(output):
            store = StoreFile(draft.file, layout, CODINGS[dtype], together=1)
        try:
            for track, (path, reader) in enumerate(zip(inputs, readers, strict=True)):
                known = 0
                for contig, first, values in reader():
                    known += len(values) - int(np.isnan(values).sum())
                    stored = encoded(values, CODINGS[dtype], f"{path}: {contig}")
                    with told(output):
                        store.values(contig)[first : first + len(values), track] = stored
                        store.raise_error()
                    done += len(values)
                    report(done, total)
                if not known:
                    raise SemisegError(f"{path}: it says nothing about any of the contigs of {sizes}")
        finally:
            store.close()
        with told(output):
            store.raise_error()
            draft.publish()
    finally:
        draft.discard()
    return layout


def read_sizes(path: Path) -> dict[str, int]:
    """Return the lengths of contigs by name, from rows of a name and a length, as in chrom.sizes and in .fai."""
    lengths: dict[str, int] = {}
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip() or line.startswith(b"#"):
            continue
        cells = line.decode(errors="replace").split()
        where = f"{path}, line {number}"
        if len(cells) < 2 or not cells[1].isdecimal() or not 0 < int(cells[1]) < 1 << 40:
            raise SemisegError(f"{where}: expected a name and a length above 0, as in chrom.sizes")
        if cells[0] in lengths:
            raise SemisegError(f"{where}: {cells[0]} once more")
        lengths[cells[0]] = int(cells[1])
    if not lengths:
        raise SemisegError(f"{path}: no contig in it")
    return lengths


def chosen_names(names: Sequence[str], inputs: Sequence[Path]) -> list[str]:
    """Return the tracks' names: those given, or those of their files."""
    if names and len(names) != len(inputs):
        raise SemisegError(f"--names: expected {len(inputs)} names, one a file, found {len(names)}")
    names = list(names) or [track_name(path) for path in inputs]
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise SemisegError(f"two tracks would be named {twice}: tell them apart with --names")
    return names


def encoded(values: NDArray, coding: Coding, where: str) -> NDArray:
    """Return float32 values as they are stored; what does not fit is an error."""
    kind = np.dtype(coding.dtype)
    missing = np.isnan(values)
    if kind.kind == "f":
        with np.errstate(over="ignore"):
            out = values.astype(kind)
        bad = np.isinf(out)
    else:
        assert coding.scale is not None
        assert coding.missing is not None
        whole = np.rint(values / coding.scale)
        bad = ~missing & ~((whole >= 0) & (whole < coding.missing))
        out = np.where(missing | bad, coding.missing, whole).astype(kind)
    if bad.any():
        raise SemisegError(f"{where}: {values[bad][0]:g} does not fit into {coding.dtype}: choose another --dtype")
    return out
