"""GFF3 of gene models."""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote

from ..genes import Certainty, Gene, phases
from .output import Writer, comment

SOURCE = "semiseg"
PREFIXES = ("gene:", "cds:")  # of ids, before the name of a gene and of its coding sequence
SEQID = ".:^*$@!+_?-|"  # what may stand in column 1 besides letters and digits
RESERVED = re.compile(r"[%;=&,\x00-\x1f\x7f]|\A\s|\s\Z")  # what may not stand in an attribute; readers strip blanks


class Names(NamedTuple):
    """Ids of one gene."""

    gene: str
    transcript: str
    coding: str


class FreeNames:
    """Gives ids that no earlier feature has. Only names are kept, one a gene, since their ids follow from them."""

    def __init__(self) -> None:
        self.taken: set[str] = set()
        self.numbers: dict[str, int] = {}  # where counting goes on for a name that came again, or it would be quadratic

    def take(self, name: str) -> Names:
        """The ids of a gene that would be called so; a name that is taken gets a number."""
        number = self.numbers.get(name, 1)
        candidate = name if number == 1 else f"{name}_{number}"
        while self.is_taken(candidate):
            number += 1
            candidate = f"{name}_{number}"
        if number > 1:
            self.numbers[name] = number
        self.taken.add(candidate)
        return ids_of(candidate)

    def is_taken(self, name: str) -> bool:
        """Whether one of the name's ids is one of another name's."""
        return not self.taken.isdisjoint((*ids_of(name), *(name.removeprefix(prefix) for prefix in PREFIXES)))


def ids_of(name: str) -> Names:
    """The ids of a gene called so."""
    of_gene, of_coding = PREFIXES
    return Names(of_gene + name, name, of_coding + name)


def write_gff3(
    contigs: Iterable[tuple[str, int | None, Iterable[Gene]]],
    stream: Writer,
    comments: Sequence[str] = (),
    regions: Iterable[tuple[str, int]] | None = None,
) -> None:
    """Write contigs in the order given, (name, length, genes) each, every gene as gene > mRNA > exon and CDS.

    The mRNA's ID is the gene's name, so that it comes back when the file is read; a name that is taken gets a number.
    A gene is written as soon as it comes. A contig's length is written before its first gene, where it is known.

    With regions, names and lengths of all contigs or of none, these come first and no line between genes begins with
    #. Files with an index need that: tabix 1.16 stops at such lines.
    """
    stream.write("##gff-version 3\n")
    for text in comments:
        stream.write(comment(text))
    for region in regions or ():
        write_region(*region, stream)
    free = FreeNames()
    for contig, length, genes in contigs:
        if regions is None and length is not None:
            write_region(contig, length, stream)
        for number, gene in enumerate(genes, start=1):
            write_gene(gene, free.take(gene.name or f"{contig}_{number}"), stream)
            if regions is None:
                stream.write("###\n")


def write_region(contig: str, length: int, stream: Writer) -> None:
    """Write how long a contig is; an empty one has no first base that a region could begin with."""
    if length > 0:
        stream.write(f"##sequence-region {escape_seqid(contig)} 1 {length}\n")


def write_gene(gene: Gene, names: Names, stream: Writer) -> None:
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
        more = partial + certainty_attributes(exon.certainty)
        write("exon", exon.start, exon.end, exon.posterior, ".", f"Parent={transcript_id}{more}")
        write("CDS", exon.start, exon.end, exon.posterior, str(phase), f"ID={coding_id};Parent={transcript_id}{more}")


def partial_attributes(gene: Gene, start: int, end: int) -> str:
    """How a feature of a gene that is cut off says so, as in files of NCBI; start and end are the feature's."""
    if not any(gene.partial):
        return ""
    low = f";start_range=.,{start + 1}" if gene.partial[0] and start == gene.exons[0].start else ""
    high = f";end_range={end},." if gene.partial[1] and end == gene.exons[-1].end else ""
    return f";partial=true{low}{high}"


def certainty_attributes(certainty: Certainty | None) -> str:
    """What is known about a segment; intervals are of its first and of its last base, LOW-HIGH.

    A comma would make a list of two values. Boundary 0 is before base 1, so only starts move.
    """
    if certainty is None:
        return ""
    (start_low, start_high), (end_low, end_high) = certainty.start_ci, certainty.end_ci
    return (
        f";start_posterior={certainty.start:.4f};end_posterior={certainty.end:.4f}"
        f";segment_posterior={certainty.segment:.4f}"
        f";start_ci={start_low + 1}-{start_high + 1};end_ci={end_low}-{end_high}"
    )


def escape(text: str) -> str:
    """Text as an attribute's value."""
    return RESERVED.sub(lambda found: quote(found[0], safe=""), text)


@lru_cache(64)  # the same one for all rows of a contig
def escape_seqid(text: str) -> str:
    """Text as column 1; quote() never escapes a tilde."""
    return quote(text, safe=SEQID).replace("~", "%7E")
