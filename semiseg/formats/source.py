"""What a file of signals is, by its content and its name: a track store, binarised marks, other HDF5, a recording."""

from collections.abc import Sequence
from pathlib import Path

from ..errors import SemisegError
from ..signals import Source
from .binarised import are_binarised, binarised_source
from .files import open_bytes, reading
from .hdf5 import SUFFIXES, is_hdf5
from .hdf5_recordings import are_recordings
from .recordings import open_recordings
from .track_file import open_tracks_file

RECORDINGS = (".hea", ".edf", ".npy", ".npz", ".csv", ".tsv", ".wav")


def open_source(
    path: Path, *, dataset: str | None = None, rate: float | None = None, channels: Sequence[str] | None = None
) -> Source:
    """Return what is read from a file or a folder.

    `dataset` is that of an HDF5 file which is no track store, `rate` the positions a second where the file does not
    tell, `channels` are those to read, in that order.
    """
    path = Path(path)
    if str(path) == "-":
        raise SemisegError("standard input: signals are read from a file, as they are read more than once")
    if not path.exists():
        raise SemisegError(f"{path}: no such file")
    if path.suffix.lower() in SUFFIXES or is_hdf5(path):
        if are_recordings(path):
            return open_recordings(path, rate=rate, channels=channels, dataset=dataset)
        return open_tracks_file(path, dataset, rate, channels)
    if path.is_dir() or path.suffix.lower() not in RECORDINGS:
        marks = are_binarised(path)
        if marks:
            if rate is not None or dataset is not None:
                raise SemisegError(f"{path}: binarised marks have no {'rate' if dataset is None else 'dataset'}")
            return binarised_source(path, marks, channels)
    if path.is_dir() or path.suffix.lower() in RECORDINGS:
        return open_recordings(path, rate=rate, channels=channels, dataset=dataset)
    if is_fasta(path):
        raise SemisegError(f"{path}: FASTA, not signals: choose a --model that finds genes")
    raise SemisegError(
        f"{path}: expected a track store or other HDF5, binarised marks, or a recording ({', '.join(RECORDINGS)})"
    )


def signal_kind(path: Path) -> str | None:
    """Return what a file of signals is, in words; None: none, or one that only reading could tell."""
    if path.suffix.lower() in SUFFIXES or is_hdf5(path):
        return "HDF5"
    if path.suffix.lower() in RECORDINGS or path.is_dir():
        return "a recording" if path.is_file() else "a folder"
    return None


def is_fasta(path: Path) -> bool:
    """Whether a file begins like FASTA."""
    with reading(path), open_bytes(path) as stream:
        return stream.read(1) == b">"
