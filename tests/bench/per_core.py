"""Pairs (t, k, c) a second on one core, and how much two threads add: C = 16, K = 1024.

Bars: Viterbi 5e9, posteriors 4e9 a direction, two threads 1.8 times as fast as one.
"""

from collections.abc import Iterator
from functools import partial

from semiseg.bench.measure import forget_peak, interleave, peak_mib
from semiseg.bench.models import informative
from semiseg.bench.record import Row
from semiseg.kernels import marginals, viterbi


def run(quick: bool) -> Iterator[Row]:
    """A row per operation and number of threads."""
    T, C, K = (20_000, 16, 256) if quick else (500_000, 16, 1024)
    potentials = informative(T, C, K, seed=0)
    for operation, compute, passes in (("viterbi", viterbi, 1), ("posteriors", marginals, 2)):
        forget_peak()
        timings = interleave([partial(compute, potentials, threads=n) for n in (1, 2)], 3 if quick else 7)
        for threads, timing in zip((1, 2), timings, strict=True):
            yield {
                "operation": operation,
                "T": T,
                "C": C,
                "K": K,
                "threads": threads,
                **timing._asdict(),
                "pairs_per_s": passes * T * C * K / timing.median_s,  # posteriors: of each direction, both in this time
                "speed_up": timings[0].median_s / timing.median_s,
                "repaired": compute(potentials, threads=threads).report.repaired,
                "peak_mib": peak_mib(),
            }
