"""GFF3 of gene models."""

import re
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple, TextIO
from urllib.parse import quote

from ..genes import Gene, phases

SOURCE = "semiseg"
SEQID = ".:^*$@!+_?-|"  # what may stand in column 1 besides letters and digits
RESERVED = re.compile(r"[%;=&,\x00-\x1f\x7f]|\A\s|\s\Z")  # what may not stand in an attribute; readers strip blanks


class Names(NamedTuple):
    """Ids of one gene."""

    gene: str
    transcript: str
    coding: str


def write_gff3(genes: Iterable[Gene], contigs: Iterable[tuple[str, int]], stream: TextIO) -> None:
    """Write genes in the order given, each as gene > mRNA > exon and CDS; contigs are names and lengths.

    The mRNA's ID is the gene's name, so that it comes back when the file is read; a name that is taken gets a number.
    A gene is written as soon as it comes.
    """
    stream.write("##gff-version 3\n")
    for contig, length in contigs:
        stream.write(f"##sequence-region {escape_seqid(contig)} 1 {length}\n")
    taken: set[str] = set()
    numbers: Counter[str] = Counter()
    for gene in genes:
        numbers[gene.contig] += 1
        names = free_names(gene.name or f"{gene.contig}_{numbers[gene.contig]}", taken)
        taken.update(names)
        write_gene(gene, names, stream)


def free_names(name: str, taken: set[str]) -> Names:
    """Ids that no earlier feature has."""
    number, candidate = 1, name
    while True:
        names = Names(f"gene:{candidate}", candidate, f"cds:{candidate}")
        if taken.isdisjoint(names):
            return names
        number += 1
        candidate = f"{name}_{number}"


def write_gene(gene: Gene, names: Names, stream: TextIO) -> None:
    """Write the lines of one gene."""
    gene_id, transcript_id, coding_id = (escape(name) for name in names)
    start, end = gene.exons[0].start, gene.exons[-1].end

    def write(kind: str, start: int, end: int, posterior: float | None, phase: str, attributes: str) -> None:
        score = "." if posterior is None else f"{posterior:.4f}"
        columns = (escape_seqid(gene.contig), SOURCE, kind, start + 1, end, score, gene.strand, phase, attributes)
        stream.write("\t".join(map(str, columns)) + "\n")

    partial = partial_attributes(gene, start, end)
    write("gene", start, end, gene.posterior, ".", f"ID={gene_id}{partial}")
    write("mRNA", start, end, gene.posterior, ".", f"ID={transcript_id};Parent={gene_id}{partial}")
    for exon, phase in zip(gene.exons, phases(gene), strict=True):
        partial = partial_attributes(gene, exon.start, exon.end)
        write("exon", *exon, ".", f"Parent={transcript_id}{partial}")
        write("CDS", *exon, str(phase), f"ID={coding_id};Parent={transcript_id}{partial}")
    stream.write("###\n")


def partial_attributes(gene: Gene, start: int, end: int) -> str:
    """How a feature of a gene that is cut off says so, as in files of NCBI; start and end are the feature's."""
    if not any(gene.partial):
        return ""
    low = f";start_range=.,{start + 1}" if gene.partial[0] and start == gene.exons[0].start else ""
    high = f";end_range={end},." if gene.partial[1] and end == gene.exons[-1].end else ""
    return f";partial=true{low}{high}"


def escape(text: str) -> str:
    """Text as an attribute's value."""
    return RESERVED.sub(lambda found: quote(found[0], safe=""), text)


def escape_seqid(text: str) -> str:
    """Text as column 1; quote() never escapes a tilde."""
    return quote(text, safe=SEQID).replace("~", "%7E")
