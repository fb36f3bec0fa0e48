"""Models with a character of their own, for tests of chunking and for benchmarks; each is made from its seed."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from semiseg.bench.genes import PATTERNS, Genome, log_odds, random_genome, sites, stops_inside
from semiseg.kernels.potentials import Boundary, Edge, Potentials


class Law(NamedTuple):
    """A normalised law of durations: explicit ones up to K, then the tail."""

    explicit: NDArray  # (K,) log probabilities of 1..K
    tail: float


class Label(NamedTuple):
    """One label of the frame grammar."""

    kind: str  # intergenic, exon or intron
    law: str  # key of LAWS
    strand: int  # 0: +, 1: -
    frame: int  # exon: codons begin at this position modulo 3; intron: bases of the split codon already transcribed
    left: frozenset[str]  # laws of labels that may stand to its left
    right: frozenset[str]


def informative(
    T: int, C: int, K: int, seed: int, edge: Edge = "exact", dtype: torch.dtype = torch.float32
) -> Potentials:
    """Segments of about 50 positions (K permitting) with 0.75 nats of evidence a position, tails behind K."""
    rng = np.random.default_rng(seed)
    laws = [gamma(mean, K) for mean in np.linspace(0.5, 1.5, C) * min(50, K / 2)]
    durations, longest, tail = tabulate(laws)
    segments = T // 50 + 10
    labels = np.resize(np.repeat(rng.integers(C, size=segments), rng.integers(1, 101, segments)), T)
    emissions = rng.normal(0, 0.5, (T, C)).astype(np.float32)
    emissions[np.arange(T), labels] += 0.75
    emissions -= emissions.max(1, keepdims=True)
    transitions = rng.normal(0, 0.3, (C, C))
    transitions -= np.logaddexp.reduce(transitions, axis=1, keepdims=True)
    return Potentials(
        torch.from_numpy(emissions).to(dtype),
        torch.from_numpy(durations),
        torch.from_numpy(transitions),
        torch.from_numpy(longest),
        torch.from_numpy(tail),
        left=edge,
        right=edge,
    )


def forced_cycle(T: int) -> Potentials:
    """Labels in a circle, each with one duration: the phase is never forgotten, any T is feasible."""
    rng = np.random.default_rng(T)
    durations = np.full((8, 3), -np.inf)
    durations[[5, 7, 3], [0, 1, 2]] = 0.0
    circle = np.full((3, 3), -np.inf)
    circle[[0, 1, 2], [1, 2, 0]] = 0.0
    emissions = rng.normal(size=(T, 3))
    return Potentials(*tensors(emissions, durations, circle), right="censored")


def all_zero(T: int, C: int = 3, K: int = 20) -> Potentials:
    """Nothing but ties: exp(log Z) counts the segmentations."""
    return Potentials(*tensors(np.zeros((T, C)), np.zeros((K + 1, C)), np.zeros((C, C))))


def undecided_run(T: int, run: int = 30_000, C: int = 3, K: int = 100) -> Potentials:
    """`informative`, but for a run of zeros in the middle."""
    p = informative(T, C, K, seed=3)
    p.emissions[(T - run) // 2 : (T + run) // 2] = 0.0
    return p


def one_long_segment(T: int) -> Potentials:
    """One segment over the middle nine tenths, through its tail: with 7 chunks it spans 5 and reaches into 2."""
    rng = np.random.default_rng(4)
    emissions = rng.normal(0, 0.5, (T, 3))
    emissions[T // 20 : T - T // 20, 1] += 1.0
    emissions[: T // 20, 0] += 1.0
    emissions[T - T // 20 :, 2] += 1.0
    durations = np.full((21, 3), -3.0)
    tail = np.array([-0.02, -1e-5, -0.02])
    return Potentials(*tensors(emissions, durations, np.full((3, 3), -8.0)), tail=torch.from_numpy(tail))


def tensors(emissions: NDArray, durations: NDArray, transitions: NDArray) -> tuple[Tensor, Tensor, Tensor]:
    """The three tensors that every record has."""
    return torch.from_numpy(emissions), torch.from_numpy(durations), torch.from_numpy(transitions)


def frame_grammar(
    genome: Genome, kinds: bool = False, edge: Edge = "exact", contrast: float = 0.075, seed: int = 5
) -> Potentials:
    """The strict frame grammar of DESIGN section 6 on both strands: codons and splice sites are there or forbidden.

    13 labels; with `kinds` 37: an own law for single, initial, internal and terminal exons, two for introns. Exons
    are known by `contrast` nats a position in their strand and frame; introns and intergenic look alike. An exact
    end is intergenic.
    """
    rng = np.random.default_rng(seed)
    labels = gene_labels(kinds)
    T, C = len(genome.bases), len(labels)
    coding = rng.normal(-contrast, np.sqrt(2 * contrast), (T, 6)).astype(np.float32)
    inside = np.flatnonzero(genome.coding >= 0)
    coding[inside, genome.coding[inside]] += 2 * contrast
    stops = stops_inside(genome.bases)
    emissions = np.zeros((T, C), np.float32)
    for c, label in enumerate(labels):
        if label.kind == "exon":
            emissions[:, c] = coding[:, 3 * label.strand + label.frame]
            emissions[stops[3 * label.strand + label.frame], c] = -np.inf
    durations, longest, tail = tabulate([law(label.law) for label in labels])
    transitions, types = changes(labels)
    scores = np.where(sites(genome.bases), log_odds(), -np.inf).astype(np.float32)
    outside = np.full(C, -np.inf)
    outside[0] = 0.0
    starts = None if edge == "censored" else torch.from_numpy(outside)
    return Potentials(
        torch.from_numpy(emissions),
        torch.from_numpy(durations),
        torch.from_numpy(transitions),
        torch.from_numpy(longest),
        torch.from_numpy(tail),
        boundaries=(Boundary(torch.from_numpy(scores), torch.from_numpy(types)),),
        first=starts,
        last=starts,
        left=edge,
        right=edge,
    )


# Mean and longest explicit duration of exons; introns are geometric from the shortest on, or peaked.
EXONS = {"exon": (150, 300), "single": (250, 300), "initial": (70, 150), "internal": (120, 250), "terminal": (100, 200)}
SHORTEST_INTRON, INTRON = 20, 2000
INTERGENIC = 3000


def law(name: str) -> Law:
    """Law of durations of a kind of label."""
    if name in EXONS:
        mean, longest = EXONS[name]
        return gamma(mean, longest, shortest=3)
    if name == "short":
        return gamma(35, 60, shortest=SHORTEST_INTRON)
    shortest, mean = (SHORTEST_INTRON, INTRON) if name in ("intron", "long") else (1, INTERGENIC)
    stay = 1 - 1 / (mean - shortest + 1)
    return Law(np.append(np.full(shortest - 1, -np.inf), np.log(1 - stay)), np.log(stay))


def gamma(mean: float, longest: int, shortest: int = 1) -> Law:
    """Gamma-like law of shape 2 with its own slope as the tail."""
    k = np.arange(1, longest + 2)
    with np.errstate(divide="ignore"):
        scores = np.where(k >= shortest, np.log(k) - 2 * k / mean, -np.inf)
    tail = scores[-1] - scores[-2] if longest > shortest else -1.0
    explicit = scores[:-1]
    beyond = explicit[-1] + tail - np.log1p(-np.exp(tail))
    return Law(explicit - np.logaddexp(np.logaddexp.reduce(explicit), beyond), tail)


def tabulate(laws: list[Law]) -> tuple[NDArray, NDArray, NDArray]:
    """Durations (K + 1, C), longest explicit ones (C,) and tails (C,) of some laws."""
    longest = np.array([len(law.explicit) for law in laws])
    durations = np.full((longest.max() + 1, len(laws)), -np.inf)
    for c, law in enumerate(laws):
        durations[1 : longest[c] + 1, c] = law.explicit
    return durations, longest, np.array([law.tail for law in laws])


def gene_labels(kinds: bool) -> list[Label]:
    """Labels of the frame grammar, intergenic first."""
    introns = ("short", "long") if kinds else ("intron",)
    out, split = frozenset({"intergenic"}), frozenset(introns)
    # what lies upstream and downstream, in the direction of transcription
    neighbours = {"single": (out, out), "initial": (out, split), "internal": (split, split), "terminal": (split, out)}
    if not kinds:
        neighbours = {"exon": (out | split, out | split)}
    upstream = frozenset(name for name, (_, behind) in neighbours.items() if behind & split)
    downstream = frozenset(name for name, (before, _) in neighbours.items() if before & split)
    everything = frozenset(neighbours)
    labels = [Label("intergenic", "intergenic", 0, 0, everything, everything)]
    for strand in (0, 1):
        turn = 1 if strand == 0 else -1
        for name, sides in neighbours.items():
            labels += [Label("exon", name, strand, f, *sides[::turn]) for f in range(3)]
        for name in introns:
            labels += [Label("intron", name, strand, q, *(upstream, downstream)[::turn]) for q in range(3)]
    return labels


def changes(labels: list[Label]) -> tuple[NDArray, NDArray]:
    """Transitions (3, C, C), normalised where any is allowed, and types of boundary (C, C)."""
    C = len(labels)
    weights, types = np.zeros((3, C, C)), np.full((C, C), -1)
    for i, a in enumerate(labels):
        for j, b in enumerate(labels):
            meet = b.law in a.right and a.law in b.left
            if not meet or (a.kind != "intergenic" and b.kind != "intergenic" and a.strand != b.strand):
                continue
            exon, other = (a, b) if a.kind == "exon" else (b, a)
            strand = exon.strand
            types[i, j] = PATTERNS.index((strand, a.kind, b.kind))
            for t in range(3):
                split = (t - exon.frame) % 3 if strand == 0 else (exon.frame - t) % 3
                weights[t, i, j] = split == (other.frame if other.kind == "intron" else 0)
    totals = weights.sum(2, keepdims=True)
    with np.errstate(divide="ignore"):
        return np.log(weights / np.maximum(totals, 1)), types


# What is hard about chunks: models that forget quickly, slowly and never.
CHARACTERS = {
    "informative": lambda: informative(20_000, 5, 60, seed=1),
    "forced cycle": lambda: forced_cycle(3_000),
    "frame grammar": lambda: frame_grammar(random_genome(20_000, seed=2), edge="censored", contrast=0.0),
    "all zero": lambda: all_zero(10_000),
    "undecided run": lambda: undecided_run(70_000),
    "one long segment": lambda: one_long_segment(20_000),
}
