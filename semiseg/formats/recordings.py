"""Recordings of signals, whatever the file: channels by name, a sampling rate, samples read where they are wanted."""

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import SemisegError
from ..signals import Source, Strip

READERS = {
    ".hea": "wfdb_records", ".edf": "edf", ".bdf": "edf", ".wav": "wav", ".npy": "numpy_arrays", ".npz": "numpy_arrays",
    ".csv": "tables", ".tsv": "tables", ".h5": "hdf5_recordings", ".hdf5": "hdf5_recordings",
}  # fmt: skip
NAMED = 12  # that a message lists
CLOSE = 1e-3  # rates that differ by no more are the same: some are told by times that were rounded


class Recording(NamedTuple):
    """What a reader gives."""

    name: str
    channels: tuple[str, ...]
    rate: float | None  # samples a second; None: the file does not say
    length: int  # samples
    read: Callable[[int, int], NDArray]  # (first, last) -> (last - first, channels), NaN where nothing is known


def open_recordings(
    path: Path, *, rate: float | None = None, channels: Sequence[str] | None = None, dataset: str | None = None
) -> Source:
    """Return the recordings of a file, or of all files of a folder.

    `rate` is that of files that say none. A channel is asked for by its name or its number, from 0, and called so.
    """
    path = Path(path)
    files = in_folder(path) if path.is_dir() else [path]
    found = [chosen(recording, channels, file) for file in files for recording in read(file, dataset)]
    twice = {r.name for i, r in enumerate(found) if any(r.name == other.name for other in found[:i])}
    if twice:
        raise SemisegError(f"{path}: several recordings are called {sorted(twice)[0]}")
    if rate is not None and all(r.rate is not None and abs(r.rate / rate - 1) > CLOSE for r in found):
        raise SemisegError(f"{path}: has a rate of its own, {found[0].rate:g} samples a second: leave --rate out")
    strips = tuple(strip(recording, rate, path) for recording in found)
    first = strips[0]
    return Source(str(path), first.channels, strips, rate=first.rate)


def is_recording(path: Path) -> bool:
    """Return whether a path is one of recordings: a folder, or a file with such an ending."""
    return path.is_dir() or path.suffix.lower() in READERS


def in_folder(path: Path) -> list[Path]:
    """Return the recordings of a folder, in the order of their names, numbers by size."""
    files = [file for file in path.iterdir() if file.suffix.lower() in READERS]
    if not files:
        raise SemisegError(f"{path}: no recordings: expected files that end in {', '.join(READERS)}")
    return sorted(files, key=lambda file: (len(file.stem) if file.stem.isdecimal() else 0, file.name))


def read(path: Path, dataset: str | None) -> list[Recording]:
    """Return what is in a file."""
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise SemisegError(f"{path}: no recording: expected a folder, or a file that ends in {', '.join(READERS)}")
    if not path.exists():
        raise SemisegError(f"{path}: there is no such file")
    found: list[Recording] = import_module(f".{reader}", __package__).read(path, dataset)
    for recording in found:
        if recording.length == 0:
            raise SemisegError(f"{path}: {recording.name}: the recording is empty")
        if len(recording.channels) > recording.length:
            size = f"{len(recording.channels)} channels of {recording.length} samples"
            raise SemisegError(f"{path}: {recording.name}: {size}: expected a row a sample: turn it over")
    return found


def chosen(recording: Recording, channels: Sequence[str] | None, path: Path) -> Recording:
    """Return a recording with the channels that are asked for, in that order."""
    if channels is None:
        names = recording.channels
        if len(set(names)) == len(names):
            return recording
        return recording._replace(channels=tuple(map(str, range(len(names)))))  # names that say nothing
    where = []
    for channel in channels:
        if channel in recording.channels:
            where.append(recording.channels.index(channel))
        elif channel.isdecimal() and int(channel) < len(recording.channels):
            where.append(int(channel))
        else:
            there = ", ".join(recording.channels[:NAMED])
            raise SemisegError(f"{path}: {recording.name}: no channel {channel}; there are {there}")
    columns = np.array(where)
    return recording._replace(
        channels=tuple(channels), read=lambda first, last: recording.read(first, last)[:, columns]
    )


def strip(recording: Recording, rate: float | None, path: Path) -> Strip:
    """Return a recording as a sequence of a source."""
    known = recording.rate or rate
    if known is not None and not 0 < known < float("inf"):
        raise SemisegError(f"{path}: {recording.name}: {known:g} samples a second")
    return Strip(recording.name, recording.length, recording.read, recording.length, recording.channels, known)
