"""Named segments from BED: labels to learn from, calls to be scored."""

from pathlib import Path

from ..errors import SemisegError
from ..intervals import Segment
from .files import describe, read_lines

SILENT = "."  # name of a stretch about which nothing is known
POSTERIORS = ("start_posterior", "end_posterior")


def read_segments(path: Path) -> dict[str, list[Segment]]:
    """Return the segments of every sequence, in order; posteriors of ends where the header names their columns."""
    out: dict[str, list[Segment]] = {}
    columns: dict[str, int] = {}
    for number, line in enumerate(read_lines(path), start=1):
        cells = line.decode(errors="replace").split("\t")
        if cells[0].startswith("#"):
            columns = {name: i for i, name in enumerate(cells) if name in POSTERIORS} or columns
        if not line.strip() or cells[0].startswith(("#", "track", "browser")):
            continue
        where = f"{describe(path)}, line {number}"
        if len(cells) < 4 or not (cells[1].isdecimal() and cells[2].isdecimal() and int(cells[1]) < int(cells[2])):
            raise SemisegError(f"{where}: expected BED: sequence, start, end and name, separated by tabs")
        believed = {name: posterior(cells, at, where) for name, at in columns.items()}
        out.setdefault(cells[0], []).append(Segment(int(cells[1]), int(cells[2]), cells[3], **believed))
    return {name: sorted(found, key=lambda s: (s.start, s.end)) for name, found in out.items()}


def posterior(cells: list[str], at: int, where: str) -> float | None:
    """Return the posterior in a column; None where it is empty."""
    if at >= len(cells) or cells[at] in ("", "."):
        return None
    try:
        value = float(cells[at])
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise SemisegError(f"{where}: column {at + 1}: expected a posterior from 0 to 1, got {cells[at]!r}")
    return value
