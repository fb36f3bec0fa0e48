"""BED6 of any segments, with further columns behind."""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TextIO

COLUMNS = ("chrom", "start", "end", "name", "score", "strand")
BREAKS = re.compile(r"[\t\r\n]")  # BED cannot escape what separates columns and lines


class BedRow(NamedTuple):
    """One line."""

    contig: str
    start: int
    end: int
    name: str
    posterior: float | None
    strand: str
    extra: tuple[str, ...] = ()


def write_bed(rows: Iterable[BedRow], stream: TextIO, extra: Sequence[str] = ()) -> None:
    """Write rows under a # header; the score is the posterior in thousandths, 0 where there is none.

    extra names the columns that the rows have beyond BED6. Empty texts become a dot.
    """
    stream.write("#" + "\t".join((*COLUMNS, *extra)) + "\n")
    for row in rows:
        if len(row.extra) != len(extra):
            raise ValueError(f"expected {len(extra)} extra column(s), found {len(row.extra)}: {row}")
        score = round(1000 * (row.posterior or 0))
        cells = (row.contig, row.start, row.end, row.name, score, row.strand, *row.extra)
        stream.write("\t".join(BREAKS.sub("_", str(cell)) or "." for cell in cells) + "\n")
