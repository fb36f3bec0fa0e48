"""A gene with a 100 kb intron and a 12 kb exon, far behind the explicit durations, on either strand."""

import numpy as np
import pytest
import torch
from planted import CONFIG, TINY

from semiseg.encoder import SHAPES
from semiseg.formats.fasta import Contig
from semiseg.gene_model import OUTPUTS, PHASES, GeneModel
from semiseg.genes import Exon, Gene
from semiseg.grammar import grammar
from semiseg.kernels import Segments, marginals, viterbi
from semiseg.sites import STOPS, complement, encode

INTRON, EXON = 100_000, 12_000
EVIDENCE = 0.1  # nats a position


def long_gene(strand: str) -> tuple[Contig, Gene]:
    """Random DNA with one gene of three exons; the middle one is long, and so is the intron before it."""
    rng = np.random.default_rng(5)
    letters = lambda n: "".join(rng.choice(list("ACGT"), n))  # noqa: E731
    codons = [a + b + c for a in "ACGT" for b in "ACGT" for c in "ACGT" if a + b + c not in STOPS]
    coding = lambda n: "".join(rng.choice(codons, n // 3))  # noqa: E731
    intron = lambda n: "GT" + letters(n - 4) + "AG"  # noqa: E731
    first, last = "ATG" + coding(300), coding(600) + "TAA"
    parts = [letters(5000), first, intron(INTRON), coding(EXON), intron(200), last, letters(4000)]
    ends = np.cumsum([len(part) for part in parts])
    sequence = "".join(parts)
    exons = [(int(ends[i - 1]), int(ends[i])) for i in (1, 3, 5)]
    if strand == "-":
        sequence = complement(sequence)
        exons = [(len(sequence) - b, len(sequence) - a) for a, b in exons[::-1]]
    contig = Contig("one", np.frombuffer(sequence.encode(), np.uint8))
    return contig, Gene("one", strand, tuple(Exon(*e) for e in exons))


@pytest.mark.parametrize("strand", ["+", "-"])
def test_long_introns_and_exons_are_found(monkeypatch, strand):
    monkeypatch.setitem(SHAPES, "tiny", TINY)
    model, rules = GeneModel(CONFIG), grammar(37)
    contig, gene = long_gene(strand)
    codes = encode(contig.sequence)
    assert rules.problem(gene, codes) is None
    T, which = len(codes), int(strand == "-")
    seen = torch.full((2, 1, OUTPUTS, T), -EVIDENCE)
    seen[..., PHASES + 1 :, :] = 0
    low, high = gene.exons[0].start, gene.exons[-1].end
    seen[which, 0, PHASES, low:high] = EVIDENCE
    for exon in gene.exons:
        seen[which, 0, :PHASES, exon.start : exon.end] = EVIDENCE
        seen[which, 0, PHASES, exon.start : exon.end] = -EVIDENCE
    forbidden, impossible = (torch.from_numpy(mask)[None] for mask in rules.masks(codes))
    with torch.no_grad():
        p = model.potentials(seen, forbidden, impossible)
        best = viterbi(p).segments
        (found,) = rules.genes(*(x.numpy() for x in best[1:]), "one", T)
        spans = lambda g: [(e.start, e.end) for e in g.exons]  # noqa: E731
        assert found.strand == strand
        # sites alike lie close by: the long ones are there, to some bases
        assert np.abs(np.array(spans(found)) - np.array(spans(gene))).max() < 200
        lengths = best.end - best.start
        asked = Segments(*(x[lengths > EXON // 2] for x in best))
        sure = marginals(p, want=("position",), segments=asked)
    middle = (gene.exons[1].start + gene.exons[1].end) // 2
    of = {label: float(sure.position[0, middle, c]) for c, label in enumerate(rules.labels)}
    assert sum(x for label, x in of.items() if label.is_exon and label.strand == which) > 0.99
