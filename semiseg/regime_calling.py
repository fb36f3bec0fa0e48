"""From series to a file of regimes: a row a stretch, its state, and how sure its ends are."""

import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from . import __version__
from .asked import Reading
from .errors import SemisegError
from .formats.bed import EXTRA, write_bed
from .formats.output import writing
from .formats.segments import COLOURS, Segment, bed_rows, write_csv
from .formats.source import open_source
from .genes import Certainty
from .regimes import Regimes, find_regimes
from .signals import Source, Strip

FORMS = ("bed", "bed9", "csv")
MEANING = (
    "score, segment_posterior, label_posterior: mean posterior of the state; start_posterior, end_posterior: of a"
    " change within half a block (a period, at least 10 samples and 1 % of the series); low, high: 95 % intervals"
)


def opened(path: Path, reading: Reading) -> Source:
    """Return what a file has."""
    return open_source(path, dataset=reading.dataset, rate=reading.rate, channels=reading.channels or None)


def is_series(path: Path, reading: Reading) -> bool:
    """Return whether a file has series, and not tracks along a genome."""
    return opened(path, reading).bin == 1


def call_regimes(
    path: Path, output: Path | None = None, form: str = "bed", reading: Reading = Reading(),  # noqa: B008
    command: Sequence[str] = (), report: Callable[[int, int], None] = lambda done, total: None,
) -> int:  # fmt: skip
    """Write the regimes of every sequence of a file and return how many there are; states are its own."""
    source = opened(path, reading)
    rows = []
    for i, strip in enumerate(source.strips):
        rows += list(segments(strip, find_regimes(strip.read(0, strip.length), f"{path}: {strip.name}")))
        report(i + 1, len(source.strips))
    if not rows:
        raise SemisegError(f"{path}: there are no sequences in it")
    comments = [f"semiseg {__version__}", *([f"command: {shlex.join(command)}"] if command else []), MEANING]
    with writing(output, "bed" if form != "csv" else None) as stream:
        if form == "csv":
            write_csv(rows, stream, comments)
        else:
            write_bed(bed_rows(rows, form == "bed9"), stream, EXTRA[form], comments)
    return len(rows)


def segments(strip: Strip, found: Regimes) -> Iterator[Segment]:
    """Yield the regimes of a sequence as its segments; states count from 1."""
    after = [*(x.change for x in found.stretches[1:]), 1.0]
    scale = strip.end / strip.length  # coordinates of a position
    for x, end in zip(found.stretches, after, strict=True):
        a, b, *bounds = (round(at * scale) for at in (x.start, x.end, *x.start_ci, *x.end_ci))
        low, high = (bounds[0], bounds[1]), (bounds[2], bounds[3])
        sure = Certainty(x.change, end, x.sure, x.sure, low, high)
        yield Segment(strip.name, a, b, str(x.state + 1), COLOURS[x.state % len(COLOURS)], sure)
