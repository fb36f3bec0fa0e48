"""The test models are what they say: genes that are called keep the rules of the frame grammar."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from genes import STOPS, Genome, complement, decode, occurrences, random_genome, sites
from models import (
    all_zero,
    forced_cycle,
    frame_grammar,
    gene_labels,
    informative,
    one_long_segment,
    undecided_run,
)

from semiseg.kernels import Potentials, log_partition, marginals, viterbi


@pytest.fixture(scope="module")
def genome() -> Genome:
    return random_genome(60_000, seed=2)


def called_genes(potentials: Potentials, kinds: bool) -> list[tuple[int, list[tuple[int, int, int]]]]:
    """Strand and (start, end, frame) of the exons of every gene of the best segmentation."""
    labels = gene_labels(kinds)
    genes: list[tuple[int, list[tuple[int, int, int]]]] = []
    _, start, end, label = (x.tolist() for x in viterbi(potentials).segments)
    inside = False
    for s, t, c in zip(start, end, label, strict=True):
        if labels[c].kind == "exon":
            if not inside:
                genes.append((labels[c].strand, []))
            genes[-1][1].append((s, t, labels[c].frame))
        inside = labels[c].kind != "intergenic"
    return genes


def test_simulated_genes_have_their_sites(genome: Genome) -> None:
    assert len(genome.genes) > 5
    assert {gene.strand for gene in genome.genes} == {0, 1}
    assert max(len(gene.exons) for gene in genome.genes) > 3
    possible = sites(genome.bases)
    for strand, exons in genome.genes:
        first, last = exons[0][0], exons[-1][1]
        assert possible[first, 0 if strand == 0 else 7]
        assert possible[last, 3 if strand == 0 else 4]
        for (_, s), (t, _) in pairwise(exons):
            assert possible[s, 1 if strand == 0 else 6]
            assert possible[t, 2 if strand == 0 else 5]


@pytest.mark.parametrize("kinds", [False, True])
def test_called_genes_are_in_frame_without_stops_and_spliced_at_gt_ag(genome: Genome, kinds: bool) -> None:
    # strong evidence: what is checked is that the rules hold, on many genes
    potentials = frame_grammar(genome, kinds, contrast=0.3)
    genes = called_genes(potentials, kinds)
    assert len(genes) > 5
    assert {strand for strand, _ in genes} == {0, 1}
    assert any(len(exons) > 2 for _, exons in genes)
    text = decode(genome.bases)
    for strand, exons in genes:
        low, high = exons[0][0], exons[-1][1]
        message = "".join(text[s:t] for s, t, _ in exons)
        introns = [text[s:t] for (_, s, _), (t, _, _) in pairwise(exons)]
        stop = text[high : high + 3]
        if strand == 1:
            message, stop = complement(message), complement(text[low - 3 : low])
            introns = [complement(intron) for intron in introns]
        assert len(message) % 3 == 0
        assert message.startswith("ATG")
        assert stop in STOPS
        assert all(i.startswith("GT") and i.endswith("AG") for i in introns)
        read = 0
        for s, t, frame in exons if strand == 0 else exons[::-1]:
            assert ((s - read) if strand == 0 else (t + read)) % 3 == frame
            whole = message[read + -read % 3 : (read + t - s) // 3 * 3]  # codons that no intron splits
            assert not {whole[i : i + 3] for i in range(0, len(whole), 3)} & set(STOPS)
            read += t - s


def test_strong_evidence_finds_the_genes(genome: Genome) -> None:
    found = {(strand, tuple((s, t) for s, t, _ in exons)) for strand, exons in called_genes(
        frame_grammar(genome, contrast=1.0), False)}  # fmt: skip
    true = {(strand, tuple(exons)) for strand, exons in genome.genes}
    assert len(found & true) > 0.8 * len(true)


def test_posteriors_keep_the_rules_too(genome: Genome) -> None:
    found = marginals(frame_grammar(genome, contrast=0.3), want=("start", "end", "boundaries"))
    assert found.start is not None
    assert found.boundaries is not None
    impossible = torch.from_numpy(~sites(genome.bases))
    assert found.boundaries[0][impossible].max() == 0
    possible = torch.from_numpy(occurrences(genome.bases, ("AG",))[:-1])
    starts = [c for c, x in enumerate(gene_labels(False)) if x.kind == "exon" and x.strand == 0]
    begins = torch.from_numpy(occurrences(genome.bases, ("ATG",)))
    both = torch.zeros(len(genome.bases) + 1, dtype=torch.bool)
    both[2 : 2 + len(possible)] |= possible
    both[: len(begins)] |= begins
    assert found.start[~both][:, starts].max() == 0


def test_labels_of_the_grammar() -> None:
    assert len(gene_labels(False)) == 13
    assert len(gene_labels(True)) == 37
    longest = frame_grammar(random_genome(100), kinds=True).longest
    assert longest is not None
    assert int(longest.sum()) <= 6000


@pytest.mark.parametrize("make", [forced_cycle, all_zero, one_long_segment, lambda T: undecided_run(T, run=T // 2)])
@pytest.mark.parametrize("T", [97, 400])
def test_any_length_is_possible(make, T: int) -> None:
    assert torch.isfinite(log_partition(make(T)))


def test_the_long_segment_spans_nine_tenths() -> None:
    segments = viterbi(one_long_segment(7000)).segments
    assert int((segments.end - segments.start).max()) == pytest.approx(6300, abs=10)


def test_evidence_of_the_informative_model() -> None:
    segments = viterbi(informative(20_000, 4, 200, seed=1)).segments
    assert 30 < 20_000 / len(segments.start) < 100
    assert np.isneginf(informative(10, 4, 200, seed=1).durations[0].numpy()).all()
