"""BED as the strictest of its readers want it."""

import re
from collections.abc import Iterable, Mapping


def check(text: str, lengths: Mapping[str, int] | None = None) -> list[list[str]]:
    """The rows of a BED file with at least six columns, in which nothing is wrong; lengths are those of its contigs."""
    assert not text or text.endswith("\n"), "the last line does not end"
    lines = text.split("\n")[:-1]
    first = next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))
    rows = [line.split("\t") for line in lines[first:]]
    for number, (line, row) in enumerate(zip(lines[first:], rows, strict=True), start=first + 1):
        assert line == line.rstrip(), f"line {number} ends in blanks"
        assert len(row) == len(rows[0]) >= 6, f"line {number} has {len(row)} columns"
        assert all(row), f"line {number} has an empty column"
        check_row(row, number, lengths)
    check_order(rows)
    return rows


def check_row(row: list[str], number: int, lengths: Mapping[str, int] | None) -> None:
    """Check what can be wrong with one row."""
    contig, start, end, _, score, strand = row[:6]
    assert all(re.fullmatch("0|[1-9][0-9]*", cell) for cell in (start, end, score)), f"line {number}: no integers"
    assert 0 <= int(start) < int(end), f"line {number}: {start} to {end}"
    assert int(score) <= 1000, f"line {number}: score {score}"
    assert strand in ("+", "-", "."), f"line {number}: strand {strand}"
    assert lengths is None or int(end) <= lengths[contig], f"line {number}: beyond the end of {contig}"


def check_order(rows: Iterable[list[str]]) -> None:
    """Check that contigs come in one piece each, and their rows by start."""
    seen: list[str] = []
    last = 0
    for contig, start, *_ in rows:
        if not seen or contig != seen[-1]:
            assert contig not in seen, f"{contig} comes in several pieces"
            seen.append(contig)
            last = 0
        assert last <= int(start), f"{contig}: {start} after {last}"
        last = int(start)
