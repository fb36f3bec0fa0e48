"""Every segmentation of a short sequence, one by one: what the library is believed against.

Written from the definitions (DESIGN section 1) in numpy float64. Nothing is factorised, no survival is in closed form
and nothing of the library is used but the record it is called with: a segment cut at a censored end is summed over
every start or end it may have outside. Cost: all of `C (1 + C)^(T - 1)` segmentations, so T <= 10.
"""

import math
from collections import defaultdict
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from torch import Tensor

from semiseg.kernels.potentials import Potentials

Segment = tuple[int, int, int]  # start, end, label
Path = tuple[Segment, ...]
Cut = Callable[[int, int, int, int], float]  # start, end, label before, label -> score

OUTSIDE = -1  # stands for the label left of the first and right of the last segment


class Case(NamedTuple):
    """One sequence; F is 1 or P. Nothing is None here: gradients have these shapes, `reshape` them to the record's."""

    emissions: np.ndarray  # (T, C)
    durations: np.ndarray  # (K + 1, C)
    transitions: np.ndarray  # (P, C, C) or, by duration, (K + 1, C, C)
    longest: np.ndarray  # (C,)
    tail: np.ndarray  # (C,)
    period: np.ndarray  # (C,)
    boundaries: tuple[tuple[np.ndarray, np.ndarray], ...]  # scores (T + 1, n), types (C, C)
    first: np.ndarray  # (F, C)
    last: np.ndarray  # (C,)
    left: str
    right: str
    origin: int
    by_duration: bool


class Lengths(NamedTuple):
    """Every duration up to where the tail has vanished; source -1, stored last, is that of the first segment."""

    scores: np.ndarray  # (N + 1, C + 1, C)
    rows: np.ndarray  # (N + 1, C): the explicit row a duration reduces to, below 1 where there is none
    periods: np.ndarray  # (N + 1, C): how many periods longer it is than that row


class Enumeration(NamedTuple):
    case: Case
    lengths: Lengths
    paths: list[Path]  # the possible ones only
    scores: np.ndarray  # (len(paths),)
    log_partition: float
    used: dict[tuple[int, int, int, int], float]  # start, end, label before, label -> posterior


class Posteriors(NamedTuple):
    start: np.ndarray  # (T + 1, C); row 0 is 0 when the left end is censored
    end: np.ndarray  # (T + 1, C); row T is 0 when the right end is censored
    position: np.ndarray  # (T, C)
    boundary: np.ndarray  # (T + 1, C, C), source first, at 1 <= t < T
    transitions: np.ndarray  # (P, C, C) expected counts; by duration: as the gradient
    durations: np.ndarray  # (K + 1, C) expected counts of the segments that no censored end cuts
    tail_steps: np.ndarray  # (C,) periods of those segments


class Gradients(NamedTuple):
    emissions: np.ndarray
    durations: np.ndarray
    transitions: np.ndarray
    tail: np.ndarray
    boundaries: tuple[np.ndarray, ...]
    first: np.ndarray
    last: np.ndarray


def from_potentials(potentials: Potentials, item: int = 0) -> Case:
    """The case of one item of a batch, or of the only sequence of a record without a batch axis."""
    p = potentials
    emissions = _array(p.emissions if p.emissions.dim() == 2 else p.emissions[item])
    size, labels = len(emissions), emissions.shape[1]
    if p.lengths is not None:
        size = int(p.lengths.reshape(-1)[item])
    transitions = _array(p.transitions)
    maps = []
    for scores, types in p.boundaries:
        scores = scores if scores.dim() == 2 else scores[item]
        maps.append((_array(scores)[: size + 1], types.cpu().numpy()))
    return Case(
        emissions=emissions[:size],
        durations=_array(p.durations),
        transitions=transitions.reshape(-1, labels, labels),
        longest=np.full(labels, len(p.durations) - 1) if p.longest is None else p.longest.cpu().numpy(),
        tail=np.full(labels, -np.inf) if p.tail is None else _array(p.tail),
        period=np.ones(labels, int) if p.period is None else p.period.cpu().numpy(),
        boundaries=tuple(maps),
        first=np.zeros((1, labels)) if p.first is None else _array(p.first).reshape(-1, labels),
        last=np.zeros(labels) if p.last is None else _array(p.last),
        left=p.left,
        right=p.right,
        origin=p.origin,
        by_duration=p.transitions_by_duration,
    )


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().double().numpy()


def logsumexp(scores: np.ndarray) -> float:
    """log sum exp, -inf of nothing."""
    top = scores.max(initial=-np.inf)
    return float(top) if np.isneginf(top) else float(top + np.log(np.exp(scores - top).sum()))


def reach(case: Case) -> int:
    """The longest duration that matters: all beyond weigh less than exp(-60) of what a censored end sums."""
    size = max(len(case.emissions), len(case.durations) - 1)
    if case.left == case.right == "exact":
        return size
    endless = np.isfinite(case.tail)
    if (case.tail[endless] >= 0).any():
        raise ValueError("a tail that does not fall has no survival")
    periods = np.ceil(60 / -case.tail[endless]) * case.period[endless]
    return size + len(case.durations) + int(periods.max(initial=0))


def tabulate_lengths(case: Case, longest: int) -> Lengths:
    """Scores of the durations 0..longest: D, by duration D + A; beyond K_c the sum as a whole follows the tail."""
    labels = len(case.longest)
    k = np.arange(longest + 1)[:, None]
    periods = -(-np.maximum(k - case.longest, 0) // case.period)
    rows = k - periods * case.period
    scores = np.full((longest + 1, labels + 1, labels), -np.inf)
    for c in range(labels):
        legal = rows[:, c] >= 1
        row, steps = rows[legal, c], periods[legal, c]
        continued = np.where(steps > 0, np.maximum(steps, 1) * case.tail[c], 0.0)
        scores[legal, :, c] = (case.durations[row, c] + continued)[:, None]
        if case.by_duration:
            scores[legal, :labels, c] += case.transitions[row, :, c]
    return Lengths(scores, rows, periods)


def hidden(case: Case, lengths: Lengths, s: int, t: int, before: int, c: int) -> tuple[np.ndarray, ...]:
    """Start, duration and log weight of all that a visible segment may be: more than one only at a censored end."""
    size, longest = len(case.emissions), len(lengths.scores) - 1
    cut_left, cut_right = is_cut(case, s, t)
    starts = np.arange(0, -longest, -1) if cut_left else np.array([s])
    ends = np.arange(size, size + longest) if cut_right else np.array([t])
    start, end = (axis.ravel() for axis in np.meshgrid(starts, ends))
    start, k = start[end - start <= longest], (end - start)[end - start <= longest]
    weight = lengths.scores[k, before, c]
    if cut_left:
        weight = weight + case.first[(case.origin + start) % len(case.first), c]
    possible = weight > -np.inf
    return start[possible], k[possible], weight[possible]


def is_cut(case: Case, s: int, t: int) -> tuple[bool, bool]:
    """Whether a censored end cuts the segment on its left, and on its right."""
    return s == 0 and case.left == "censored", t == len(case.emissions) and case.right == "censored"


def boundary_types(case: Case, t: int, before: int, c: int) -> list[int]:
    """The type each map scores where `c` follows `before` at t, -1: none. One of the two is OUTSIDE at an end."""
    chosen = []
    for _, types in case.boundaries:
        if before == OUTSIDE:  # only a map that does not ask for the source
            known = case.left == "exact" and (types == types[:1]).all()
            chosen.append(types[0, c] if known else -1)
        elif c == OUTSIDE:
            known = case.right == "exact" and (types == types[:, :1]).all()
            chosen.append(types[before, 0] if known else -1)
        else:
            chosen.append(types[before, c])
    return chosen


def score_boundary(case: Case, t: int, before: int, c: int) -> float:
    """Sum over the maps."""
    types = boundary_types(case, t, before, c)
    return sum(scores[t, kind] for (scores, _), kind in zip(case.boundaries, types, strict=True) if kind >= 0)


def score_segment(case: Case, lengths: Lengths, s: int, t: int, before: int, c: int, cut: Cut | None) -> float:
    """All that a segment adds to the score, its left boundary and the right end of the sequence included.

    A forbidden emission is -inf, so it needs no rule here.
    """
    size = len(case.emissions)
    score = float(case.emissions[s:t, c].sum())
    if cut and any(is_cut(case, s, t)):
        score += cut(s, t, before, c)
    else:
        score += logsumexp(hidden(case, lengths, s, t, before, c)[2])
    score += score_boundary(case, s, before, c)
    if s > 0 and not case.by_duration:
        score += case.transitions[(case.origin + s) % len(case.transitions), before, c]
    if s == 0 and case.left == "exact":
        score += case.first[case.origin % len(case.first), c]
    if t == size:
        score += score_boundary(case, t, c, OUTSIDE)
        score += case.last[c] if case.right == "exact" else 0.0
    return score


def enumerate_segmentations(case: Case, cut: Cut | None = None) -> Enumeration:
    """Every possible segmentation with its score, and the posterior of every segment with the label before it.

    `cut(s, t, before, c)` replaces the score of the length (and of `first`) of a segment cut at a censored end: for a
    quantised model, whose survival cannot be had from its durations any more. Gradients do not know of it.
    """
    size, labels = case.emissions.shape
    lengths = tabulate_lengths(case, size if cut else reach(case))
    known: dict[tuple[int, int], list[tuple[Path, float]]] = {(size, c): [((), 0.0)] for c in range(-1, labels)}

    def tilings(s: int, before: int) -> list[tuple[Path, float]]:
        if (s, before) not in known:
            found = []
            for c in range(labels):
                for t in range(s + 1, size + 1):
                    score = score_segment(case, lengths, s, t, before, c, cut)
                    if score > -np.inf:
                        found += [(((s, t, c), *path), score + rest) for path, rest in tilings(t, c)]
            known[s, before] = found
        return known[s, before]

    every = tilings(0, OUTSIDE)
    scores = np.array([score for _, score in every])
    log_partition = logsumexp(scores)
    paths = [path for path, _ in every]
    return Enumeration(case, lengths, paths, scores, log_partition, weigh_segments(paths, scores - log_partition))


def weigh_segments(paths: list[Path], log_probabilities: np.ndarray) -> dict[tuple[int, int, int, int], float]:
    """Posterior of (start, end, label before, label)."""
    used: dict[tuple[int, int, int, int], float] = defaultdict(float)
    for path, probability in zip(paths, np.exp(log_probabilities).tolist(), strict=True):
        before = OUTSIDE
        for s, t, c in path:
            used[s, t, before, c] += probability
            before = c
    return dict(used)


def posteriors(everything: Enumeration) -> Posteriors:
    """What `marginals` reports; gradients of logZ are elsewhere."""
    case, lengths = everything.case, everything.lengths
    size, labels = case.emissions.shape
    start, end = np.zeros((size + 1, labels)), np.zeros((size + 1, labels))
    position, boundary = np.zeros((size, labels)), np.zeros((size + 1, labels, labels))
    durations, tail_steps = np.zeros_like(case.durations), np.zeros(labels)
    for (s, t, before, c), p in everything.used.items():
        cut_left, cut_right = is_cut(case, s, t)
        start[s, c] += 0 if cut_left else p
        end[t, c] += 0 if cut_right else p
        position[s:t, c] += p
        if s > 0:
            boundary[s, before, c] += p
        if not cut_left and not cut_right:
            durations[lengths.rows[t - s, c], c] += p
            tail_steps[c] += p * lengths.periods[t - s, c]
    return Posteriors(start, end, position, boundary, gradients(everything).transitions, durations, tail_steps)


def gradients(everything: Enumeration) -> Gradients:
    """dlogZ / d every score, as expected counts; a cut segment counts what it may be outside, by its weight."""
    case, lengths = everything.case, everything.lengths
    grad = Gradients(
        emissions=np.zeros_like(case.emissions),
        durations=np.zeros_like(case.durations),
        transitions=np.zeros_like(case.transitions),
        tail=np.zeros_like(case.tail),
        boundaries=tuple(np.zeros_like(scores) for scores, _ in case.boundaries),
        first=np.zeros_like(case.first),
        last=np.zeros_like(case.last),
    )
    for (s, t, before, c), p in everything.used.items():
        grad.emissions[s:t, c] += p
        start, k, weight = hidden(case, lengths, s, t, before, c)
        share = p * np.exp(weight - logsumexp(weight))
        rows = lengths.rows[k, c]
        np.add.at(grad.durations[:, c], rows, share)
        grad.tail[c] += (share * lengths.periods[k, c]).sum()
        if s == 0:
            np.add.at(grad.first[:, c], (case.origin + start) % len(case.first), share)
        elif case.by_duration:
            np.add.at(grad.transitions[:, before, c], rows, share)
        else:
            grad.transitions[(case.origin + s) % len(case.transitions), before, c] += p
        _count_boundary(grad, case, s, before, c, p)
        if t == len(case.emissions):
            _count_boundary(grad, case, t, c, OUTSIDE, p)
            grad.last[c] += p if case.right == "exact" else 0
    return grad


def _count_boundary(grad: Gradients, case: Case, t: int, before: int, c: int, p: float) -> None:
    for scores, kind in zip(grad.boundaries, boundary_types(case, t, before, c), strict=True):
        if kind >= 0:
            scores[t, kind] += p


def viterbi(everything: Enumeration, tolerance: float = 0.0) -> tuple[float, Path]:
    """Best score, and the path that the tie rule picks among those within `tolerance` of it.

    Read from the right: smallest last label, then latest start, then smallest source label, and so on. Exact for
    scores that float64 adds exactly: integers, or multiples of 2^-16.
    """
    best = everything.scores.max()
    tied = (path for path, score in zip(everything.paths, everything.scores, strict=True) if score >= best - tolerance)
    return float(best), min(tied, key=lambda path: [(c, -s) for s, _, c in reversed(path)])


def probabilities(everything: Enumeration) -> dict[Path, float]:
    """Posterior of every possible segmentation."""
    return {path: math.exp(x) for path, x in log_probabilities(everything).items()}


def log_probabilities(everything: Enumeration) -> dict[Path, float]:
    """Log posterior of every possible segmentation."""
    return dict(zip(everything.paths, (everything.scores - everything.log_partition).tolist(), strict=True))


def entropy(everything: Enumeration) -> float:
    """Of the visible segmentation, in nats: what lies outside a censored end is summed out."""
    return cross_entropy(everything, everything)


def cross_entropy(p: Enumeration, q: Enumeration) -> float:
    """-sum p log q in nats; inf where q forbids what p allows."""
    log_q = log_probabilities(q)
    terms = [x * -log_q.get(path, -np.inf) for path, x in probabilities(p).items() if x > 0]
    return math.fsum(terms)


def kl(p: Enumeration, q: Enumeration) -> float:
    """sum p log (p / q) in nats, summed term by term."""
    log_p, log_q = log_probabilities(p), log_probabilities(q)
    return math.fsum(math.exp(x) * (x - log_q.get(path, -np.inf)) for path, x in log_p.items() if math.exp(x) > 0)
