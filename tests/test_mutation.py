"""Mutated windows: the same genes, legal, in other words."""

from collections import Counter

import numpy as np
import pytest
from planted import planted

from semiseg import corpus
from semiseg.grammar import grammar
from semiseg.mutation import AMINO_ACIDS, CODONS, changes, mutate
from semiseg.sites import STOPS

RULES = grammar(37)


def gc(codes) -> float:
    return float(np.isin(codes, (1, 2)).mean())


@pytest.mark.parametrize("at", [0, 1, 2])
@pytest.mark.parametrize("spread", [0.0, 0.3])
def test_genes_stay_legal(at, spread):
    contig, genes = planted(12000)
    strip, _ = corpus.label(contig, genes, [(5000, 5100)], RULES, Counter())
    codes, labels = strip.codes[at:].copy(), strip.labels[at:]
    before = codes.copy()
    mutate(codes, labels, at, RULES, np.random.default_rng(at), spread)
    assert 0.02 < (codes != before).mean() < 0.6
    assert (codes == before)[labels < 0].all()
    whole = np.concatenate([strip.codes[:at], codes])
    assert all(RULES.problem(gene, whole) is None for gene in genes)
    forbidden, impossible = RULES.masks(codes, at)
    known = labels >= 0
    assert not forbidden[known, labels[known]].any()
    change = np.flatnonzero((labels[1:] != labels[:-1]) & known[1:] & known[:-1]) + 1
    assert not impossible[change, RULES.types[labels[change - 1], labels[change]]].any()


def test_composition_goes_where_it_is_sent():
    contig, genes = planted(12000)
    strip, _ = corpus.label(contig, genes, [], RULES, Counter())
    found = []
    for seed in range(40):
        codes = strip.codes.copy()
        mutate(codes, strip.labels, 0, RULES, np.random.default_rng(seed), 0.3)
        found.append(gc(codes))
    assert min(found) < gc(strip.codes) - 0.05
    assert max(found) > gc(strip.codes) + 0.03


def test_codons_mean_mostly_the_same_and_never_stop():
    steps = np.diff(changes(0.5, 0.4), axis=1, prepend=0)
    stop = [codon in STOPS for codon in CODONS]
    assert np.abs(steps[~np.array(stop)][:, stop]).max() < 1e-9
    assert [AMINO_ACIDS[CODONS.index(c)] for c in ("ATG", "TGG", "GCC", "TGA")] == ["M", "W", "A", "*"]
    same = np.array([[a == b for b in AMINO_ACIDS] for a in AMINO_ACIDS])
    kept = (steps * same).sum(1)
    assert ((kept > 0.9) & (kept < 1 + 1e-9)).all()
