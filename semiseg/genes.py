"""Gene models: the coding exons of one gene on one strand. Positions are 0-based and half-open."""

from typing import NamedTuple


class Certainty(NamedTuple):
    """What is known about one called segment: posteriors, all exact but for that of the whole, and where its ends lie.

    start and end are its low and its high coordinate on both strands, as they stand in the output.
    """

    start: float  # a segment that means the same starts exactly there
    end: float  # or ends exactly there
    segment: float  # exactly this segment: the exon's posterior, calibrated where the model has a calibration
    label: float  # mean over the segment
    start_ci: tuple[int, int]  # shortest interval of boundaries with 95 % of the distribution, both included
    end_ci: tuple[int, int]


class Exon(NamedTuple):
    """The coding part of an exon; the stop codon belongs to the last one."""

    start: int
    end: int
    posterior: float | None = None
    certainty: Certainty | None = None


class Gene(NamedTuple):
    """One coding sequence."""

    contig: str
    strand: str  # "+" or "-"
    exons: tuple[Exon, ...]  # by start
    name: str = ""
    phase: int = 0  # bases before the first whole codon, of the first transcribed exon
    partial: tuple[bool, bool] = (False, False)  # cut off at its low, and at its high coordinate
    posterior: float | None = None
    introns: tuple[Exon, ...] = ()  # where they were asked about


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


def kinds(gene: Gene) -> list[str]:
    """Return the kind of every exon: single, initial, internal or terminal; where a gene is cut off it goes on."""
    first = [i == 0 and not gene.partial[0] for i in range(len(gene.exons))]
    last = [i == len(gene.exons) - 1 and not gene.partial[1] for i in range(len(gene.exons))]
    starts, stops = (first, last) if gene.strand == "+" else (last, first)
    names = {(True, True): "single", (True, False): "initial", (False, False): "internal", (False, True): "terminal"}
    return [names[ends] for ends in zip(starts, stops, strict=True)]
