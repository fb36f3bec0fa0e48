"""BED of any segments, with further columns behind the six, and the rows of a gene's exons."""

import re
from collections.abc import Container, Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

from ..genes import Certainty, Gene, kinds
from .output import Writer, comment

COLUMNS = ("chrom", "start", "end", "name", "score", "strand")
DRAWN = ("thickStart", "thickEnd", "itemRgb")
CERTAINTY = (
    "start_posterior", "end_posterior", "segment_posterior", "label_posterior",
    "start_low", "start_high", "end_low", "end_high",
)  # fmt: skip
EXTRA = {"bed": CERTAINTY, "bed9": (*DRAWN, *CERTAINTY)}  # behind the six, of exons
BREAKS = re.compile(r"[\t\r\n]")  # BED cannot escape what separates columns and lines

# Of Okabe and Ito, whom the colour-blind can tell apart.
COLOURS = {"single": "204,121,167", "initial": "0,158,115", "internal": "0,114,178", "terminal": "213,94,0"}
GREY = "153,153,153"
LABELS = ("exon", "intron", *COLOURS)  # that rows may be asked for


class BedRow(NamedTuple):
    """One line."""

    contig: str
    start: int | str  # a text where it is in seconds
    end: int | str
    name: str
    posterior: float | None
    strand: str
    extra: tuple[str, ...] = ()


def write_bed(rows: Iterable[BedRow], stream: Writer, extra: Sequence[str] = (), comments: Sequence[str] = ()) -> None:
    """Write rows under a # header; the score is the posterior in thousandths, 0 where there is none.

    extra names the columns that the rows have beyond BED6; comments come first. Empty texts become a dot.
    """
    for text in comments:
        stream.write(comment(text))
    stream.write("#" + "\t".join((*COLUMNS, *extra)) + "\n")
    for row in rows:
        if len(row.extra) != len(extra):
            raise ValueError(f"expected {len(extra)} extra column(s), found {len(row.extra)}: {row}")
        score = round(1000 * (row.posterior or 0))
        cells = (row.contig, row.start, row.end, row.name, score, row.strand, *row.extra)
        stream.write("\t".join(BREAKS.sub("_", str(cell)) or "." for cell in cells) + "\n")


def gene_rows(
    gene: Gene, name: str, form: Literal["bed", "bed9"] = "bed", labels: Container[str] = ("exon",)
) -> Iterator[BedRow]:
    """Yield an exon a row with the columns of EXTRA[form], under the gene's name; bed9 is coloured by kind.

    `labels` may name kinds of exons instead of all, and introns: these have `.intron` behind the name.
    """
    parts = [
        (exon, kind, kind in labels or "exon" in labels) for exon, kind in zip(gene.exons, kinds(gene), strict=True)
    ]
    parts += [(intron, "intron", "intron" in labels) for intron in gene.introns]
    for part, kind, wanted in sorted(parts):
        if wanted:
            drawn = (str(part.start), str(part.end), COLOURS.get(kind, GREY)) if form == "bed9" else ()
            extra = (*drawn, *certainty_cells(part.certainty))
            named = f"{name}.intron" if kind == "intron" else name
            yield BedRow(gene.contig, part.start, part.end, named, part.posterior, gene.strand, extra)


def certainty_cells(certainty: Certainty | None) -> tuple[str, ...]:
    """What is known about a segment, in the order of the columns."""
    if certainty is None:
        return ("",) * len(CERTAINTY)
    posteriors = (certainty.start, certainty.end, certainty.segment, certainty.label)
    return (*(f"{p:.4f}" for p in posteriors), *(str(at) for at in (*certainty.start_ci, *certainty.end_ci)))
