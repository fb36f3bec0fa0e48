"""What else a recording might have looked like: another gain, a wandering baseline, noise, mains hum, another lead.

And what else might have been said about it: where a wave ends is never known to a sample.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

WANDER = (0.05, 0.8)  # Hz
MAINS = (50.0, 60.0)
LOST = (0.1, 1.5)  # seconds that an electrode is off
TAPER = (0.01, 0.06)  # seconds in which what is done to a wave fades beside it
FURTHEST = 2.0  # deviations that an end is moved by, at most


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
    mix: float = 0.0  # share with something of another channel of the recording in it
    most: float = 0.5  # of such a channel, at most, in shares of the own one's spread
    waves: float = 0.0  # spread of the log of the amplitude that all waves of a name have in common
    turned: float = 0.0  # share of names whose waves are turned over
    jitter: float = 0.0  # seconds: deviation of where waves are said to begin and end


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


def reshaped(x: NDArray, rows: NDArray, rate: float, how: Augment, rng: np.random.Generator) -> NDArray:
    """Return (n,) values with waves larger, smaller or turned over, all of a name alike, each above its own chord.

    Rows are (N, 3) start, end and name; what is done fades beside a wave, and never reaches into another.
    """
    gain: dict[int, float] = {}
    for name in np.unique(rows[:, 2]).tolist():
        sign = -1.0 if rng.random() < how.turned else 1.0
        gain[name] = sign * float(np.exp(how.waves * rng.standard_normal()))
    out, n = x.copy(), len(x)
    before = np.concatenate([[0], rows[:-1, 1]])
    behind = np.concatenate([rows[1:, 0], [n]])
    for (start, end, name), low, high in zip(rows.tolist(), before.tolist(), behind.tolist(), strict=True):
        if name < 0 or start < 0 or end > n or end - start < 2:
            continue
        fade = int(rng.uniform(*TAPER) * rate)
        a, b = max(0, low, start - fade), min(n, high, end + fade)
        at = np.arange(a, b)
        chord = np.interp(at, [start, end - 1], x[[start, end - 1]])
        share = np.interp(at, [start - fade - 1, start, end - 1, end + fade], [0.0, 1.0, 1.0, 0.0])
        out[a:b] += ((gain[name] - 1) * share * (x[a:b] - chord)).astype(np.float32)
    return out


def moved(rows: NDArray, samples: float, rng: np.random.Generator) -> NDArray:
    """Return (N, 3) rows with their ends elsewhere, by a normal deviation; what touches goes on to, none overlap."""
    off = samples * rng.standard_normal((len(rows), 2)).clip(-FURTHEST, FURTHEST)
    touching = rows[1:, 0] == rows[:-1, 1]
    off[1:, 0][touching] = off[:-1, 1][touching]
    ends = np.round(rows[:, :2] + off).astype(np.int64)
    out = rows.copy()
    out[:, :2] = np.maximum.accumulate(ends.ravel()).reshape(-1, 2)
    return out


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
