"""Which bases a boundary of a gene needs, and where stop codons lie; words are read on the + strand throughout.

A base that is not known (N, IUPAC, or beyond the end of the sequence) never speaks against a site and never completes
a stop codon.
"""

from functools import cache
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

STOPS = ("TAA", "TAG", "TGA")
UNKNOWN, OUTSIDE = 4, 5  # codes beside those of ACGT
CODES = 6
REACH = 3  # bases that a site looks at on either side of its boundary
GAP = 50  # unknown bases in a row that are no part of any exon
CHASM = 10_000  # unknown bases in a row that no gene reaches over: what lies on either side has nothing to do with it


class Site(NamedTuple):
    """What the bases around a boundary must be; the first of them lies at `offset` from it."""

    words: tuple[str, ...]
    offset: int


def complement(word: str) -> str:
    """Return the reverse complement."""
    return word[::-1].translate(str.maketrans("ACGT", "TGCA"))


PLUS = {
    "start": Site(("ATG",), 0),
    "donor": Site(("GT", "GC"), 0),
    "acceptor": Site(("AG",), -2),
    "stop": Site(STOPS, 0),  # the exon labels end before it
}
SITES = tuple(f"{kind}{strand}" for strand in "+-" for kind in PLUS)
SITE = {f"{kind}+": site for kind, site in PLUS.items()} | {
    f"{kind}-": Site(tuple(map(complement, words)), -len(words[0]) - offset) for kind, (words, offset) in PLUS.items()
}
STOP_WORDS = (STOPS, tuple(map(complement, STOPS)))  # by strand


class Column(NamedTuple):
    """One type of boundary: its site, and what an intron there must remember or may not complete."""

    site: str
    after: tuple[str, ...] = ()  # the bases before the boundary must be one of these words
    not_after: tuple[str, ...] = ()  # and none of these
    not_before: tuple[str, ...] = ()  # the bases behind the boundary may not be one of these


def encode(sequence: bytes | NDArray) -> NDArray:
    """Return (T,) int8 codes of ASCII bases: 0 to 3 for ACGT in either case, 4 for anything else."""
    table = np.full(256, UNKNOWN, np.int8)
    table[list(b"ACGT")] = table[list(b"acgt")] = range(4)
    return table[np.frombuffer(sequence, np.uint8) if isinstance(sequence, bytes) else sequence]


def left_bases(strand: int, phase: int) -> int:
    """Return how many bases of a split codon lie left of its intron, when `phase` of them are transcribed before it."""
    return phase if strand == 0 else -phase % 3


def split_stops(strand: int, phase: int) -> dict[tuple[str, ...], tuple[str, ...]]:
    """Return what an intron of a phase must remember, and what that forbids on its right.

    Words left of the intron that may become a stop codon, grouped by the words right of it that complete one.
    """
    left = left_bases(strand, phase)
    completions: dict[str, list[str]] = {}
    for word in STOP_WORDS[strand]:
        completions.setdefault(word[:left], []).append(word[left:])
    groups: dict[tuple[str, ...], list[str]] = {}
    for word, ends in completions.items():
        groups.setdefault(tuple(ends), []).append(word)
    return {tuple(words): ends for ends, words in groups.items()}


class Windows:
    """All words of a sequence, as numbers in base 6."""

    def __init__(self, bases: NDArray) -> None:
        self.length = len(bases)
        codes = np.full(self.length + 2 * REACH, OUTSIDE, np.uint8)
        codes[REACH : REACH + self.length] = bases
        self._packed = {1: codes}
        for n in (2, 3):
            self._packed[n] = self._packed[n - 1][:-1] * np.uint8(CODES) + codes[n - 1 :]

    def read(self, words: tuple[str, ...], offset: int, wild: tuple[int, ...] = ()) -> NDArray:
        """Return (T + 1,) bool: whether one of the words lies at `offset` from each boundary; `wild` match any base."""
        size, low = len(words[0]), REACH + offset
        return _matching(words, wild)[self._packed[size][low : low + self.length + 1]]


@cache
def _matching(words: tuple[str, ...], wild: tuple[int, ...]) -> NDArray:
    """Whether each packed word is one of some words of one length: (6^n,) bool."""
    numbers = [tuple("ACGT".index(letter) for letter in word) for word in words]
    return np.array(
        [
            any(all(c == n or c in wild for c, n in zip(codes, number, strict=True)) for number in numbers)
            for codes in product(range(CODES), repeat=len(words[0]))
        ]
    )


def possible(windows: Windows, column: Column) -> NDArray:
    """Return (T + 1,) bool: where a boundary of this type can stand."""
    words, offset = SITE[column.site]
    out = windows.read(words, offset, wild=(UNKNOWN, OUTSIDE))
    if column.after:  # beyond the sequence anything may stand, so that a part of a legal path is legal
        out &= windows.read(column.after, -len(column.after[0]), wild=(OUTSIDE,))
    if column.not_after:
        out &= ~windows.read(column.not_after, -len(column.not_after[0]))
    if column.not_before:
        out &= ~windows.read(column.not_before, 0)
    return out


def gaps(bases: NDArray, least: int = GAP) -> NDArray:
    """Return (T,) whether a base lies in a run of so many unknown ones: there an assembly has nothing to say."""
    unknown = bases == UNKNOWN
    if not unknown.any():
        return unknown
    edges = np.flatnonzero(np.diff(unknown, prepend=False, append=False)).reshape(-1, 2)
    out = np.zeros(len(bases), bool)
    for start, end in edges[edges[:, 1] - edges[:, 0] >= least].tolist():
        out[start:end] = True
    return out
