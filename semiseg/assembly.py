"""Genes put together from segments, with what is known about their exons."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .calibration import Calibration
from .genes import Certainty, Exon, Gene
from .grammar import Grammar
from .segment_stream import Found

PRINTED = {"single": "last", "terminal": "last", "initial": "inner", "internal": "inner"}


class Stretch(NamedTuple):
    """What is certain about the next positions of a contig."""

    first: int
    last: int
    genes: list[Gene]  # those that are complete by now
    tracks: NDArray | None  # (last - first, tracks)
    is_open: bool = False  # a gene goes on


def concepts(g: Grammar) -> Tensor:
    """Return (C,) numbers, the same for labels that give the same exon in the output.

    Frames do not show there; kinds do in that the stop codon is added to single and terminal exons, and to others not.
    """
    names = [(PRINTED.get(label.kind, label.kind), label.strand) for label in g.labels]
    return torch.tensor([names.index(name) for name in names])


def asked_about(grammar: Grammar, introns: bool) -> NDArray:
    """Return (C,) whether segments of a label are to be told about."""
    return np.array([label.is_exon or (introns and label.kind == "intron") for label in grammar.labels])


def assembled(
    found: Iterator[Found], grammar: Grammar, name: str, calibration: Calibration | None, start: int = 0
) -> Iterator[Stretch]:
    """Yield genes put together from segments; one is complete when what lies between it and the next is known."""
    rows: list[tuple[int, int, int]] = []  # of a gene in the making
    known: dict[int, Certainty] = {}  # about its exons, by start

    def gene(length: int) -> list[Gene]:
        starts, ends, labels = (np.array(x, np.int64) for x in zip(*rows, strict=True))
        genes = grammar.genes(starts, ends, labels, name, length, start)
        exons, between = ([row for row in rows if grammar.labels[row[2]].is_exon == kind] for kind in (True, False))
        introns = tuple(known_about(Exon(a + start, b + start), a, b, known) for a, b, _ in between)
        rows.clear()
        return [sure(g, exons, known)._replace(introns=introns) for g in genes]

    last = None
    for stretch in found:
        if last is not None:
            yield last
        genes: list[Gene] = []
        if stretch.calls is not None:
            known |= certainties(stretch, calibration)
        for a, b, label in stretch.segments.tolist():
            if grammar.labels[label].kind == "intergenic":
                genes += gene(b) if rows else []
            else:
                rows.append((a, b, label))
        last = Stretch(start + stretch.first, start + stretch.last, genes, stretch.tracks, bool(rows))
    if last is not None:
        yield last._replace(genes=last.genes + (gene(last.last - start) if rows else []), is_open=False)


def certainties(found: Found, calibration: Calibration | None) -> Iterator[tuple[int, Certainty]]:
    """Yield, for every segment asked about, where it begins and what is known about it."""
    c = found.calls
    assert c is not None
    probability = lambda x: x.numpy().clip(0, 1).tolist()  # noqa: E731
    segment = c.segment.numpy().clip(0, 1)
    segment = segment if calibration is None else calibration.apply(segment)
    columns = (
        found.segments[found.asked, 0].tolist(), probability(c.start), probability(c.end), segment.tolist(),
        probability(c.label), zip(c.start_low.tolist(), c.start_high.tolist(), strict=True),
        zip(c.end_low.tolist(), c.end_high.tolist(), strict=True),
    )  # fmt: skip
    for at, *values in zip(*columns, strict=True):
        yield at, Certainty(*values)


def sure(gene: Gene, rows: list[tuple[int, int, int]], known: dict[int, Certainty]) -> Gene:
    """Return a gene with what is known about its exons; it is at most as sure as its least sure one."""
    exons = tuple(known_about(exon, a, b, known) for exon, (a, b, _) in zip(gene.exons, rows, strict=True))
    sure = [exon.posterior for exon in exons if exon.posterior is not None]
    return gene._replace(exons=exons, posterior=min(sure) if len(sure) == len(exons) else None)


def known_about(exon: Exon, a: int, b: int, known: dict[int, Certainty]) -> Exon:
    """Return an exon, or an intron, with what is known about the segment [a, b) that it is."""
    certainty = known.pop(a, None)
    if certainty is None:
        return exon
    low, high = exon.start - a, exon.end - b  # the contig's own coordinates, and the stop codon
    moved = certainty._replace(
        start_ci=(certainty.start_ci[0] + low, certainty.start_ci[1] + low),
        end_ci=(certainty.end_ci[0] + high, certainty.end_ci[1] + high),
    )
    return exon._replace(posterior=certainty.segment, certainty=moved)
