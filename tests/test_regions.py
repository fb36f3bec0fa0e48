"""Regions, and streams in short views: what is called there in the whole contig."""

from pathlib import Path

import numpy as np
import pytest
from decoding import (  # noqa: F401 - fixtures
    LENGTHS,
    ROUNDED,
    Rows,
    all_rows,
    dna,
    exons,
    places,
    rows_of,
    run,
    same,
    short_flanks,
    some_contigs,
    untrained,
)

from semiseg import finder, flanks, gene_stream
from semiseg.decode import decode
from semiseg.genes import Gene


def overlapping(rows: Rows, *regions: tuple[str, int, int]) -> Rows:
    """Rows of genes that overlap one of the regions."""
    spans: dict[str, tuple[str, int, int]] = {}
    for contig, start, end, name, *_ in rows:
        low = min(int(start), spans.get(name, (contig, int(start), 0))[1])
        spans[name] = contig, low, max(int(end), spans.get(name, (contig, 0, 0))[2])
    kept = {
        name
        for name, (contig, low, high) in spans.items()
        if any(contig == other and low < end and start < high for other, start, end in regions)
    }
    return [row for row in rows if row[3] in kept]


@pytest.mark.usefixtures("near")
@pytest.mark.parametrize(
    "regions",
    [
        [("long", 0, 500)], [("long", 7000, 8000)], [("long", 9000, 10_000)], [("long", 0, 10_000)],
        [("short", 3, 4)], [("base", 0, 1)], [("other", 3000, 3001), ("long", 5000, 5100), ("long", 8000, 8500)],
        [("long", at, at + 10) for at in (5000, 5050)],
    ],
)  # fmt: skip
def test_a_region_is_as_in_the_whole(
    regions: list[tuple[str, int, int]], model: Path, genome: Path, whole: Rows, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = [word for name, start, end in regions for word in ("-r", f"{name}:{start + 1:,}-{end}")]
    assert run("decode", genome, "--model", model, *asked) == 0
    rows = rows_of(capsys.readouterr().out)
    same(rows, overlapping(whole, *regions))
    genes = [row[3] for i, row in enumerate(rows) if i == 0 or rows[i - 1][3] != row[3]]
    assert len(set(genes)) == len(genes)  # one name each


def test_a_bed_file_says_the_same(
    model: Path, genome: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("decode", genome, "--model", model, "-r", "other:1001-2000", "-r", "long:5001-6000", "-q") == 0
    rows = rows_of(capsys.readouterr().out)
    assert {row[0] for row in rows} == {"other", "long"}
    bed = tmp_path / "regions.bed"
    bed.write_text("# two of them\nlong\t5000\t6000\tname\nother\t1000\t2000\n")
    assert run("decode", genome, "--model", model, "--regions-bed", bed, "-q") == 0
    assert rows_of(capsys.readouterr().out) == rows


@pytest.mark.usefixtures("near")
def test_a_region_does_not_begin_at_the_beginning(model: Path) -> None:
    letters = dna(25_000, 3)
    known = finder.load(model).model
    read = lambda a, b: letters[a:b]  # noqa: E731
    between = lambda a, b: gene_stream.between(known, read, len(letters), a, b, "cpu")  # noqa: E731
    start = flanks.flank(between, len(letters), 23_000, gene_stream.ALIGNED)
    assert 0 < start < 23_000
    found = gene_stream.find_in_region(known, "one", read, len(letters), (23_000, 24_000))
    whole = [gene for gene in decode(known, "one", letters) if inside(gene, 23_000, 24_000)]
    assert places([gene for stretch in found for gene in stretch.genes]) == places(whole)


def inside(gene: Gene, start: int, end: int) -> bool:
    """Whether a gene overlaps a region."""
    return gene.exons[0].start < end and gene.exons[-1].end > start


def test_short_views_say_what_the_whole_says(model: Path) -> None:
    letters = dna(12_000, 3)
    known = finder.load(model).model
    pieces = (letters[a : a + 700] for a in range(0, len(letters), 700))
    stretches = list(gene_stream.find(known, "one", pieces, window=640, view=1000, look=300))
    assert len(stretches) > 8
    found, expected = [gene for stretch in stretches for gene in stretch.genes], decode(known, "one", letters)
    assert places(found) == places(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.posterior == pytest.approx(other.posterior, abs=1e-4)


def test_regions_that_overlap_are_one(model: Path, genome: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("decode", genome, "--model", model, "-r", "long:4001-6000") == 0
    rows = rows_of(capsys.readouterr().out)
    assert rows
    several = ["-r", "long:5,001-6,000", "-r", "long:4001-5000", "-r", "long:4500-4600"]
    assert run("decode", genome, "--model", model, *several) == 0
    assert rows_of(capsys.readouterr().out) == rows


@pytest.mark.parametrize("start", [0, 4000, 4801])
def test_an_isolated_region_is_as_if_cut_out(
    start: int, model: Path, genome: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    end = start + 3001
    assert run("decode", genome, "--model", model, "--raw", "--isolated", "-r", f"long:{start + 1}-{end}", "-q") == 0
    rows = rows_of(capsys.readouterr().out)
    alone = decode(finder.load(model).model, "long", dna(LENGTHS["long"], 0)[start:end])
    assert exons(rows) == [(name, a + start, b + start, strand) for name, a, b, strand in places(alone)]
    expected = [exon.posterior for gene in alone for exon in gene.exons]
    np.testing.assert_allclose([float(row[8]) for row in rows], expected, atol=ROUNDED)
