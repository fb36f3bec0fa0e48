"""Recorded results: one tidy CSV a benchmark, one row a measurement; a new recording replaces the old one."""

import csv
from collections.abc import Iterable
from pathlib import Path

RESULTS = Path(__file__).with_name("results")

Row = dict[str, object]


def record(name: str, context: Row, rows: Iterable[Row], folder: Path = RESULTS) -> Path:
    """The file that now holds the rows of a benchmark, each with what `machine` said before it ran."""
    table = [{**context, **{key: shown(value) for key, value in row.items()}} for row in rows]
    columns = list(dict.fromkeys(key for row in table for key in row))
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)
    return path


def shown(value: object) -> object:
    """Four digits are more than a timing has."""
    return f"{value:.4g}" if isinstance(value, float) else value


def show(row: Row) -> str:
    """One line for the terminal."""
    return "  " + "  ".join(f"{key}={shown(value)}" for key, value in row.items() if value != "")
