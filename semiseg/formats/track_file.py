"""Track stores, and any other HDF5 of shape (T,) or (T, tracks), as sources of signals."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import SemisegError
from ..signals import Source, Strip
from .hdf5 import dataset, datasets, open_hdf5, text, unpacking
from .track_store import FORMAT, VERSION, Layout, dataset_name

LARGEST_BIN = 1 << 30


class Store(NamedTuple):
    """An open track store."""

    path: Path
    file: Any
    layout: Layout
    values: list[Any]  # the dataset of each contig
    scale: float | None
    missing: int | None


def open_tracks_file(path: Path, name: str | None, rate: float | None, channels: Sequence[str] | None) -> Source:
    """Return an HDF5 file as a source; `name` is the dataset to read of one that is no track store."""
    file = open_hdf5(path)
    with unpacking(path):
        is_store = text(file.attrs.get("format", "")) == FORMAT
    if is_store and name is None:
        if rate is not None:
            raise SemisegError(f"{path}: --rate: a track store has bins of bases, and no rate")
        return source_of(open_store(path, file), channels)
    if name is None:
        there = list(datasets(path, file))
        if len(there) != 1:
            raise SemisegError(f"{path}: no track store: give --dataset, one of {', '.join(there[:10]) or 'none'}")
        (name,) = there
    return array_source(path, file, name, rate, channels)


def open_store(path: Path, file: Any = None) -> Store:
    """Return what a track store is about, once all of it is known to be as the layout says."""
    file = open_hdf5(path) if file is None else file
    with unpacking(path):
        about = dict(file.attrs)
        if text(about.get("format", "")) != FORMAT:
            raise SemisegError(f"{path}: not a track store: `semiseg tracks build` makes one")
        if int(about.get("version", 1)) > VERSION:
            raise SemisegError(f"{path}: written by a newer semiseg: upgrade semiseg")
        tracks, bin_size = [text(x) for x in np.atleast_1d(about["tracks"])], int(about["bin_size"])
        comments = [text(x) for x in np.atleast_1d(about.get("comments", []))]
        scale = float(about["scale"]) if "scale" in about else None
        missing = int(about["missing"]) if "missing" in about else None
    if not 0 < bin_size < LARGEST_BIN or not tracks:
        raise SemisegError(f"{path}: damaged: it has {len(tracks)} tracks and bins of {bin_size} bases")
    names, lengths = (dataset(path, file, f"contigs/{x}", is_text=x == "name") for x in ("name", "length"))
    with unpacking(path):
        contigs = list(zip(map(text, names[()]), map(int, lengths[()]), strict=True))
    layout = Layout(tracks, contigs, bin_size, comments)
    values = []
    for name, length in contigs:
        found = dataset(path, file, dataset_name(name))
        if length < 0 or found.shape != (layout.bins(length), len(tracks)):
            raise SemisegError(f"{path}: damaged: {name}, of {length} bases, has values of shape {found.shape}")
        values.append(found)
    return Store(path, file, layout, values, scale, missing)


def source_of(store: Store, channels: Sequence[str] | None = None) -> Source:
    """Return a store as a source, of all tracks or of some, in the order asked for."""
    path, layout = store.path, store.layout
    columns = columns_of(path, layout.names, channels)
    strips = tuple(
        Strip(name, layout.bins(length), reader(path, values, columns, store.scale, store.missing), length)
        for (name, length), values in zip(layout.contigs, store.values, strict=True)
    )
    return Source(str(path), tuple(layout.names[i] for i in columns), strips, layout.bin_size)


def array_source(path: Path, file: Any, name: str, rate: float | None, channels: Sequence[str] | None) -> Source:
    """Return one dataset as a source of one strip, which is named after it."""
    values = dataset(path, file, name)
    if values.ndim not in (1, 2) or 0 in values.shape:
        raise SemisegError(f"{path}: dataset {name}: expected shape (T,) or (T, tracks), found {values.shape}")
    names = [str(i + 1) for i in range(values.shape[1] if values.ndim == 2 else 1)]
    columns = columns_of(path, names, channels)
    strip = Strip(name.strip("/"), len(values), reader(path, values, columns), len(values))
    return Source(str(path), tuple(names[i] for i in columns), (strip,), rate=rate)


def columns_of(path: Path, names: Sequence[str], wanted: Sequence[str] | None) -> list[int]:
    """Return where the channels asked for are."""
    unknown = [name for name in wanted or () if name not in names]
    if unknown:
        raise SemisegError(f"--channels: {path} has no {', '.join(unknown)}; there are {', '.join(names)}")
    return [names.index(name) for name in (wanted or names)]


def reader(
    path: Path, values: Any, columns: list[int], scale: float | None = None, missing: int | None = None
) -> Callable[[int, int], NDArray]:
    """Return what reads a stretch of a dataset."""
    every = columns == list(range(values.shape[1] if values.ndim == 2 else 1))

    def read(first: int, last: int) -> NDArray:
        with unpacking(path):
            raw = values[first:last]
        raw = raw[:, None] if raw.ndim == 1 else raw
        raw = raw if every else raw[:, columns]
        out = raw.astype(np.float32)
        if scale is not None:
            out *= np.float32(scale)
        if missing is not None:
            out[raw == missing] = np.nan
        return out

    return read
