"""What else a recording might have looked like: another gain, a wandering baseline, noise, mains hum, another lead."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

WANDER = (0.05, 0.8)  # Hz
MAINS = (50.0, 60.0)
LOST = (0.1, 1.5)  # seconds that an electrode is off


class Augment(NamedTuple):
    """How much recordings are changed to learn from; amplitudes in units of the signal's spread."""

    stretch: float = 0.2  # largest change of tempo, in log
    gain: float = 0.3  # spread of the log of the amplitude
    flip: float = 0.1  # share with the other polarity
    coarse: float = 0.3  # share seen through another rate
    lowest: float = 100.0  # such rates, in Hz
    highest: float = 1000.0
    wander: float = 0.5  # amplitude of a slow baseline, at most
    noise: float = 0.15  # of white noise
    burst: float = 0.3  # of noise of muscles, for a while
    hum: float = 0.15  # of mains
    lost: float = 0.1  # share with a stretch where nothing is known


def changed(x: NDArray, rate: float, how: Augment, rng: np.random.Generator) -> NDArray:
    """Return (n,) scaled values as they might have been recorded."""
    n = len(x)
    t = np.arange(n, dtype=np.float32) / np.float32(rate)
    out = x * np.float32(np.exp(how.gain * rng.standard_normal()))
    if rng.random() < how.flip:
        out = -out
    if rng.random() < 0.5:
        for _ in range(3):
            out = out + wave(t, rng.uniform(*WANDER), how.wander * rng.random() ** 2, rng)
    if rng.random() < 0.5:
        out = out + np.float32(how.noise * rng.random() ** 2) * rng.standard_normal(n, np.float32)
    if rng.random() < 0.2:
        a, b = np.sort(rng.integers(0, n + 1, 2))
        rough = rng.standard_normal(b - a, np.float32)
        out[a:b] += np.float32(how.burst * rng.random()) * (rough + np.roll(rough, 1))
    if rng.random() < 0.25:
        out = out + wave(t, MAINS[int(rng.integers(2))], how.hum * rng.random() ** 2, rng)
    return out.astype(np.float32)


def wave(t: NDArray, frequency: float, amplitude: float, rng: np.random.Generator) -> NDArray:
    """Return a sine of any phase."""
    return np.float32(amplitude) * np.sin(np.float32(2 * np.pi * frequency) * t + np.float32(rng.uniform(0, 2 * np.pi)))


def lost_stretch(n: int, rate: float, how: Augment, rng: np.random.Generator) -> slice:
    """Return where an electrode is off; mostly nowhere."""
    if rng.random() >= how.lost:
        return slice(0)
    length = int(rng.uniform(*LOST) * rate)
    at = int(rng.integers(max(1, n - length)))
    return slice(at, at + length)
