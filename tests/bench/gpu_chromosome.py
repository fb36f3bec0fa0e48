"""One sequence as long as a chromosome on the GPU: Viterbi with path, and start, end and position posteriors.

C = 16, K = 1024. Bars: 250 and 80 million positions a second.
"""

from collections.abc import Iterator

from semiseg.bench.device import measured, pairs, plan_of, row, tried
from semiseg.bench.device_models import informative_there
from semiseg.bench.record import Row
from semiseg.kernels import Potentials, marginals, viterbi
from semiseg.kernels.results import Report

WORK = {"viterbi": (viterbi, 1, "max", 250e6), "posteriors": (marginals, 2, "fma", 80e6)}


def run(quick: bool) -> Iterator[Row]:
    """A row per operation."""
    T, C, K = (200_000, 16, 256) if quick else (60_000_000, 16, 1024)
    potentials = informative_there(T, C, K)
    yield from operations(potentials, {"T": T, "C": C, "K": K}, {name: bar for name, (*_, bar) in WORK.items()}, quick)


def operations(potentials: Potentials, shape: Row, bars: dict[str, float], quick: bool) -> Iterator[Row]:
    """The rows of one model."""
    for operation, (compute, passes, unit, _) in WORK.items():

        def rest(compute=compute, passes=passes, unit=unit) -> Row:
            T = len(potentials.emissions)
            plan = plan_of(potentials, passes)
            m = measured(lambda: compute(potentials), quick)
            found = row(m, plan, pairs(T, potentials.longest), passes, unit)
            rate = T / m.timing.median_s
            return {**found, "positions_per_s": rate, **seams(m.result.report, passes * T)}

        yield tried({"operation": operation, **shape, "bar_positions_per_s": bars[operation]}, rest)


def seams(report: Report, positions: int) -> Row:
    """How the chunks came to agree; `repaired` is a share of the positions of all passes."""
    return {
        "chunks": report.chunks,
        "rounds": report.rounds,
        "repaired": report.repaired / positions,
        "gap": report.gap,
        "certificate": report.certificate,
        "closing": report.closing,
    }
