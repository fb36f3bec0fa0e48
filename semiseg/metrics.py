"""How well called genes agree with the true ones, and how far the posteriors of their exons can be believed.

Features are compared as sets: an exon that isoforms share counts once, and so does a structure that is given twice.
A feature is right when a true one has the same contig, strand and both ends; a gene, when its exons are exactly those
of a true transcript. Only coding parts are looked at.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence, Set
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .errors import SemisegError, show_names
from .formats.annotation import Annotation, count_crowded, read_annotation
from .formats.files import describe
from .genes import Gene, Transcript
from .parts import region
from .reliability import Reliability, measure

ROUNDING = 1e-9  # by which a posterior may lie above 1
NO_POSTERIORS = "the calls have scores outside 0 to 1, which are no posteriors: their reliability is left out"
ANY = 1 << 62  # bases of a contig, of which an annotation does not say how many there are
NAMES = 3  # contigs that an error names


class Span(NamedTuple):
    """A stretch of one strand; 0-based, half-open."""

    contig: str
    strand: str
    start: int
    end: int


class Accuracy(NamedTuple):
    """How many features there are, how many were called, and how many of those are right."""

    true: int
    called: int
    right: int

    @property
    def precision(self) -> float:
        return self.right / self.called if self.called else 0.0

    @property
    def recall(self) -> float:
        return self.right / self.true if self.true else 0.0

    @property
    def f1(self) -> float:
        return 2 * self.right / (self.true + self.called) if self.right else 0.0


class Scores(NamedTuple):
    """Agreement of calls with the truth at every level."""

    nucleotide: Accuracy  # on each strand for itself
    exon: Accuracy
    intron: Accuracy
    gene: Accuracy
    boundary: Accuracy  # starts and ends of exons, paired one to one within the tolerance
    tolerance: int
    reliability: Reliability | None  # None: no called exon has a posterior, or some are no probabilities
    notes: tuple[str, ...] = ()  # one sentence each, for the user


def score_files(truth: str | Path, calls: str | Path, tolerance: int = 3, regions: Sequence[str] = ()) -> Scores:
    """Scores of one annotation file against another, or of what lies in regions, if in part; '-' is stdin."""
    if str(truth) == str(calls) == "-":
        raise SemisegError("calls and truth cannot both come from stdin: name a file for one of them")
    true, called = read_annotation(truth), read_annotation(calls)
    if not true.transcripts:
        raise SemisegError(f"{describe(truth)}: found no CDS to compare with; expected the true genes")
    if regions:
        true, called = within([true, called], regions)
        if not true.transcripts:
            raise SemisegError(f"--region: {describe(truth)} has no CDS in {', '.join(regions)}")
    contigs, true_contigs = (
        {transcript.gene.contig for transcript in annotation.transcripts} for annotation in (called, true)
    )
    if contigs and contigs.isdisjoint(true_contigs):
        raise SemisegError(
            f"no contig of the calls is in the truth: {describe(calls)} has {name_some(contigs)}, "
            f"{describe(truth)} has {name_some(true_contigs)}; rename one of them"
        )
    scores = score(
        [transcript.gene for transcript in true.transcripts],
        [transcript.gene for transcript in called.transcripts],
        tolerance,
    )
    found = [
        f"{describe(path)}: {note}"
        for path, read in ((truth, true), (calls, called))
        for note in (*read.notes, *several(read.transcripts))
    ]
    return scores._replace(notes=(*found, *one_sided(true_contigs, contigs), *scores.notes))


def within(annotations: Sequence[Annotation], regions: Sequence[str]) -> list[Annotation]:
    """Annotations with the transcripts that lie in regions, if in part."""
    contigs = {transcript.gene.contig: ANY for annotation in annotations for transcript in annotation.transcripts}
    asked = [region(text, contigs, "--region") for text in regions]

    def lies_in_one(gene: Gene) -> bool:
        low, high = gene.exons[0].start, gene.exons[-1].end
        return any(gene.contig == name and low < end and start < high for name, start, end in asked)

    return [
        annotation._replace(transcripts=[x for x in annotation.transcripts if lies_in_one(x.gene)])
        for annotation in annotations
    ]


def several(transcripts: Sequence[Transcript]) -> Iterator[str]:
    """Sentences on what is compared here and not learnt from."""
    isoforms, overlapping = count_crowded(transcripts)
    if isoforms:
        yield f"{isoforms} further isoform(s) of genes: each counts as a structure of its own"
    if overlapping:
        yield f"{overlapping} gene(s) that overlap others: they count as all do"


def one_sided(true: Set[str], called: Set[str]) -> Iterator[str]:
    """A sentence on contigs that only one side has, where both have any."""
    lost = [
        f"{show_names(sorted(some))} {what}"
        for some, what in (
            (called - true if called else set(), "without true genes: all calls there count as wrong"),
            (true - called if called else set(), "without calls: all genes there count as missed"),
        )
        if some
    ]
    if lost:
        yield f"{'; '.join(lost)} (--region compares a part)"


def name_some(contigs: set[str]) -> str:
    """The first few names."""
    return ", ".join(sorted(contigs)[:NAMES]) + (", ..." if len(contigs) > NAMES else "")


def score(truth: Sequence[Gene], calls: Sequence[Gene], tolerance: int = 3) -> Scores:
    """Scores of called transcripts against true ones; boundaries are right up to `tolerance` bases."""
    if tolerance < 0:
        raise SemisegError(f"tolerance: expected 0 or more bases, found {tolerance}")
    true, called = ({span for gene in genes for span in exons(gene)} for genes in (truth, calls))
    belief, right = beliefs(truth, calls)
    sound = bool(((belief >= 0) & (belief <= 1 + ROUNDING)).all())
    return Scores(
        nucleotide=compare_bases(true, called),
        exon=compare(true, called),
        intron=compare(*({span for gene in genes for span in introns(gene)} for genes in (truth, calls))),
        gene=compare(*({frozenset(exons(gene)) for gene in genes} for genes in (truth, calls))),
        boundary=compare_boundaries(true, called, tolerance),
        tolerance=tolerance,
        reliability=measure(belief, right, len(true)) if len(belief) and sound else None,
        notes=() if sound else (NO_POSTERIORS,),
    )


def beliefs(truth: Sequence[Gene], calls: Sequence[Gene]) -> tuple[NDArray, NDArray]:
    """Posteriors (N,) of the called exons that have one, and whether each is right."""
    true = {span for gene in truth for span in exons(gene)}
    believed = {  # of transcripts that share an exon, the last one says its posterior
        span: exon.posterior
        for gene in calls
        for span, exon in zip(exons(gene), gene.exons, strict=True)
        if exon.posterior is not None
    }
    return np.array(list(believed.values()), float), np.array([span in true for span in believed], bool)


def exons(gene: Gene) -> Iterator[Span]:
    """Coding parts in the order of the gene's exons."""
    return (Span(gene.contig, gene.strand, exon.start, exon.end) for exon in gene.exons)


def introns(gene: Gene) -> Iterator[Span]:
    """What lies between exons; exons that touch or overlap, as at a programmed frameshift, have none between them."""
    for left, right in pairwise(gene.exons):
        if left.end < right.start:
            yield Span(gene.contig, gene.strand, left.end, right.start)


def compare(true: Set, called: Set) -> Accuracy:
    """Accuracy where only what is the same is right."""
    return Accuracy(len(true), len(called), len(true & called))


def compare_bases(true: Set[Span], called: Set[Span]) -> Accuracy:
    """Accuracy of covered bases, in memory of the number of spans.

    What both cover is what each covers, less what they cover together. Every strand of every contig gets a stretch of
    its own on one long line, so that one sweep does them all.
    """
    width = max((span.end for span in true | called), default=0)
    places = {key: i * width for i, key in enumerate({(span.contig, span.strand) for span in true | called})}
    lines = [
        np.array([(span.start + at, span.end + at) for span in spans for at in [places[span[:2]]]], np.int64)
        for spans in (true, called, true | called)
    ]
    in_true, in_called, in_either = (count_covered(line.reshape(-1, 2)) for line in lines)
    return Accuracy(in_true, in_called, in_true + in_called - in_either)


def count_covered(intervals: NDArray) -> int:
    """Positions that at least one of (N, 2) intervals covers."""
    starts, ends = intervals[np.argsort(intervals[:, 0])].T
    reach = np.maximum.accumulate(ends)
    before = np.concatenate([starts[:1], reach[:-1]])
    return int((reach - np.maximum(starts, before)).sum())


def compare_boundaries(true: Set[Span], called: Set[Span], tolerance: int) -> Accuracy:
    """Accuracy of the starts and of the ends of exons on each strand."""
    ends_of: dict[tuple[str, str, int], tuple[set[int], set[int]]] = defaultdict(lambda: (set(), set()))
    for side, spans in enumerate((true, called)):
        for contig, strand, *ends in spans:
            for kind, position in enumerate(ends):
                ends_of[contig, strand, kind][side].add(position)
    pairs = list(ends_of.values())
    return Accuracy(
        sum(len(left) for left, _ in pairs),
        sum(len(right) for _, right in pairs),
        sum(count_pairs(sorted(left), sorted(right), tolerance) for left, right in pairs),
    )


def count_pairs(left: list[int], right: list[int], tolerance: int) -> int:
    """Most pairs of one of each sorted list that differ by at most the tolerance, none used twice.

    The lowest two that fit may always be paired: if each had another partner, those two would fit each other.
    """
    pairs = i = j = 0
    while i < len(left) and j < len(right):
        if abs(left[i] - right[j]) <= tolerance:
            pairs, i, j = pairs + 1, i + 1, j + 1
        elif left[i] < right[j]:
            i += 1
        else:
            j += 1
    return pairs


def as_dict(scores: Scores) -> dict[str, object]:
    """The scores as numbers, strings, lists and dicts, for JSON."""
    levels = {name: value for name, value in scores._asdict().items() if isinstance(value, Accuracy)}
    reliability = scores.reliability
    return {
        **{
            name: {**value._asdict(), "precision": value.precision, "recall": value.recall, "f1": value.f1}
            for name, value in levels.items()
        },
        "tolerance": scores.tolerance,
        "reliability": reliability
        and {
            **reliability._asdict(),
            "bins": [row._asdict() for row in reliability.bins],
            "curve": [point._asdict() for point in reliability.curve],
        },
        "notes": list(scores.notes),
    }
