"""What is set aside: whole sequences and regions of them."""

import numpy as np
import pytest
from planted import planted, write_files

from semiseg.corpus import gather
from semiseg.errors import SemisegError, UsageError
from semiseg.grammar import grammar
from semiseg.parts import Region, read_regions, region
from semiseg.training import UNKNOWN


def test_a_region_is_cut_out(tmp_path):
    contig, genes = planted(20000)
    files = write_files(tmp_path, (contig, genes))
    middle = genes[len(genes) // 2]
    start = middle.exons[0].start + 10  # through a gene
    found = gather(*files, grammar(37), [f"one:{start + 1:,}-{start + 6000}"])
    assert [s.name for s in found.training] == [f"one:1-{start}", f"one:{start + 6001}-20000"]
    ((aside, true),) = found.validation
    assert np.array_equal(aside.sequence, contig.sequence[start : start + 6000])
    inside = [g for g in genes if start <= g.exons[0].start and g.exons[-1].end <= start + 6000]
    assert [(g.exons[0].start + start, g.exons[-1].end + start) for g in true] == [
        (g.exons[0].start, g.exons[-1].end) for g in inside
    ]
    first, last = found.training
    assert (first.labels[-10:] == UNKNOWN).all()  # the gene that was cut
    assert len(first.genes) + len(last.genes) + len(inside) in (len(genes) - 1, len(genes) - 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("two:1-5", "--val: no sequence named two; there are one"),
        ("one:15000", None),  # from there to the end
        ("one:a-b", "--val: expected NAME or NAME:FROM-TO, got 'one:a-b'"),
        ("one:9000-", None),
        ("one:0-10", "--val: one:0-10: positions count from 1, both ends included"),
        ("one:30000-40000", "is empty"),
    ],
)
def test_regions_are_read_as_samtools_does(tmp_path, text, message):
    files = write_files(tmp_path, planted(20000))
    if message is None:
        gather(*files, grammar(37), [text])
        return
    with pytest.raises(SemisegError, match=message):
        gather(*files, grammar(37), [text])


def shortened(gene):
    """A gene without its stop codon."""
    first, last = gene.exons[0], gene.exons[-1]
    if gene.strand == "+":
        return gene._replace(exons=(*gene.exons[:-1], last._replace(end=last.end - 3)))
    return gene._replace(exons=(first._replace(start=first.start + 3), *gene.exons[1:]))


@pytest.mark.parametrize("whole", [0, 4])
def test_stop_codons_that_nearly_all_leave_out_are_taken_in(tmp_path, whole):
    contig, genes = planted(20000)
    assert {gene.strand for gene in genes} == {"+", "-"}
    cut = [gene if i < whole else shortened(gene) for i, gene in enumerate(genes)]
    files = write_files(tmp_path, (contig, cut))
    lacking = f"{len(genes) - whole} of {len(genes)} CDS"
    if not whole:
        found = gather(*files, grammar(37), ["one:15000"])
        assert f"{lacking} leave out the stop codon, which lies right behind them: taken in" in found.notes
        true = [(g.exons[0].start, g.exons[-1].end) for g in genes if g.exons[-1].end < 14999]
        assert found.training[0].genes.tolist() == [list(span) for span in true]
        return
    at = genes[whole].exons[0].start - 10
    with pytest.raises(
        SemisegError, match=r"no gene to learn from outside .* seem to leave out the stop codon"
    ) as told:
        gather(*files, grammar(37), [f"one:1-{at}"])
    assert lacking in str(told.value)
    assert f"left out of the loss: {len(genes) - whole} genes (no stop codon at its end)" in str(told.value)


def test_regions_do_not_overlap(tmp_path):
    files = write_files(tmp_path, planted(20000))
    with pytest.raises(SemisegError, match="overlap"):
        gather(*files, grammar(37), ["one:1-9000", "one:8000-10000"])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("chr2", ("chr2", 0, 5000)),
        ("chr2:1,000-2,000", ("chr2", 999, 2000)),
        ("chr2:1000-", ("chr2", 999, 5000)),
        ("chr2:1000", ("chr2", 999, 5000)),
        ("chr2:4000-9999", ("chr2", 3999, 5000)),
        ("HLA:1", ("HLA:1", 0, 30)),  # a name, and not a region of HLA
        ("HLA:1:2-3", ("HLA:1", 1, 3)),
        ("HLA:2", ("HLA", 1, 20)),
    ],
)
def test_a_region_is_found(text, found):
    said: list[str] = []
    assert region(text, {"chr2": 5000, "HLA": 20, "HLA:1": 30}, "--region", said.append) == Region(*found)
    beyond = "--region: chr2:4000-9999 is cut at the end of chr2, which has 5000 bases"
    assert said == ([beyond] if text == "chr2:4000-9999" else [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("chr2", "--region: no sequence named chr2; there are 2, II, III$"),
        ("II_:5-9", "--region: no sequence named II_; there are II, III, 2$"),
        ("a:b", "--region: no sequence named a:b; there are"),
        ("IIII", "--region: no sequence named IIII; there are II, III, 2$"),  # as they come in the file
        ("II:5-x", "--region: expected NAME or NAME:FROM-TO, got 'II:5-x'"),
        ("II:-5", "expected NAME or NAME:FROM-TO"),
        ("II:" + "9" * 5000, "expected NAME or NAME:FROM-TO"),
        ("II:9-8", "II:9-8 is empty: II has 50 bases"),
        ("0-9", "no sequence named 0-9; there are"),
        ("II:0-9", "II:0-9: positions count from 1, both ends included"),
    ],
)
def test_a_region_that_is_not_there_is_refused(text, message):
    """What no data would make right is wrong usage."""
    with pytest.raises(SemisegError, match=message) as refused:
        region(text, {"II": 50, "III": 60, "2": 70}, "--region")
    assert isinstance(refused.value, UsageError) == ("expected" in message or "count" in message)


@pytest.mark.parametrize("row", ["II\tx\t9", "II\t1.5\t9", "II\t9\t9", "II\t1", "II\t1\t" + "9" * 5000, "II\t-1\t9"])
def test_a_bed_file_of_regions_is_read_strictly(tmp_path, row):
    bed = tmp_path / "regions.bed"
    bed.write_text(f"# of mine\nII\t0\t9\n{row}\n")
    with pytest.raises(SemisegError, match=r"regions.bed, line 3: expected BED: name, start < end, .* found 'II "):
        read_regions(bed, {"II": 50})


def test_regions_beyond_the_end_are_cut_and_said(tmp_path):
    bed, said = tmp_path / "regions.bed", []
    bed.write_text("II\t0\t9\nII\t40\t60\n")
    assert read_regions(bed, {"II": 50}, said.append) == [Region("II", 0, 9), Region("II", 40, 50)]
    assert said == [f"{bed}: 1 region(s) are cut at the ends of their sequences"]
