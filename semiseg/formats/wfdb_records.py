"""Recordings of PhysioNet: a header, and the files of samples that it names."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import SemisegError
from .packages import needed
from .recordings import Recording


def read(path: Path, dataset: str | None) -> list[Recording]:
    """Return the record of a header."""
    wfdb = needed("wfdb", f"{path}: a WFDB record", extra="signals")
    name = str(path.with_suffix(""))
    try:
        header = wfdb.rdheader(name)
    except Exception as error:  # whatever the package makes of a broken header
        raise SemisegError(f"{path}: no WFDB header: {first_line(error)}") from None
    missing = sorted({file for file in header.file_name or () if not (path.parent / file).exists()})
    if missing:
        raise SemisegError(f"{path}: its samples are not there: {path.parent / missing[0]}")
    if not header.n_sig:
        raise SemisegError(f"{path}: the record has no signals")

    def values(first: int, last: int) -> NDArray:
        try:
            record = wfdb.rdrecord(name, sampfrom=first, sampto=last)
        except Exception as error:
            raise SemisegError(f"{path}: cannot read samples {first}-{last}: {first_line(error)}") from None
        return record.p_signal.astype(np.float32)

    length = header.sig_len or 0
    return [Recording(path.stem, tuple(header.sig_name), float(header.fs), length, values)]


def first_line(error: Exception) -> str:
    """Return what an error says, in one line."""
    return (str(error) or type(error).__name__).splitlines()[0]
