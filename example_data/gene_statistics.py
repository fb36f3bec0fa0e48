"""Writes statistics.json: how genes of a genome are written, as tables that hold nothing of its sequence.

    python example_data/gene_statistics.py GENOME ANNOTATION

The committed table is of Schizosaccharomyces pombe. Tables of bases are weights in thousandths in the order ACGT, and
those of chains have a row for every context in the same order; everything is read in the direction of transcription.
Whatever was seen fewer than FEW times counts as not seen, and is filled in from shorter contexts.
"""

import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from semiseg.formats.annotation import Selection, read_annotation, select
from semiseg.formats.fasta import read_fasta
from semiseg.genes import Gene
from semiseg.grammar import grammar
from semiseg.paths import exon_kinds
from semiseg.sites import STOPS, encode

FEW = 5
WHOLE = 1000
POINTS = 50  # quantiles of a law of lengths, at most
CODING_ORDER, OTHER_ORDER = 5, 4
HELD_BACK = 20.0  # bases that a shorter context counts for
FLANK = 60  # bases beside a gene that are told apart from what lies between genes; leaders have few start codons
START, DONOR, ACCEPTOR, STOP = (12, 9), (4, 8), (4, 3), (6, 6)  # bases before and after; STOP: after the stop codon
BRANCH_MOTIF = "CTRAY"  # where the search for branch points begins
BRANCH_BESIDE, BRANCH_WITHIN, BRANCH_ROUNDS = 2, 45, 5  # bases around the motif and before the acceptor; refinements
IUPAC = {"A": "A", "C": "C", "G": "G", "T": "T", "R": "AG", "Y": "CT"}
COMPLEMENT = np.array([3, 2, 1, 0, 4], np.int8)


class Gap(NamedTuple):
    """Two neighbours with nothing annotated between them."""

    left: Gene
    right: Gene

    @property
    def kind(self) -> str:
        """How the neighbours are oriented."""
        if self.left.strand == self.right.strand:
            return "tandem"
        return "convergent" if self.left.strand == "+" else "divergent"


def collect(genome: Path, annotation: Path) -> dict[str, Any]:
    """Return the statistics of all genes that the grammar can say."""
    contigs = {contig.name: encode(contig.sequence) for contig in read_fasta(genome)}
    chosen = select(read_annotation(annotation), {name: len(codes) for name, codes in contigs.items()})
    genes = [g for g in chosen.genes if not any(g.partial) and grammar(37).problem(g, contigs[g.contig]) is None]
    messages, introns, sites = [], [], defaultdict(list)
    exon_lengths: dict[str, list[int]] = {"single": [], "initial": [], "internal": [], "terminal": []}
    for gene in genes:
        codes = contigs[gene.contig]
        exons = gene.exons if gene.strand == "+" else gene.exons[::-1]
        parts = [sense(codes, exon.start, exon.end, gene.strand) for exon in exons]
        messages.append(np.concatenate(parts))
        introns += [sense(codes, a.end, b.start, gene.strand) for a, b in pairwise(gene.exons)]
        for kind, part in zip(exon_kinds(len(parts)), parts, strict=True):
            exon_lengths[kind].append(len(part))
        first = [exon.start if gene.strand == "+" else exon.end for exon in exons]
        last = [exon.end if gene.strand == "+" else exon.start for exon in exons]
        sites["start"].append(around(codes, first[0], START, gene.strand))
        sites["stop"].append(around(codes, last[-1], (STOP[0] + 3, STOP[1]), gene.strand))
        sites["donor"] += [around(codes, at, DONOR, gene.strand) for at in last[:-1]]
        sites["acceptor"] += [around(codes, at, ACCEPTOR, gene.strand) for at in first[1:]]
    inner = [intron[DONOR[1] : -ACCEPTOR[0]] for intron in introns]
    branch, branch_at = find_branches(inner)
    gaps = find_gaps(chosen, genes)
    stretches = between(gaps, contigs)
    stop = columns(sites["stop"])
    return {
        "genes_per_megabase": round(len(genes) / sum(map(len, contigs.values())) * 1e6),
        "coding": round(sum(map(len, messages)) / sum(map(len, contigs.values())) * WHOLE),
        "tandem": round(sum(gap.kind == "tandem" for gap in gaps) / len(gaps) * WHOLE),
        "exons_per_gene": exon_counts([len(gene.exons) for gene in genes]),
        "lengths": {
            **{kind: quantiles(found) for kind, found in exon_lengths.items()},
            "coding": quantiles([len(message) for message in messages]),
            "intron": quantiles([len(intron) for intron in introns]),
            "branch_to_acceptor": quantiles(
                [len(part) - at + ACCEPTOR[0] for part, at in zip(inner, branch_at, strict=True)]
            ),
            **{
                kind: quantiles([gap.right.exons[0].start - gap.left.exons[-1].end for gap in gaps if gap.kind == kind])
                for kind in ("tandem", "convergent", "divergent")
            },
        },
        "flank": FLANK,
        "start": beside(columns(sites["start"]), START[0]),
        "stop": {"before": stop[: STOP[0]], "after": stop[STOP[0] + 3 :]},
        "stop_codons": stop_codons(messages),
        "donor": beside(columns(sites["donor"]), DONOR[0]),
        "acceptor": beside(columns(sites["acceptor"]), ACCEPTOR[0]),
        "branch": branch,
        "coding_bases": smooth(count(messages, 0)[0])[0],
        "upstream_bases": smooth(count(stretches["upstream"], 0)[0])[0],
        "coding_chain": [smooth(table) for table in count([m[:-3] for m in messages], CODING_ORDER, 3)],
        "intron_chain": smooth(count(inner, OTHER_ORDER)[0]),
        **{f"{kind}_chain": smooth(count(parts, OTHER_ORDER)[0]) for kind, parts in stretches.items()},
    }


def sense(codes: NDArray, start: int, end: int, strand: str) -> NDArray:
    """Return a stretch in the direction of transcription."""
    part = codes[max(0, start) : end]
    return part if strand == "+" else COMPLEMENT[part][::-1]


def around(codes: NDArray, at: int, reach: tuple[int, int], strand: str) -> NDArray:
    """Return the bases before and after a boundary; fewer at a contig's end."""
    before, after = reach if strand == "+" else reach[::-1]
    return sense(codes, at - before, at + after, strand)


def exon_counts(counts: Sequence[int]) -> list[int]:
    """Return the share of genes with 1, 2, ... exons; the last of them stands for all that are rarer."""
    seen = Counter(counts)
    longest = max((n for n in range(1, len(seen) + 1) if all(seen[m] >= FEW for m in range(1, n + 1))), default=1)
    return [round(sum(min(n, longest) == m for n in counts) / len(counts) * WHOLE) for m in range(1, longest + 1)]


def quantiles(lengths: Sequence[int]) -> list[int]:
    """Return lengths at even steps of their law, each with at least FEW lengths; the extremes are left out."""
    points = max(1, min(POINTS, len(lengths) // FEW))
    return [round(x) for x in np.quantile(lengths, (np.arange(points) + 0.5) / points)] if lengths else []


def columns(sites: Sequence[NDArray]) -> list[list[int]]:
    """Return the weights of the bases at every position around a boundary."""
    whole = np.stack([site for site in sites if len(site) == max(map(len, sites))])
    return [shares(np.bincount(column, minlength=5)[:4]) for column in whole.T]


def shares(counts: NDArray) -> list[int]:
    """Return weights of bases, 0 for what was seen fewer than FEW times."""
    kept = np.where(counts < FEW, 0, counts)
    return [int(x) for x in np.rint(kept / max(1, kept.sum()) * WHOLE)]


def beside(weights: list[list[int]], before: int) -> dict[str, list[list[int]]]:
    """Return the columns before and after a boundary."""
    return {"before": weights[:before], "after": weights[before:]}


def stop_codons(messages: Iterable[NDArray]) -> dict[str, int]:
    """Return the weights of the stop codons."""
    seen = Counter("".join("ACGT"[base] for base in message[-3:]) for message in messages)
    return {codon: round(seen[codon] / seen.total() * WHOLE) for codon in STOPS}


def find_branches(inner: Sequence[NDArray]) -> tuple[list[list[int]], list[int]]:
    """Return the columns of the branch point's motif, and where it begins in introns without their ends.

    Each intron has one: where it fits best. Columns and places are found in turn.
    """
    any_base = [0.25] * 4
    motif = [[0.85 / len(IUPAC[c]) if b in IUPAC[c] else 0.05 for b in "ACGT"] for c in BRANCH_MOTIF]
    weights = np.array([any_base] * BRANCH_BESIDE + motif + [any_base] * BRANCH_BESIDE)
    background = np.bincount(np.concatenate([np.zeros(0, np.int8), *inner]), minlength=5)[:4] + 1.0
    width = len(weights)
    padded = [part if len(part) >= width else np.full(width, 4, np.int8) for part in inner]
    at: list[int] = []
    for _ in range(BRANCH_ROUNDS):
        gain = np.zeros((width, 5))  # a base that is not known speaks for nothing
        gain[:, :4] = np.log(weights / (background / background.sum()))
        at = []
        for part in padded:
            first = max(0, len(part) - BRANCH_WITHIN)
            windows = np.lib.stride_tricks.sliding_window_view(part[first:], width)
            at.append(first + int(gain[np.arange(width), windows].sum(1).argmax()))
        found = np.stack([part[i : i + width] for part, i in zip(padded, at, strict=True)])
        counts = np.stack([np.bincount(column, minlength=5)[:4] for column in found.T]) + 1.0
        weights = counts / counts.sum(1, keepdims=True)
    return [shares(np.bincount(column, minlength=5)[:4]) for column in found.T], at


def find_gaps(chosen: Selection, genes: Sequence[Gene]) -> list[Gap]:
    """Return the pairs of neighbours; a gene that was left out separates its neighbours."""
    usable = set(genes)
    places = [(g.contig, g.exons[0].start, g if g in usable else None) for g in chosen.genes]
    places += [(contig, start, None) for contig, start, _ in chosen.masked]
    places.sort(key=lambda place: place[:2])
    return [
        Gap(left, right)
        for (_, _, left), (_, _, right) in pairwise(places)
        if left is not None and right is not None and left.contig == right.contig
    ]


def between(gaps: Sequence[Gap], contigs: dict[str, NDArray]) -> dict[str, list[NDArray]]:
    """Return the sequence upstream and downstream of genes, and what lies between, which is read both ways."""
    out: dict[str, list[NDArray]] = {"upstream": [], "downstream": [], "intergenic": []}
    for left, right in gaps:
        codes, low, high = contigs[left.contig], left.exons[-1].end, right.exons[0].start
        flank = min(FLANK, (high - low) // 2)
        out["downstream" if left.strand == "+" else "upstream"].append(sense(codes, low, low + flank, left.strand))
        out["upstream" if right.strand == "+" else "downstream"].append(sense(codes, high - flank, high, right.strand))
        out["intergenic"] += [sense(codes, low + flank, high - flank, strand) for strand in "+-"]
    return out


def count(parts: Iterable[NDArray], order: int, period: int = 1) -> NDArray:
    """Return how often each base follows each context: (period, 4^order, 4), by the base's position in its part."""
    counts = np.zeros((period, 4 ** (order + 1)), np.int64)
    for part in parts:
        if len(part) <= order:
            continue
        windows = np.lib.stride_tricks.sliding_window_view(part, order + 1)
        words = windows @ 4 ** np.arange(order, -1, -1)
        phases = np.arange(order, len(part)) % period
        known = (windows < 4).all(1)
        np.add.at(counts, (phases[known], words[known]), 1)
    return counts.reshape(period, 4**order, 4)


def smooth(counts: NDArray) -> list[list[int]]:
    """Return weights (contexts, 4), never 0."""
    return [[max(1, round(p * WHOLE)) for p in row] for row in probabilities(counts).tolist()]


def probabilities(counts: NDArray) -> NDArray:
    """Return (contexts, 4) probabilities, held back towards those after a context shorter by its first base."""
    contexts = len(counts)
    kept = np.where(counts < FEW, 0, counts)
    if contexts == 1:
        shorter = np.full((1, 4), 0.25)
    else:
        shorter = np.tile(probabilities(counts.reshape(4, -1, 4).sum(0)), (4, 1))
    return (kept + HELD_BACK * shorter) / (kept.sum(1, keepdims=True) + HELD_BACK)


def main() -> None:
    """Write the table beside this script, one entry a line."""
    found = collect(Path(sys.argv[1]), Path(sys.argv[2]))
    lines = ",\n".join(f'"{name}": {json.dumps(value, separators=(",", ":"))}' for name, value in found.items())
    (Path(__file__).parent / "statistics.json").write_text(f"{{\n{lines}\n}}\n")


if __name__ == "__main__":
    main()
