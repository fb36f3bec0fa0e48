"""Recordings as NumPy writes them: an array of shape (T,) or (T, channels), or several in an archive. Never pickles."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import SemisegError
from .recordings import Recording


def read(path: Path, dataset: str | None) -> list[Recording]:
    """Return the array of a file, or those of an archive, or the one called `dataset`; `rate` there goes for all."""
    try:
        found = np.load(path, mmap_mode="r" if path.suffix.lower() == ".npy" else None, allow_pickle=False)
        if isinstance(found, np.ndarray):
            return [recording(path, path.stem, found, None)]
        with found:
            arrays = {name: found[name] for name in found.files if dataset in (None, name) or name == "rate"}
    except SemisegError:
        raise
    except (OSError, ValueError, EOFError) as error:
        raise SemisegError(f"{path}: no array of numbers, or damaged: {error}") from None
    told = arrays.pop("rate", None)
    if told is not None and (told.size != 1 or told.dtype.kind not in "iuf"):
        raise SemisegError(f"{path}: rate: expected a number")
    rate = None if told is None else float(told.reshape(()))
    if not arrays:
        raise SemisegError(f"{path}: {'there are no arrays in it' if dataset is None else f'no array {dataset}'}")
    alone = len(arrays) == 1
    return [recording(path, path.stem if alone else name, array, rate) for name, array in arrays.items()]


def recording(path: Path, name: str, array: NDArray, rate: float | None) -> Recording:
    """Return an array as a recording."""
    if array.ndim not in (1, 2) or array.dtype.kind not in "iuf":
        raise SemisegError(f"{path}: {name}: expected numbers of shape (T,) or (T, channels), found {array.dtype}, "
                           f"shape {array.shape}")  # fmt: skip
    table = array[:, None] if array.ndim == 1 else array

    def values(first: int, last: int) -> NDArray:
        return np.array(table[first:last], np.float32)

    return Recording(name, tuple(map(str, range(table.shape[1]))), rate, len(table), values)
