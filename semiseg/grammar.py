"""The labels of genes on both strands, which of them may follow which, and what the bases forbid.

A codon position that depends on where an exon began cannot be summed up in advance, so exon labels are by absolute
frame f (a codon's low edge is f modulo 3) and introns by phase q (bases of the split codon already transcribed). They
meet at t iff (t - f) mod 3 = q on the + strand and (f - t) mod 3 = q on the - strand, at both ends of an intron.

The terminal stop codon lies outside the exon labels. Any other in-frame stop is a forbidden emission at its last
transcribed base, so that exons which start or end inside the triplet stay legal. A stop codon split by an intron is
ruled out by introns that remember what lies left of them. Genes do not overlap.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from . import paths
from .errors import SemisegError
from .genes import Gene
from .masks import masks
from .sites import SITES, Column, split_stops

# What lies upstream and downstream of each kind of exon, in the direction of transcription.
KINDS = {
    "single": ({"intergenic"}, {"intergenic"}),
    "initial": ({"intergenic"}, {"intron"}),
    "internal": ({"intron"}, {"intron"}),
    "terminal": ({"intron"}, {"intergenic"}),
}
ANY_KIND = {"exon": ({"intergenic", "intron"}, {"intergenic", "intron"})}

# Shortest segments that leave the rules above true. A start codon fits into its exon; no codon spans three exons (an
# "exon" may be the first one, and ATG not be cut by its end); a donor and an acceptor do not overlap; two genes that
# end towards each other have two stop codons between them.
SHORTEST = {"intergenic": 6, "single": 3, "initial": 3, "internal": 2, "terminal": 1, "exon": 3, "intron": 4}

SIZES = {13: (False, False), 19: (False, True), 31: (True, False), 37: (True, True)}  # kinds of exons, memory


class Label(NamedTuple):
    kind: str  # intergenic, single, initial, internal, terminal, exon where kinds are not told apart, intron
    strand: int = 0  # 0: +, 1: -
    frame: int = 0  # exon: the low edge of its codons modulo 3; intron: bases of the split codon already transcribed
    memory: tuple[str, ...] = ()  # intron: one of these lies left of it, to become a stop codon; empty: neither does

    @property
    def is_exon(self) -> bool:
        """Whether this is one of the kinds of exons."""
        return self.kind not in ("intergenic", "intron")


@dataclass(frozen=True, eq=False)
class Grammar:
    labels: tuple[Label, ...]  # (C,), intergenic first
    transitions: NDArray  # (3, C, C) bool, source first: allowed at a boundary with this absolute position modulo 3
    types: NDArray  # (C, C) int64: column of the boundary type of each change; -1: never allowed
    columns: tuple[Column, ...]
    type_sites: NDArray  # (columns,) int64: index in SITES
    laws: tuple[str, ...]  # names of the duration laws
    law_of: NDArray  # (C,) int64: index in laws
    shortest: Mapping[str, int]  # by law
    has_kinds: bool
    has_memory: bool

    def masks(self, bases: NDArray, origin: int = 0) -> tuple[NDArray, NDArray]:
        """Return forbidden emissions (T, C) bool and impossible boundaries (T + 1, columns) bool.

        `bases` are (T,) codes 0 to 3 for ACGT, 4 for anything else, of which the first lies at `origin`. Exons may not
        have in-frame stop codons, nor lie in gaps of the assembly, and no gene reaches over a long one. Whatever the
        bases around it are, a part of a sequence forbids nothing that the whole sequence allows.
        """
        forbidden, impossible = masks(self, torch.from_numpy(bases), origin)
        return forbidden.numpy(), impossible.numpy()

    def path(
        self, genes: Sequence[Gene], length: int, origin: int = 0, bases: NDArray | None = None
    ) -> tuple[NDArray, NDArray, NDArray]:
        """Return starts, ends and labels (N,) of the segments of [0, length) that stand for the genes of one contig.

        The window begins at `origin` of the contig, in whose coordinates the genes are; they are cut at its ends. A
        gene that is cut off inside the sequence is taken to be cut in an intron, which reaches to the sequence's end.
        `bases` (length,) are needed where introns remember. What stands against a gene without a look at its bases, an
        overlap too, raises; `problem` also looks at these.
        """
        if self.has_memory if bases is None else len(bases) != length:
            raise SemisegError(f"a path of {len(self.labels)} labels needs the {length} bases: introns remember them")
        return paths.path(self, genes, length, origin, bases)

    def genes(
        self, starts: NDArray, ends: NDArray, labels: NDArray, contig: str, length: int, origin: int = 0
    ) -> list[Gene]:
        """Return the genes of a path, with their stop codons; the inverse of `path`.

        A gene whose labels reach an end of the window is partial there, even if it should begin with its first base.
        """
        return paths.genes(self, starts, ends, labels, contig, length, origin)

    def problem(self, gene: Gene, bases: NDArray) -> str | None:
        """Return why the grammar cannot say a gene of a contig with these bases, or None if it can."""
        return paths.problem(self, gene, bases)


@cache
def grammar(labels: int = 37) -> Grammar:
    """Return the grammar with 13 labels, 19 (introns remember), 31 (four kinds of exons) or 37 (both)."""
    if labels not in SIZES:
        raise SemisegError(f"there is no gene grammar of {labels} labels: choose 13, 19, 31 or 37")
    has_kinds, has_memory = SIZES[labels]
    kinds = KINDS if has_kinds else ANY_KIND
    names = _labels(kinds, has_memory)
    transitions, types, columns = _changes(names, kinds, has_memory)
    laws = ("intergenic", *kinds, "intron")
    law_of = np.array([laws.index(label.kind) for label in names])
    type_sites = np.array([SITES.index(column.site) for column in columns])
    for array in (transitions, types, type_sites, law_of):
        array.flags.writeable = False
    shortest = MappingProxyType({law: SHORTEST[law] for law in laws})
    return Grammar(names, transitions, types, columns, type_sites, laws, law_of, shortest, has_kinds, has_memory)


def _labels(kinds: Mapping, has_memory: bool) -> tuple[Label, ...]:
    """Every label, intergenic first, then strand by strand its exons and introns."""
    out = [Label("intergenic")]
    for strand in (0, 1):
        out += [Label(kind, strand, frame) for kind in kinds for frame in range(3)]
        for phase in range(3):
            out.append(Label("intron", strand, phase))
            if has_memory and phase:
                out += [Label("intron", strand, phase, words) for words in split_stops(strand, phase)]
    return tuple(out)


def _changes(
    labels: tuple[Label, ...], kinds: Mapping, has_memory: bool
) -> tuple[NDArray, NDArray, tuple[Column, ...]]:
    """Transitions (3, C, C), types (C, C) and the columns that these name."""
    C = len(labels)
    transitions, types = np.zeros((3, C, C), bool), np.full((C, C), -1)
    columns: dict[Column, int] = {}
    for i, a in enumerate(labels):
        for j, b in enumerate(labels):
            if a.is_exon == b.is_exon:
                continue
            exon, other, exon_is_left = (a, b, True) if a.is_exon else (b, a, False)
            downstream = exon_is_left == (exon.strand == 0)  # the other label is downstream of the exon
            if other.kind not in kinds[exon.kind][downstream] or (other.kind == "intron" and a.strand != b.strand):
                continue
            for t in range(3):
                split = (t - exon.frame) % 3 if exon.strand == 0 else (exon.frame - t) % 3
                transitions[t, i, j] = split == other.frame
            column = _column(other, exon.strand, exon_is_left, downstream, has_memory)
            types[i, j] = columns.setdefault(column, len(columns))
    order = sorted(columns, key=lambda column: SITES.index(column.site))  # stable: as they were met within a site
    rank = np.array([order.index(column) for column in columns] + [-1])
    return transitions, rank[types], tuple(order)


def _column(other: Label, strand: int, exon_is_left: bool, downstream: bool, has_memory: bool) -> Column:
    """The type of the boundary between an exon and an intron or intergenic sequence."""
    names = ("start", "stop") if other.kind == "intergenic" else ("acceptor", "donor")
    site = names[downstream] + "+-"[strand]
    if not (has_memory and other.kind == "intron" and other.frame):
        return Column(site)
    words = split_stops(strand, other.frame)
    if exon_is_left:
        anything = () if other.memory else tuple(word for group in words for word in group)
        return Column(site, after=other.memory, not_after=anything)
    return Column(site, not_before=words.get(other.memory, ()))
