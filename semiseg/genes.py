"""Gene models: the coding exons of one gene on one strand. Positions are 0-based and half-open."""

from typing import NamedTuple


class Exon(NamedTuple):
    """The coding part of an exon; the stop codon belongs to the last one."""

    start: int
    end: int
    posterior: float | None = None


class Gene(NamedTuple):
    """One coding sequence."""

    contig: str
    strand: str  # "+" or "-"
    exons: tuple[Exon, ...]  # by start
    name: str = ""
    phase: int = 0  # bases before the first whole codon, of the first transcribed exon
    partial: tuple[bool, bool] = (False, False)  # cut off at its low, and at its high coordinate
    posterior: float | None = None


class Transcript(NamedTuple):
    """A coding sequence and the gene that it is an isoform of."""

    gene: Gene
    gene_id: str


def coding_length(gene: Gene) -> int:
    """Return the number of coding bases."""
    return sum(exon.end - exon.start for exon in gene.exons)


def phases(gene: Gene) -> list[int]:
    """Return the GFF phase of every exon: how many of its first transcribed bases end the codon before it."""
    out, phase = [], gene.phase
    exons = gene.exons if gene.strand == "+" else gene.exons[::-1]
    for exon in exons:
        out.append(phase)
        phase = (phase - (exon.end - exon.start)) % 3
    return out if gene.strand == "+" else out[::-1]
