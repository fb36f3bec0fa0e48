"""Annotation whose CDS leave out the stop codon, as some programs write it: told by the bases, and set right."""

from collections.abc import Mapping

from .formats.annotation import Annotation
from .formats.fasta import Contig
from .genes import Gene
from .sites import STOP_WORDS

NEARLY_ALL = 0.9  # of genes: by chance, one in twenty has a stop codon behind it


def with_stop_codons(annotation: Annotation, contigs: Mapping[str, Contig]) -> Annotation:
    """Return the annotation with stop codons in the CDS, where nearly all leave out one that lies right behind them."""
    whole = [
        gene for gene, _ in annotation.transcripts if gene.contig in contigs and not gene.partial[gene.strand == "+"]
    ]
    lacking = sum(leaves_out_stop(gene, contigs[gene.contig]) for gene in whole)
    if lacking < NEARLY_ALL * len(whole) or not lacking:
        few = [f"{lacking} of {len(whole)} CDS seem to leave out the stop codon"] if 2 * lacking > len(whole) else []
        return annotation._replace(notes=[*annotation.notes, *few])
    transcripts = [
        transcript._replace(gene=extended(transcript.gene))
        if transcript.gene.contig in contigs and leaves_out_stop(transcript.gene, contigs[transcript.gene.contig])
        else transcript
        for transcript in annotation.transcripts
    ]
    note = f"{lacking} of {len(whole)} CDS leave out the stop codon, which lies right behind them: taken in"
    return Annotation(transcripts, [*annotation.notes, note])


def leaves_out_stop(gene: Gene, contig: Contig) -> bool:
    """Whether a gene has no stop codon as its last three bases, and one in the three behind them."""
    plus = gene.strand == "+"
    if gene.partial[plus]:
        return False
    end = gene.exons[-1].end if plus else gene.exons[0].start
    last, behind = (
        bytes(contig.sequence[max(0, low) : low + 3]).decode("latin-1").upper()
        for low in ((end - 3, end) if plus else (end, end - 3))
    )
    words = STOP_WORDS[not plus]
    return last not in words and behind in words


def extended(gene: Gene) -> Gene:
    """The gene with three more bases at its end."""
    if gene.strand == "+":
        *before, last = gene.exons
        return gene._replace(exons=(*before, last._replace(end=last.end + 3)))
    first, *behind = gene.exons
    return gene._replace(exons=(first._replace(start=first.start - 3), *behind))
