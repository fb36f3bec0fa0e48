"""Windows as they might have evolved: the same genes in other words, towards another base composition.

A genome of ten megabases is soon known by heart, and its composition is one among many. Codons change into synonymous
ones and now and then into those of another amino acid, other bases into any. What the grammar asks for stays true: the
first and last whole codons of an exon, what lies close to its ends outside, and everything unknown are left alone, and
no codon becomes a stop.
"""

from functools import cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from .grammar import Grammar
from .sites import STOPS

AMINO_ACIDS = "KNKNTTTTRSRSIIMIQHQHPPPPRRRRLLLLEDEDAAAAGGGGVVVV*Y*YSSSS*CWCLFLF"  # codons in the order of ACGT
CODONS = tuple("".join(word) for word in product("ACGT", repeat=3))
BESIDE = 25  # bases outside of an exon's end that make its site
ANOTHER = 0.15  # share of changed codons that may change their amino acid
MOST = 0.5  # of what may change in a window
POORER = 0.12  # in GC, is what does not code, at most
BOUNDS = (0.15, 0.7)  # of GC


def mutate(codes: NDArray, labels: NDArray, at: int, grammar: Grammar, rng: np.random.Generator, spread: float) -> None:
    """Change (T,) bases of a window that begins at `at`, in place; `spread` is that of the GC it goes towards."""
    known = codes < 4
    own = float(np.isin(codes[known], (1, 2)).mean()) if known.any() else 0.5
    gc = float(np.clip(own + rng.normal(0, spread), *BOUNDS)) if spread else own
    share = rng.uniform(0, MOST)
    inside = exonic(labels, grammar)
    change_codons(codes, labels, at, grammar, inside, changes(share, gc), rng)
    free = known & ~inside & (labels >= 0) & ~near(inside | (labels < 0), BESIDE) & (rng.random(len(codes)) < share)
    poorer = max(BOUNDS[0], gc - rng.uniform(0, POORER)) if spread else gc
    codes[free] = rng.choice(4, int(free.sum()), p=composition(poorer))


def change_codons(
    codes: NDArray,
    labels: NDArray,
    at: int,
    grammar: Grammar,
    inside: NDArray,
    table: NDArray,
    rng: np.random.Generator,
) -> None:
    """Change the codons of exons (`inside`), but for the first and last whole ones."""
    strand, frame = (np.array([label[i] for label in grammar.labels]) for i in (1, 2))
    low = np.arange(3, len(codes) - 5)
    low = low[inside[low] & ((low + at - frame[labels[low]]) % 3 == 0)]
    around = low[:, None] + np.arange(-3, 6)
    low = low[(labels[around] == labels[low][:, None]).all(1) & (codes[around] < 4).all(1)]
    backwards = strand[labels[low]] == 1
    triplets = codes[low[:, None] + np.arange(3)].astype(np.int64)
    triplets[backwards] = 3 - triplets[backwards, ::-1]
    rows = table[triplets @ (16, 4, 1)]
    drawn = (rows < rng.random(len(low))[:, None]).sum(1)
    new = np.stack([drawn // 16, drawn // 4 % 4, drawn % 4], 1)
    new[backwards] = 3 - new[backwards, ::-1]
    codes[low[:, None] + np.arange(3)] = new


def exonic(labels: NDArray, grammar: Grammar) -> NDArray:
    """Return (T,) whether a label is an exon's; an unknown one is not."""
    return (labels >= 0) & np.array([label.is_exon for label in grammar.labels])[labels]


def near(where: NDArray, distance: int) -> NDArray:
    """Return (T,) whether a position is at most so far from one of those marked."""
    sums = np.concatenate([[0], np.cumsum(where)])
    at = np.arange(len(where))
    return sums[np.minimum(at + distance + 1, len(where))] > sums[np.maximum(at - distance, 0)]


def composition(gc: float) -> NDArray:
    """Return (4,) shares of A, C, G, T."""
    return np.array([1 - gc, gc, gc, 1 - gc]) / 2


def changes(share: float, gc: float) -> NDArray:
    """Return (64, 64) cumulated probabilities of what a codon becomes."""
    synonymous, another = neighbours()
    weight = np.array([np.prod(composition(gc)[["ACGT".index(base) for base in codon]]) for codon in CODONS])
    into = np.eye(64) * (1 - share)
    for kind, part in ((synonymous, 1 - ANOTHER), (another, ANOTHER)):
        chosen = kind * weight
        into += share * part * chosen / chosen.sum(1, keepdims=True)
    out = into.cumsum(1)
    return out / out[:, -1:] * (1 + 1e-12)


@cache
def neighbours() -> tuple[NDArray, NDArray]:
    """Return (64, 64) bool: codons of the same amino acid, and others one base away; a stop stays what it is."""
    stop = np.array([codon in STOPS for codon in CODONS])
    same = np.array([[a == b for b in AMINO_ACIDS] for a in AMINO_ACIDS])
    same[stop] = np.eye(64, dtype=bool)[stop]
    away = np.array([[sum(x != y for x, y in zip(a, b, strict=True)) for b in CODONS] for a in CODONS])
    near_by = (away <= 1) & ~stop
    near_by[stop] = np.eye(64, dtype=bool)[stop]
    return same, near_by
