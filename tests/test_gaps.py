"""Unknown bases: a short gap is no part of an exon, nothing reaches over a long one, and it costs no memory."""

import numpy as np
import pytest
from decoding import dna, untrained  # noqa: F401 - a fixture

from semiseg import finder
from semiseg.decode import decode
from semiseg.gene_stream import find
from semiseg.grammar import grammar
from semiseg.kernels import ViterbiStream
from semiseg.scoring import blocks, template
from semiseg.sites import CHASM, GAP, gaps

UNKNOWN = np.uint8(ord("N"))


def unknown(n: int) -> np.ndarray:
    return np.full(n, UNKNOWN)


def test_runs_of_unknown_bases():
    codes = np.array([4] * 3 + [0] + [4] * 5 + [1, 2] + [4] * 4)
    assert np.flatnonzero(gaps(codes, 4)).tolist() == [*range(4, 9), *range(11, 15)]
    assert not gaps(codes, 6).any()
    assert not gaps(np.zeros(5, int)).any()


@pytest.mark.parametrize(("length", "kinds"), [(GAP - 1, {"intergenic", "intron", "exon"}),
    (GAP, {"intergenic", "intron"}), (CHASM, {"intergenic"})])  # fmt: skip
def test_what_a_gap_may_be(length, kinds):
    g = grammar(19)
    codes = np.concatenate([np.zeros(30, int), np.full(length, 4), np.zeros(30, int)])
    forbidden, _ = g.masks(codes)
    allowed = {label.kind for label, no in zip(g.labels, forbidden[40], strict=True) if not no}
    assert allowed == kinds
    assert not forbidden[29].any()


def test_windows_see_gaps_as_the_whole_does(model):
    known = finder.load(model).model
    letters = np.concatenate([dna(6000, 1), unknown(CHASM + 300), dna(3000, 2), unknown(GAP + 3), dna(3000, 3)])
    whole = decode(known, "c", letters)
    low, high = 6000, 6000 + CHASM + 300
    assert any(gene.exons[-1].end <= low for gene in whole)
    assert any(gene.exons[0].start >= high for gene in whole)
    stop = 3  # a stop codon may be among the unknown bases
    assert not any(gene.exons[0].start < high - stop and gene.exons[-1].end > low + stop for gene in whole)
    for window in (512, 4096):
        found = [
            g for part in find(known, "c", iter([letters]), window=window, view=1024, look=512) for g in part.genes
        ]
        assert [[exon[:2] for exon in gene.exons] for gene in found] == [[exon[:2] for exon in g.exons] for g in whole]


def test_a_long_gap_is_not_kept(model):
    known = finder.load(model).model
    letters = np.concatenate([dna(3000, 1), unknown(8 * CHASM)])
    stream = ViterbiStream(template(known))
    for block in blocks(known, iter([letters]), window=2048):
        stream.push(block.emissions, [x[: len(block.emissions)] for x in block.scores])
    assert stream.open is not None
    assert stream.position - stream.base < CHASM
