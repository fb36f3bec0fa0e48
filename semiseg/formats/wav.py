"""Recordings in WAV: plain PCM of 8 to 32 bits, which lasts for any signal of whole numbers."""

import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import SemisegError
from .recordings import Recording


def read(path: Path, dataset: str | None) -> list[Recording]:
    """Return the channels of a file, full scale as 1."""
    try:
        with wave.open(str(path), "rb") as file:
            channels, width, rate, length = file.getparams()[:4]
    except (wave.Error, EOFError, OSError) as error:
        raise SemisegError(f"{path}: no WAV of PCM, or damaged: {error or 'cut off'}") from None

    def values(first: int, last: int) -> NDArray:
        with wave.open(str(path), "rb") as file:
            file.setpos(first)
            raw = np.frombuffer(file.readframes(last - first), np.uint8)
        if len(raw) != (last - first) * channels * width:
            raise SemisegError(f"{path}: cut off: it ends before sample {last}")
        return whole(raw.reshape(-1, width)).reshape(-1, channels)

    return [Recording(path.stem, tuple(map(str, range(channels))), float(rate), length, values)]


def whole(raw: NDArray) -> NDArray:
    """Return (n,) numbers of (n, width) bytes, lowest first; those of one byte have no sign."""
    n, width = raw.shape
    if width == 1:
        return (raw[:, 0].astype(np.float32) - 128) / 128
    padded = np.zeros((n, 4), np.uint8)
    padded[:, 4 - width :] = raw  # at the top, where the sign is
    return (padded.view("<i4")[:, 0] / 2.0**31).astype(np.float32)
