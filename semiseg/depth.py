"""Whether a genome is like those that a model learnt from: its base composition, and how much of it lies in genes."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .errors import SemisegError
from .formats.fasta import Contig
from .genes import Gene
from .sites import UNKNOWN, encode

PIECE, WINDOW = 10_000, 50_000  # bases counted together, and known bases that a share is taken of
LEAST = 20_000  # known bases that a share says something about
PERCENTILES = (1, 99)
GC_BEYOND = 0.02  # by which the share of G and C may lie outside
DENSITY_BEYOND = 2.0  # factor by which the share of bases in genes may


class Depth(NamedTuple):
    """Ranges over windows of the training genomes; shares are of known bases."""

    gc_low: float
    gc_high: float
    density_low: float  # bases from the first to the last coding base of a gene, introns included
    density_high: float

    def as_json(self) -> dict[str, float]:
        """Return it as plain values."""
        return self._asdict()


def from_json(values: Any) -> Depth | None:
    """Return stored ranges; None where there are none."""
    if values is None:
        return None
    try:
        return Depth(**{name: float(value) for name, value in values.items()})
    except (AttributeError, TypeError, ValueError):
        raise SemisegError(f"depth: expected the numbers {', '.join(Depth._fields)}, got {values!r}") from None


def measured(contigs: Iterable[Contig], genes: Iterable[Gene]) -> Depth:
    """Return the ranges of training contigs and their genes, overlapping or not, in any order.

    Windows go on from one contig to the next, so that a genome in many small pieces has some too.
    """
    by_contig = defaultdict(list)
    for gene in genes:
        by_contig[gene.contig].append(gene)
    counts = np.concatenate([count(contig.sequence, by_contig[contig.name]) for contig in contigs])
    window = (counts[:, 0].cumsum() - counts[:, 0]) // WINDOW
    known, gc, genic = (np.bincount(window, weights=column) for column in counts.T)
    enough = known >= min(LEAST, known.max())
    shares = np.percentile([gc[enough] / known[enough], genic[enough] / known[enough]], PERCENTILES, axis=1)
    return Depth(*shares.T.ravel().tolist())


def count(sequence: NDArray, genes: Sequence[Gene]) -> NDArray:
    """Return (pieces, 3) numbers of known bases, of G and C, and of known bases in genes, of (T,) ASCII letters."""
    codes = encode(sequence)
    inside = np.zeros(len(codes), bool)
    for gene in genes:
        inside[gene.exons[0].start : gene.exons[-1].end] = True
    known = codes != UNKNOWN
    asked = np.stack([known, (codes == 1) | (codes == 2), known & inside])
    return np.add.reduceat(asked, np.arange(0, len(codes), PIECE), axis=1, dtype=np.int64).T


def warnings(depth: Depth, gc: float, density: float) -> list[str]:
    """Return a sentence for each share of a genome that lies far outside of what was learnt from."""
    asked = (
        ("base composition", "GC", gc, depth[:2], (depth.gc_low - GC_BEYOND, depth.gc_high + GC_BEYOND)),
        ("gene density", "of bases in genes", density, depth[2:],
         (depth.density_low / DENSITY_BEYOND, depth.density_high * DENSITY_BEYOND)),
    )  # fmt: skip
    return [
        f"{what}: {100 * share:.0f} % {unit}; the model learnt from {100 * low:.0f} to {100 * high:.0f} %:"
        " calls may be poor"
        for what, unit, share, (low, high), (least, most) in asked
        if not least <= share <= most
    ]
