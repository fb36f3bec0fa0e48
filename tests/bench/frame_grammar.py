"""The gene grammar, both strands, 37 labels with mixed K_c: introns of 2 kb look like what lies between genes."""

from collections.abc import Iterator
from functools import partial

from semiseg.bench.genes import random_genome
from semiseg.bench.measure import forget_peak, interleave, peak_mib
from semiseg.bench.models import frame_grammar
from semiseg.bench.record import Row
from semiseg.kernels import Report, marginals, viterbi

CHUNKS = (1, 2, 8)


def run(quick: bool) -> Iterator[Row]:
    """A row per operation and number of chunks; `repaired` is the share of positions computed again."""
    T = 50_000 if quick else 200_000
    potentials = frame_grammar(random_genome(T, seed=1), kinds=True)
    assert potentials.longest is not None
    work = int(potentials.longest.sum())
    for operation, compute, passes in (("viterbi", viterbi, 1), ("posteriors", marginals, 2)):
        forget_peak()
        reports: dict[int, Report] = {}

        def compute_in(chunks: int, compute=compute, reports=reports) -> None:
            reports[chunks] = compute(potentials, threads=min(chunks, 2), chunks=chunks).report

        compute_in(1)  # compiles
        timings = interleave([partial(compute_in, n) for n in CHUNKS], 1 if quick else 3, warm=False)
        for (chunks, report), timing in zip(reports.items(), timings, strict=True):
            yield {
                "operation": operation,
                "T": T,
                "C": len(potentials.longest),
                "sum_K": work,
                "chunks": chunks,
                "threads": min(chunks, 2),
                **timing._asdict(),
                "pairs_per_s": passes * T * work / timing.median_s,  # posteriors: of each direction, both in this time
                "positions_per_s": T / timing.median_s,
                "rounds": report.rounds,
                "repaired": report.repaired / (passes * T),
                "gap": report.gap,
                "certificate": report.certificate,
                "peak_mib": peak_mib(),
            }
