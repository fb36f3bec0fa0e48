"""Time in proportion to T, and memory that does not grow with it, from 10 thousand to 100 million positions.

Each length runs as a stream in a process of its own and is timed in processor seconds. The slope of log time over
log T is 1 where the cost is linear; it is taken from a million on, where starting up no longer counts.
"""

import math
from collections.abc import Iterator

from semiseg.bench.measure import apart, summarise
from semiseg.bench.record import Row

C, K = 3, 32
SHORT = 1_000_000  # up to here three runs


def run(quick: bool) -> Iterator[Row]:
    """A row per operation and length."""
    lengths = [10_000, 100_000, 1_000_000] if quick else [10**n for n in range(4, 9)]
    for operation in ("viterbi", "posteriors"):
        points = []
        for T in lengths:
            runs = [apart("stream_once.py", operation, T, C, K) for _ in range(1 if quick or T > SHORT else 3)]
            timing = summarise([float(r["seconds"]) for r in runs])
            points.append((math.log(T), math.log(timing.median_s)))
            yield {
                "operation": operation,
                "T": T,
                "C": C,
                "K": K,
                "threads": 1,
                **timing._asdict(),
                "pairs_per_s": T * C * K * (1 if operation == "viterbi" else 2) / timing.median_s,
                "positions_per_s": T / timing.median_s,
                "slope_so_far": slope([p for p in points if p[0] >= math.log(SHORT) - 0.01 or quick]),
                "peak_mib": max(float(r["peak_mib"]) for r in runs),
            }


def slope(points: list[tuple[float, float]]) -> float | str:
    """Least-squares slope of a line, empty for fewer than two points."""
    if len(points) < 2:
        return ""
    x, y = (sum(p[i] for p in points) / len(points) for i in (0, 1))
    return sum((a - x) * (b - y) for a, b in points) / sum((a - x) ** 2 for a, _ in points)
