"""What is set right about one gene before it is learnt from."""

from itertools import pairwise
from typing import NamedTuple

from ..genes import Exon, Gene, coding_length

LONGEST_GAP = 4  # between parts of a CDS: a frameshift written as an intron; no intron is so short
OUTSIDE = "with CDS outside the sequence: dropped"
FRAGMENT = "that lack their start or their stop, and not at the sequence's end: dropped"


class Repair(NamedTuple):
    """A gene and what was found about it: a sentence without its subject for every kind."""

    gene: Gene
    found: tuple[str, ...]
    is_usable: bool


def repair(gene: Gene, length: int) -> Repair:
    """The gene in the form that it can be learnt in, on a sequence of the given length, and if this is possible."""
    if gene.exons[-1].end > length:
        return Repair(gene, (OUTSIDE,), False)
    if any(after.start < before.end for before, after in pairwise(gene.exons)):
        return Repair(gene, ("with CDS parts that overlap each other: dropped",), False)
    found = []
    closed = close_gaps(gene)
    if closed != gene:
        found.append(f"with gaps of at most {LONGEST_GAP} bp in the CDS: closed")
    if not has_whole_codons(closed):
        cut = (closed.exons[0].start == 0, closed.exons[-1].end == length)
        if not any(cut):
            return Repair(closed, (*found, "whose CDS length is no multiple of three: dropped"), False)
        closed = cut_off(closed, cut)
        found.append("that the sequence's end cuts within a codon: taken as partial")
    if any(missing(closed, length)):
        return Repair(closed, (*found, FRAGMENT), False)
    return Repair(closed, tuple(found), True)


def missing(gene: Gene, length: int) -> tuple[bool, bool]:
    """Whether more of the gene lies somewhere before its low, and behind its high coordinate, on the sequence."""
    return gene.partial[0] and gene.exons[0].start > 0, gene.partial[1] and gene.exons[-1].end < length


def close_gaps(gene: Gene) -> Gene:
    """The gene with exons joined that lie closer together than an intron is long."""
    exons = [gene.exons[0]]
    for exon in gene.exons[1:]:
        last = exons[-1]
        if exon.start - last.end <= LONGEST_GAP:
            known = [e.posterior for e in (last, exon) if e.posterior is not None]
            exons[-1] = Exon(last.start, exon.end, min(known, default=None))
        else:
            exons.append(exon)
    return gene._replace(exons=tuple(exons))


def has_whole_codons(gene: Gene) -> bool:
    """Whether the length can be right: a gene that is cut off somewhere may have any."""
    return any(gene.partial) or coding_length(gene) % 3 == 0


def cut_off(gene: Gene, partial: tuple[bool, bool]) -> Gene:
    """The gene as partial; its phase follows from the other end, if that is there."""
    at_start, at_stop = partial if gene.strand == "+" else partial[::-1]
    return gene._replace(partial=partial, phase=coding_length(gene) % 3 if at_start and not at_stop else 0)
