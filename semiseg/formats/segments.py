"""Rows of labelled segments, in positions of their file or in seconds: BED, and CSV."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from io import StringIO
from typing import NamedTuple

from ..genes import Certainty
from .bed import CERTAINTY, BedRow, certainty_cells
from .output import Writer, comment

COLOURS = ("0,114,178", "213,94,0", "0,158,115", "204,121,167", "230,159,0", "86,180,233")  # of Okabe and Ito
CSV = ("sequence", "start", "end", "label", *CERTAINTY)


class Segment(NamedTuple):
    """A called segment of a chromosome or a recording."""

    sequence: str
    start: int
    end: int
    label: str
    colour: str  # "r,g,b"
    certainty: Certainty | None
    rate: float | None = None  # positions a second, where seconds are wanted
    posterior: float | None = None  # that stands for it as its score


def seconds(at: int, rate: float | None) -> str:
    """Return a position, in seconds where there is a rate: to a microsecond."""
    return str(at) if rate is None else f"{at / rate:.6f}".rstrip("0").rstrip(".")


def cells(segment: Segment) -> tuple[str, ...]:
    """Return start, end and what is known about a segment."""
    rate, known = segment.rate, certainty_cells(segment.certainty)
    if rate is not None and segment.certainty is not None:
        bounds = (*segment.certainty.start_ci, *segment.certainty.end_ci)
        known = (*known[: -len(bounds)], *(seconds(at, rate) for at in bounds))
    return (seconds(segment.start, rate), seconds(segment.end, rate), *known)


def bed_rows(segments: Iterable[Segment], is_drawn: bool) -> Iterator[BedRow]:
    """Yield a row a segment; `is_drawn`: with the columns that colour it."""
    for segment in segments:
        start, end, *known = cells(segment)
        drawn = (start, end, segment.colour) if is_drawn else ()
        yield BedRow(segment.sequence, start, end, segment.label, segment.posterior, ".", (*drawn, *known))


def write_csv(segments: Iterable[Segment], stream: Writer, comments: Sequence[str] = ()) -> None:
    """Write segments under comments and a header."""
    for about in comments:
        stream.write(comment(about))
    held = StringIO()
    writer = csv.writer(held, lineterminator="\n")
    writer.writerow(CSV)
    for segment in segments:
        start, end, *known = cells(segment)
        writer.writerow((segment.sequence, start, end, segment.label, *known))
        stream.write(held.getvalue())
        held.seek(0)
        held.truncate()
    stream.write(held.getvalue())
