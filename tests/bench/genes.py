"""Random DNA with random spliced genes on both strands, and where its codons and splice sites are."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from semiseg.sites import STOPS, Site, complement

BASES = "ACGT"


PLUS = {
    ("intergenic", "exon"): Site(("ATG",), 0),
    ("exon", "intron"): Site(("GT",), 0),
    ("intron", "exon"): Site(("AG",), -2),
    ("exon", "intergenic"): Site(STOPS, 0),  # the stop codon lies outside
}
# Each kind of boundary by strand and the kinds left and right of it; the other strand reads the same words backwards.
SITES = {(0, *kinds): site for kinds, site in PLUS.items()} | {
    (1, right, left): Site(tuple(map(complement, site.words)), -len(site.words[0]) - site.offset)
    for (left, right), site in PLUS.items()
}
PATTERNS = list(SITES)


class Gene(NamedTuple):
    strand: int
    exons: list[tuple[int, int]]  # left to right, without the stop codon


class Genome(NamedTuple):
    bases: NDArray  # (T,) int8, 0..3: ACGT
    coding: NDArray  # (T,) int8: 3 * strand + position of its codon's low edge modulo 3; -1: not coding
    genes: list[Gene]


CODING = tuple(word for i in range(64) if (word := BASES[i // 16] + BASES[i // 4 % 4] + BASES[i % 4]) not in STOPS)


def encode(text: str) -> NDArray:
    """Bases as numbers."""
    return np.frombuffer(text.translate(str.maketrans(BASES, "\0\1\2\3")).encode(), np.int8)


def decode(bases: NDArray) -> str:
    """Numbers as bases."""
    return "".join(BASES[b] for b in bases)


def random_genome(T: int, seed: int = 0, intergenic: int = 3000, intron: int = 2000) -> Genome:
    """Genes of 1 to 6 exons of about 120 bases, between and around random bases; means in bases."""
    rng = np.random.default_rng(seed)
    bases = rng.integers(4, size=T, dtype=np.int8)
    coding = np.full(T, -1, np.int8)
    genes: list[Gene] = []
    at = int(rng.exponential(intergenic))
    while True:
        gene, text = _gene(rng, at, intron)
        end = at + len(text)
        if end > T - 3:
            return Genome(bases, coding, genes)
        bases[at:end] = encode(text)
        genes.append(gene)
        _mark(coding, gene)
        at = end + 10 + int(rng.exponential(intergenic))


def _gene(rng: np.random.Generator, at: int, intron: int) -> tuple[Gene, str]:
    """A gene whose bases, stop codon included, begin at a position, and these bases."""
    lengths = rng.gamma(2, 60, rng.integers(1, 7)).astype(int) + 5
    lengths[-1] += -lengths.sum() % 3
    message = "ATG" + "".join(rng.choice(CODING, lengths.sum() // 3 - 1))
    text, exons, read = "", [], 0
    for length in lengths:
        exons.append((len(text), len(text) + length))
        text += message[read : read + length]
        read += length
        if read < len(message):
            text += "GT" + decode(rng.integers(4, size=16 + int(rng.exponential(intron)))) + "AG"
    text += str(rng.choice(STOPS))
    strand = int(rng.integers(2))
    if strand == 1:
        n = len(text)
        text, exons = complement(text), [(n - b, n - a) for a, b in exons[::-1]]
    return Gene(strand, [(at + int(a), at + int(b)) for a, b in exons]), text


def _mark(coding: NDArray, gene: Gene) -> None:
    """Write a gene's frames into the coding track."""
    read = 0
    for start, end in gene.exons if gene.strand == 0 else gene.exons[::-1]:
        frame = (start - read) % 3 if gene.strand == 0 else (end + read) % 3
        coding[start:end] = 3 * gene.strand + frame
        read += end - start


def sites(bases: NDArray) -> NDArray:
    """Whether each kind of boundary, in the order of PATTERNS, is possible at each boundary: (T + 1, 8)."""
    T = len(bases)
    out = np.zeros((T + 1, len(SITES)), bool)
    for column, site in enumerate(SITES.values()):
        found = occurrences(bases, site.words)
        low = max(0, -site.offset)
        out[low : low + len(found), column] = found[max(0, site.offset) :]
    return out


def occurrences(bases: NDArray, words: tuple[str, ...]) -> NDArray:
    """Whether one of some words of one length begins at each position where it would fit."""
    n = len(words[0])
    count = max(0, len(bases) - n + 1)
    out = np.zeros(count, bool)
    for word in words:
        out |= np.logical_and.reduce([bases[i : i + count] == b for i, b in enumerate(encode(word))])
    return out


def log_odds() -> NDArray:
    """Per kind of boundary, how much likelier its words are there than in random DNA, in nats."""
    return np.array([np.log(4.0 ** len(site.words[0]) / len(site.words)) for site in SITES.values()])


def stops_inside(bases: NDArray) -> list[NDArray]:
    """Per strand and frame, the positions of the last transcribed base of each in-frame stop codon."""
    out = []
    for strand in (0, 1):
        words = STOPS if strand == 0 else tuple(map(complement, STOPS))
        at = np.flatnonzero(occurrences(bases, words))
        out += [at[at % 3 == f] + (2 if strand == 0 else 0) for f in range(3)]
    return out
