"""Recordings in HDF5: every dataset of numbers of shape (T,) or (T, channels), with what its attributes say.

`rate` is the number of samples a second, `channels` are the names; the file may have them for all in it.
"""

from pathlib import Path
from typing import Any

import numpy as np

from ..errors import SemisegError
from .hdf5 import dataset as checked
from .hdf5 import datasets, open_hdf5, text, unpacking
from .recordings import Recording
from .track_file import reader


def read(path: Path, dataset: str | None) -> list[Recording]:
    """Return the recordings of a file; `dataset` names one."""
    file = open_hdf5(path)
    names = [dataset] if dataset is not None else list(datasets(path, file))
    found = {name: checked(path, file, name) for name in names}
    numbers = {name: item for name, item in found.items() if item.ndim in (1, 2)}
    if not numbers:
        raise SemisegError(f"{path}: no dataset of numbers of shape (T,) or (T, channels)")
    alone = len(numbers) == 1
    return [
        recording(path, path.stem if alone else name.strip("/").replace("/", "_"), item)
        for name, item in numbers.items()
    ]


def are_recordings(path: Path) -> bool:
    """Whether a dataset of a file, or the file itself, tells a rate."""
    file = open_hdf5(path)
    with unpacking(path):
        return "rate" in file.attrs or any("rate" in file[name].attrs for name in datasets(path, file))


def recording(path: Path, name: str, item: Any) -> Recording:
    """Return a dataset as a recording."""
    width = 1 if item.ndim == 1 else item.shape[1]
    with unpacking(path):
        names, rate = attribute(item, "channels"), attribute(item, "rate")
        channels = tuple(map(str, range(width))) if names is None else tuple(text(x) for x in np.atleast_1d(names))
        known = None if rate is None else float(rate)
    if len(channels) != width:
        raise SemisegError(f"{path}: {name}: {width} channels, but {len(channels)} names of channels")
    return Recording(name, channels, known, item.shape[0], reader(path, item, list(range(width))))


def attribute(item: Any, name: str) -> Any:
    """Return an attribute of a dataset, or of the file."""
    return item.attrs.get(name, item.file.attrs.get(name))
