"""Recordings in EDF and BDF, with or without +; channels of each sampling rate are a recording of their own."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import SemisegError
from .packages import needed
from .recordings import Recording


def read(path: Path, dataset: str | None) -> list[Recording]:
    """Return the recordings of a file."""
    edfio = needed("edfio", f"{path}: EDF", extra="signals")
    try:
        found = (edfio.read_bdf if path.suffix.lower() == ".bdf" else edfio.read_edf)(path, lazy_load_data=True)
        by_rate: dict[float, list[Any]] = {}
        for signal in found.signals:
            by_rate.setdefault(float(signal.sampling_frequency), []).append(signal)
        seconds = found.num_data_records * found.data_record_duration
    except Exception as error:  # whatever the package makes of a broken header
        why = " ".join(str(error).split())
        raise SemisegError(f"{path}: no {path.suffix[1:].upper()}, or damaged: {why}") from None
    if not by_rate:
        raise SemisegError(f"{path}: the recording has no signals")
    alone = len(by_rate) == 1
    return [
        recording(path, path.stem if alone else f"{path.stem}_{rate:g}Hz", rate, signals, round(seconds * rate))
        for rate, signals in by_rate.items()
    ]


def recording(path: Path, name: str, rate: float, signals: list[Any], length: int) -> Recording:
    """Return channels of one rate as a recording."""

    def values(first: int, last: int) -> NDArray:
        try:
            columns = [s.get_data_slice(first / rate, last / rate) for s in signals]
        except Exception as error:
            raise SemisegError(f"{path}: cannot read samples {first}-{last}: {' '.join(str(error).split())}") from None
        if any(len(column) != last - first for column in columns):
            raise SemisegError(f"{path}: cut off: it ends before sample {last}")
        return np.stack(columns, 1).astype(np.float32)

    return Recording(name, tuple(s.label for s in signals), rate, length, values)
