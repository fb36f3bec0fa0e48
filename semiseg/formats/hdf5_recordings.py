"""Recordings in HDF5: every dataset of numbers of shape (T,) or (T, channels), with what its attributes say.

`rate` is the number of samples a second, `channels` are the names; a file or group may have them for all in it.
Integers are read as numbers of any unit.
"""

from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from ..errors import SemisegError
from .recordings import Recording


def read(path: Path, dataset: str | None) -> list[Recording]:
    """Return the recordings of a file; `dataset` names one."""
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise SemisegError(f"{path}: no HDF5 file, or damaged ({error})") from None
    found: dict[str, h5py.Dataset] = {}

    def take(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and item.ndim in (1, 2) and item.dtype.kind in "iuf":
            found[name] = item

    if dataset is not None:
        if dataset not in file or not isinstance(file[dataset], h5py.Dataset):
            raise SemisegError(f"{path}: no dataset {dataset}")
        take(dataset, file[dataset])
    else:
        file.visititems(take)
    if not found:
        raise SemisegError(f"{path}: no dataset of numbers of shape (T,) or (T, channels)")
    if dataset is not None or len(found) == 1:
        return [recording(path, path.stem, item) for item in found.values()]
    return [recording(path, name.replace("/", "_"), item) for name, item in found.items()]


def recording(path: Path, name: str, item: h5py.Dataset) -> Recording:
    """Return a dataset as a recording."""
    width = 1 if item.ndim == 1 else item.shape[1]
    names = attribute(item, "channels")
    channels = tuple(map(str, range(width))) if names is None else tuple(text(x) for x in np.atleast_1d(names))
    if len(channels) != width:
        raise SemisegError(f"{path}: {name}: {width} channels, but {len(channels)} names of channels")
    rate = attribute(item, "rate")

    def values(first: int, last: int) -> NDArray:
        try:
            return np.asarray(item[first:last], np.float32).reshape(-1, width)
        except OSError as error:
            raise SemisegError(f"{path}: {name}: damaged: {error}") from None

    return Recording(name, channels, None if rate is None else float(rate), item.shape[0], values)


def attribute(item: h5py.Dataset, name: str) -> object:
    """Return an attribute of a dataset, or of the file."""
    return item.attrs.get(name, item.file.attrs.get(name))


def text(x: object) -> str:
    """Return a name, which HDF5 may give as bytes."""
    return x.decode(errors="replace") if isinstance(x, bytes) else str(x)
