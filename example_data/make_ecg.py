"""A simulated electrocardiogram with its true waves: ecg.csv and ecg_truth.bed beside this file, or in a folder given.

Every wave is a bump, or some of them, that are zero beyond its ends; beats come irregularly, one in twelve is wide and
without P wave, and the baseline wanders.
"""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

RATE = 250  # samples a second
SECONDS = 60
CHANNEL = "ii"
Wave = tuple[int, int, str]


def bump(n: int, skew: float = 1.0) -> NDArray:
    """Return n samples that rise from 0 to 1 and fall to 0; skew below 1: late."""
    return np.sin(np.pi * np.linspace(0, 1, n) ** (1 / skew)) ** 2


def beat(rng: np.random.Generator, is_early: bool) -> list[tuple[str, float, NDArray]]:
    """Return name, seconds from the QRS's start to its own, and samples of every wave of a beat."""
    wide = 0.15 if is_early else rng.normal(0.09, 0.003)
    n = round(wide * RATE)
    at = np.linspace(0, 1, n)
    heights, centres, widths = ([-0.1, 1.3, -0.35], [0.15, 0.45, 0.75], 0.11)
    qrs = sum(h * np.exp(-((at - c) ** 2) / (2 * widths**2)) for h, c in zip(heights, centres, strict=True))
    qrs = np.asarray(qrs) * np.sin(np.pi * at) ** 0.5
    waves = [("QRS", 0.0, qrs)]
    t = bump(round(rng.normal(0.18, 0.006) * RATE), 0.8) * (-0.4 if is_early else 0.3)
    waves.append(("T", wide + rng.normal(0.09, 0.004), t))
    if not is_early:
        waves.append(("P", -rng.normal(0.16, 0.004), 0.16 * bump(round(0.1 * RATE))))
    return waves


def simulate(seed: int = 0) -> tuple[NDArray, list[Wave]]:
    """Return millivolts, and the waves in order."""
    rng = np.random.default_rng(seed)
    signal, waves = np.zeros(SECONDS * RATE), []
    at = 0.5
    while at < SECONDS - 0.7:
        is_early = rng.random() < 1 / 12
        for name, offset, shape in beat(rng, is_early):
            start = round((at + offset) * RATE)
            signal[start : start + len(shape)] += shape
            waves.append((start, start + len(shape), name))
        at += (1.05 if is_early else 0.85) * (1 + 0.05 * np.sin(2 * np.pi * at / 4)) + rng.normal(0, 0.015)
    t = np.arange(len(signal)) / RATE
    wander = 0.08 * np.sin(2 * np.pi * 0.25 * t) + 0.05 * np.sin(2 * np.pi * 0.07 * t + 1)
    return signal + wander + rng.normal(0, 0.008, len(signal)), sorted(waves)


def write_example(folder: Path) -> None:
    """Write both files."""
    signal, waves = simulate()
    (folder / "ecg.csv").write_text("\n".join([CHANNEL, *(f"{x:.3f}" for x in signal)]) + "\n")
    rows = ["\t".join(map(str, ("ecg", *wave))) for wave in waves]
    (folder / "ecg_truth.bed").write_text("\n".join(rows) + "\n")


if __name__ == "__main__":
    write_example(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
