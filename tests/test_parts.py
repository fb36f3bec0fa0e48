"""What is set aside: whole sequences and regions of them."""

import numpy as np
import pytest
from planted import planted, write_files

from semiseg.corpus import gather
from semiseg.errors import SemisegError
from semiseg.grammar import grammar
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
        ("one:0-10", "--val: one:0-10 is empty: one has 20000 bases"),
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


def test_regions_do_not_overlap(tmp_path):
    files = write_files(tmp_path, planted(20000))
    with pytest.raises(SemisegError, match="overlap"):
        gather(*files, grammar(37), ["one:1-9000", "one:8000-10000"])
