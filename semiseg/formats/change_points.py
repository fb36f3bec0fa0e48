"""Change points of many series: BED of states, or a line of commas a series."""

from collections.abc import Iterator
from pathlib import Path

from ..covering import Changes
from ..errors import SemisegError
from .files import describe, read_lines


def read_change_points(path: Path, skipped: int = 0, lengths: Path | None = None) -> dict[str, Changes]:
    """Return the change points of every series.

    BED: starts of rows whose state differs from that of the row before; a gap is a state of its own. Else a series a
    line: its name, `skipped` further cells, and its change points; the series itself is NAME.txt in the folder
    `lengths`, a value a line.
    """
    lines = [
        (number, line.decode(errors="replace"))
        for number, line in enumerate(read_lines(path), start=1)
        if line.strip() and not line.startswith((b"#", b"track", b"browser"))
    ]
    if lines and "\t" in lines[0][1]:
        return of_bed(path, lines)
    return dict(of_line(path, number, line, skipped, lengths) for number, line in lines)


def of_line(path: Path, number: int, line: str, skipped: int, lengths: Path | None) -> tuple[str, Changes]:
    """Return the name and the change points of a series."""
    name, *cells = (cell.strip() for cell in line.split(","))
    points = [cell for cell in cells[skipped:] if cell]
    if not name or not all(point.isdecimal() for point in points):
        raise SemisegError(
            f"{describe(path)}, line {number}: expected BED, or a name{', a window' * skipped} and change points,"
            " separated by commas"
        )
    series = lengths / f"{name}.txt" if lengths and Path(name).name == name else None
    length = sum(1 for x in read_lines(series) if x.strip()) if series and series.exists() else None
    return name, Changes(tuple(map(int, points)), length)


def of_bed(path: Path, lines: list[tuple[int, str]]) -> dict[str, Changes]:
    """Return the change points of every series of BED rows; its length is where the last row ends."""
    rows: dict[str, list[tuple[int, int, str]]] = {}
    for number, line in lines:
        cells = line.split("\t")
        if len(cells) < 3 or not (cells[1].isdecimal() and cells[2].isdecimal() and int(cells[1]) < int(cells[2])):
            raise SemisegError(f"{describe(path)}, line {number}: expected BED: series, start, end and state")
        rows.setdefault(cells[0], []).append((int(cells[1]), int(cells[2]), cells[3].strip() if len(cells) > 3 else ""))
    return {name: Changes(tuple(changes(sorted(x))), max(end for _, end, _ in x)) for name, x in rows.items()}


def changes(rows: list[tuple[int, int, str]]) -> Iterator[int]:
    """Yield where states change."""
    end, before = 0, ""
    for i, (start, last, state) in enumerate(rows):
        if start > end:
            yield from (end, start)
        elif i and state != before:
            yield start
        end, before = max(end, last), state
