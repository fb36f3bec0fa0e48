"""A genome in parts: what is learnt from, and what is set aside to validate on, by sequence or by region."""

from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple

from .errors import SemisegError
from .formats.annotation import Selection
from .formats.fasta import Contig
from .genes import Gene


class Region(NamedTuple):
    """A stretch of a contig."""

    name: str
    start: int
    end: int


class Part(NamedTuple):
    """A stretch of a contig, with what lies in it in its own coordinates."""

    contig: Contig
    genes: list[Gene]
    hidden: list[tuple[int, int]]
    aside: bool  # to validate on


def parse(text: str, contigs: Mapping[str, Contig], option: str = "--val") -> Region:
    """Return the region of `name` or `name:from-to`, 1-based and inclusive as in samtools."""
    if text in contigs:
        return Region(text, 0, len(contigs[text].sequence))
    name, _, span = text.rpartition(":")
    if name not in contigs:
        raise SemisegError(f"{option}: no sequence named {name or text}; there are {', '.join(list(contigs)[:10])}")
    first, dash, last = span.replace(",", "").partition("-")
    length = len(contigs[name].sequence)
    if not first.isdecimal() or not (last.isdecimal() if dash and last else not last):
        raise SemisegError(f"{option}: expected NAME or NAME:FROM-TO, got {text!r}")
    start, end = int(first) - 1, min(int(last), length) if last else length
    if not 0 <= start < end:
        raise SemisegError(f"{option}: {text} is empty: {name} has {length} bases")
    return Region(name, start, end)


def cut(contigs: Mapping[str, Contig], chosen: Selection, regions: list[Region]) -> list[Part]:
    """Return contigs cut into what is learnt from and what is set aside; a gene that is cut is hidden."""
    genes: dict[str, list[Gene]] = {name: [] for name in contigs}
    hidden: dict[str, list[tuple[int, int]]] = {name: [] for name in contigs}
    for gene in chosen.genes:
        genes[gene.contig].append(gene)
    for name, start, end in chosen.masked:
        hidden[name].append((start, end))
    parts = []
    for name, contig in contigs.items():
        own = sorted((r.start, r.end) for r in regions if r.name == name)
        if any(a[1] > b[0] for a, b in pairwise(own)):
            raise SemisegError(f"--val: regions of {name} overlap")
        edges = sorted({0, len(contig.sequence), *(edge for span in own for edge in span)})
        if len(edges) == 2:
            parts.append(Part(contig, genes[name], hidden[name], bool(own)))
            continue
        parts += [part_of(contig, genes[name], hidden[name], *span, span in own) for span in pairwise(edges)]
    return parts


def part_of(
    contig: Contig, genes: list[Gene], hidden: list[tuple[int, int]], start: int, end: int, aside: bool
) -> Part:
    """Return one stretch of a contig, named as a region."""
    name = f"{contig.name}:{start + 1}-{end}"
    inside, covered = [], [(max(a, start) - start, min(b, end) - start) for a, b in hidden if a < end and start < b]
    for gene in genes:
        low, high = gene.exons[0].start, gene.exons[-1].end
        if start <= low and high <= end:
            exons = tuple(e._replace(start=e.start - start, end=e.end - start) for e in gene.exons)
            inside.append(gene._replace(contig=name, exons=exons))
        elif low < end and start < high:
            covered.append((max(low, start) - start, min(high, end) - start))
    return Part(Contig(name, contig.sequence[start:end]), inside, covered, aside)


def set_aside(contigs: Mapping[str, Contig]) -> list[str]:
    """Return the sequence nearest to a tenth of the genome, to validate on; a genome of one sequence has none."""
    if len(contigs) < 2:
        raise SemisegError("--val: the genome is one sequence: name a region of it to validate on, NAME:FROM-TO")
    tenth = sum(len(c.sequence) for c in contigs.values()) / 10
    return [min(contigs, key=lambda name: abs(len(contigs[name].sequence) - tenth))]
