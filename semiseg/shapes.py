"""What a series looks like around a position: many small questions about shape, each answered with yes or no.

A question asks whether three of nine values, a fixed number of positions apart, stand out against the other six by more
than a threshold (the kernels of MiniRocket; Dempster et al. 2021), or whether the value itself is above one. Thresholds
are quantiles over the whole series, so answers depend on neither unit nor offset. The mean answer over a stretch tells
stretches of different shape apart, though all of them may swing about the same level.
"""

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

TAPS = 9
KERNELS = np.array([[2.0 if i in high else -1.0 for i in range(TAPS)] for high in combinations(range(TAPS), 3)])
SPREADS = 4  # distances between the nine values, from neighbours to half a period in all
QUANTILES = np.array([0.25, 0.5, 0.75])
SAMPLE = 20_000  # positions that quantiles are taken over
FEWEST = 4  # positions of a period
NEAR = 0.9  # of the highest peak: the first peak this high is the period, not a multiple of it


def period(x: NDArray) -> int | None:
    """Return the positions after which (T, D) values repeat themselves best, at most a quarter of them.

    That is a peak of the autocorrelation, behind where it first falls below zero; None: it has no peak.
    """
    T = len(x)
    z = (x - x.mean(0)) / x.std(0)
    power = (np.abs(np.fft.rfft(z, 2 * T, axis=0)) ** 2).mean(1)
    r = np.fft.irfft(power)[: T // 2] / (T - np.arange(T // 2))
    below = np.flatnonzero(r < 0)
    first = max(FEWEST, int(below[0]) if len(below) else 1)
    peaks = np.flatnonzero((r[1:-1] > r[:-2]) & (r[1:-1] >= r[2:])) + 1
    peaks = peaks[(peaks >= first) & (peaks < T // 4)]
    if not len(peaks):
        return None
    return int(peaks[r[peaks] >= NEAR * r[peaks].max()][0])


class Shapes:
    """The questions about one series of (T, D) values; `span` is how far the widest look, in positions."""

    def __init__(self, x: NDArray, span: int):
        widest = max(1, span // (TAPS - 1))
        self.spreads = np.unique(np.rint(np.geomspace(1, widest, SPREADS)).astype(int))
        self.margin = TAPS // 2 * int(self.spreads[-1])
        # a series ends as if it were mirrored there
        self.x, self.length = np.pad(x, ((self.margin, self.margin), (0, 0)), mode="reflect"), len(x)
        some = np.linspace(0, self.length - 1, min(self.length, SAMPLE)).astype(int)
        self.thresholds = [np.quantile(v, QUANTILES, axis=0) for v in self._values(some)]
        self.count = sum(t.size for t in self.thresholds)

    def answers(self, first: int, last: int) -> NDArray:
        """Return (last - first, questions) float32, 1 for yes."""
        at = np.arange(first, last)
        return np.concatenate(
            [v > t for v, ts in zip(self._values(at), self.thresholds, strict=True) for t in ts], 1, dtype=np.float32
        )

    def _values(self, at: NDArray) -> list[NDArray]:
        """Return what is compared with thresholds at (n,) positions: (n, D), then (n, kernels) a spread and channel."""
        centre = at + self.margin
        values = [self.x[centre]]
        for spread in self.spreads:
            window = self.x[centre[:, None] + spread * (np.arange(TAPS) - TAPS // 2)]  # [n, TAPS, D]
            values += [window[..., d] @ KERNELS.T for d in range(window.shape[-1])]
        return values
