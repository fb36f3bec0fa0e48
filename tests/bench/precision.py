"""float32 against float64: posteriors within 1e-4 everywhere, log Z within 1e-3 + 1e-8 T.

Rounding the input is the caller's: both runs get the same float32 values, once as float32 and once as float64, after
the maximum of each position has been removed. float64 itself is held against `naive` at 10 thousand positions. C = 2,
with means of +m and -m nats a position and noise of one nat.
"""

import time
from collections.abc import Iterator

import numpy as np
import torch

from semiseg.bench import tolerances
from semiseg.bench.measure import forget_peak, peak_mib
from semiseg.bench.models import gamma, tabulate
from semiseg.bench.record import Row
from semiseg.kernels import Marginals, Potentials, marginals
from semiseg.kernels.naive import naive_passes
from semiseg.kernels.resolve import resolve, sequence

PIECE = 1 << 20  # positions compared at a time


def run(quick: bool) -> Iterator[Row]:
    """A row per length, K and mean, and per pair of implementations."""
    for T in (10_000,) if quick else (10_000, 1_000_000, 10_000_000):
        for K in (40, 1024):
            for mean in (0.01, 1.0, 5.0):
                forget_peak()
                narrow = two_labels(T, K, mean)
                wide = narrow._replace(emissions=narrow.emissions.double())
                begun = time.perf_counter()
                reference, found = marginals(wide), marginals(narrow)
                seconds = time.perf_counter() - begun
                differences = {name: largest(getattr(reference, name), getattr(found, name)) for name in NAMES}
                gap = abs(float(reference.log_partition - found.log_partition))
                shape: Row = {"T": T, "K": K, "C": 2, "mean": mean}
                bars = {"posterior": tolerances.POSTERIOR, "log_partition": tolerances.log_partition(T)}
                yield row("float32 against float64", shape, differences, gap, bars, found, seconds)
                if T <= 10_000:
                    yield against_naive(wide, shape, reference)


NAMES = ("start", "end", "position")


def two_labels(T: int, K: int, mean: float) -> Potentials:
    """Two labels in turn, in float32."""
    rng = np.random.default_rng(K)
    durations, _, _ = tabulate([gamma(K / 4, K), gamma(K / 8, K)])
    emissions = rng.standard_normal((T, 2), dtype=np.float32)
    emissions += np.array([mean, -mean], np.float32)
    emissions -= emissions.max(1, keepdims=True)
    turn = torch.tensor([[-torch.inf, 0.0], [0.0, -torch.inf]], dtype=torch.float64)
    return Potentials(torch.from_numpy(emissions), torch.from_numpy(durations), turn)


def against_naive(potentials: Potentials, shape: Row, found: Marginals) -> Row:
    """The row that holds the compiled float64 path against the plain loops."""
    begun = time.perf_counter()
    alpha, h, beta, f, _, z = naive_passes(sequence(*resolve(potentials), 0))
    start, end = np.exp(h + f - z), np.exp(alpha + beta - z)
    plain = {"start": start, "end": end, "position": np.cumsum(start - end, 0)[:-1]}
    differences = {name: largest(torch.from_numpy(plain[name]), getattr(found, name)) for name in NAMES}
    gap = abs(z - float(found.log_partition))
    bars = {"posterior": tolerances.LONG, "log_partition": tolerances.LONG * abs(z)}
    return row("float64 against naive", shape, differences, gap, bars, found, time.perf_counter() - begun)


def largest(a: torch.Tensor, b: torch.Tensor) -> float:
    """Largest difference, piece by piece: copies of everything would not fit."""
    pieces = [slice(i, i + PIECE) for i in range(0, len(a), PIECE)]
    return max(float((a[p].double() - b[p].double()).abs().max()) for p in pieces)


def row(
    what: str, shape: Row, differences: dict[str, float], gap: float, bars: dict, found: Marginals, seconds: float
) -> Row:
    """One line of the table."""
    return {
        "what": what,
        **shape,
        **differences,
        "log_partition": gap,
        "bar_posterior": bars["posterior"],
        "bar_log_partition": bars["log_partition"],
        "within": max(differences.values()) <= bars["posterior"] and gap <= bars["log_partition"],
        "closing": found.report.closing,
        "seconds": seconds,
        "peak_mib": peak_mib(),
    }
