"""Models rewritten as larger models of the plain form; everything stays differentiable.

Two reductions. `expand`: transitions that depend on the duration of the segment entered break the factorisation of
the recursion, so a label becomes one label per predecessor, "c entered from c'", plus one for a first segment; its
durations carry the transition. That path costs O(T K C^2) and C^2 + C labels. `uncensor`: a censored edge becomes an
exact one by labels of their own for cut segments, whose durations are the survival sums; sums over segmentations then
count what is visible and nothing hidden (entropy needs that).
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from . import edges
from .potentials import Boundary, Potentials
from .resolve import check, known_side, law_of


class Relabelled(NamedTuple):
    """A model in plain form, and the label of the user's that each of its labels stands for."""

    potentials: Potentials
    label: Tensor  # (L,) int64


def plain(p: Potentials) -> Relabelled:
    """Return the model as it is, one label for one label."""
    return Relabelled(p, torch.arange(p.emissions.shape[-1]))


def expand(p: Potentials) -> Relabelled:
    """Return the model, checked, in plain form: transitions by duration become durations of labels by predecessor."""
    check(p)
    if not p.transitions_by_duration:
        return plain(p)
    C, K = p.emissions.shape[-1], p.durations.shape[0] - 1
    # label c * (C + 1) + c' is "c entered from c'"; c' = C: a first segment
    label = torch.arange(C).repeat_interleave(C + 1)
    source = torch.arange(C + 1).repeat(C)
    start = source == C
    device = p.emissions.device
    zeros = lambda *shape: torch.zeros(*shape, dtype=torch.float64, device=device)  # noqa: E731
    by_source = p.transitions.double().permute(0, 2, 1)  # [k, c, c']
    by_source = torch.cat([by_source, by_source.new_zeros(K + 1, C, 1)], 2).reshape(K + 1, C * (C + 1))
    by_source = torch.cat([by_source.new_full((1, by_source.shape[1]), -torch.inf), by_source[1:]])
    durations = p.durations.double()
    durations = torch.cat([durations.new_zeros(1, C), durations[1:]])
    allowed = source[None, :] == label[:, None]  # what ended must be what the entered segment came from
    forbidden = zeros(len(label), len(label)).masked_fill(~allowed.to(device), -torch.inf)
    first = zeros(1, C) if p.first is None else p.first.double().reshape(-1, C)
    pick = lambda x: None if x is None else x[..., label]  # noqa: E731
    return Relabelled(
        Potentials(
            emissions=p.emissions[..., label],
            durations=durations[:, label] + by_source,
            transitions=forbidden.expand(len(first), -1, -1),
            longest=pick(p.longest),
            tail=pick(p.tail),
            period=pick(p.period),
            boundaries=tuple(Boundary(b.scores, b.types[label][:, label]) for b in p.boundaries),
            first=first[:, label].masked_fill(~start.to(device), -torch.inf),
            last=pick(p.last),
            left=p.left,
            right=p.right,
            lengths=p.lengths,
            origin=p.origin,
        ),
        label,
    )


def uncensor(p: Potentials, item: int, length: int | None = None) -> Potentials:
    """Return one item of a model in plain form with exact edges, cut segments as labels of their own.

    `length`: what the sequence really has, where `p` holds its ends only. Block b of C labels: 0 whole segments, 1 cut
    at the left, 2 cut at the right, 3 cut at both ends.
    """
    C = p.emissions.shape[-1]
    batched = p.emissions.ndim == 3
    T = p.emissions.shape[-2] if p.lengths is None else int(p.lengths.reshape(-1)[item])
    one = p._replace(
        emissions=(p.emissions[item] if batched else p.emissions)[:T],
        boundaries=tuple(Boundary((b.scores[item] if batched else b.scores)[: T + 1], b.types) for b in p.boundaries),
        lengths=None,
    )
    if p.left == p.right == "exact":
        return one
    durations, tail, longest, period, first = law_of(p)
    enter, leave, both = edges.tables(
        first, durations, tail, longest.numpy(), period.numpy(), p.left, p.right, p.origin, length or T
    )  # fmt: skip
    never = torch.full_like(durations, -torch.inf)
    constant = torch.cat([never[:1], both.expand(len(durations) - 1, C)])  # a single segment: its length is T anyway
    transitions = p.transitions.to(torch.float64).reshape(-1, C, C)
    P = len(transitions)
    wide = transitions.new_full((P, 4 * C, 4 * C), -torch.inf)
    types = [torch.full((4 * C, 4 * C), -1) for _ in p.boundaries]
    ends, begins = (0, 1), (0, 2)  # blocks a change of labels may leave, and enter
    for a in ends:
        for b in begins:
            wide[:, a * C : (a + 1) * C, b * C : (b + 1) * C] = transitions
            for m, boundary in enumerate(p.boundaries):
                types[m][a * C : (a + 1) * C, b * C : (b + 1) * C] = boundary.types
    zero, out = torch.zeros(C, dtype=torch.float64), torch.full((C,), -torch.inf, dtype=torch.float64)
    left, right = p.left == "censored", p.right == "censored"
    begin = first[p.origin % len(first)] + sum((known_side(b.scores[:1], b.types)[0] for b in one.boundaries), zero)
    finish = sum((known_side(b.scores[T:], b.types.T)[0] for b in one.boundaries), zero)
    finish = finish if p.last is None else finish + p.last.to(torch.float64)
    blocks_begin = [out, zero, out, zero] if left else [begin, out, begin, out]
    blocks_finish = [out, out, zero, zero] if right else [finish, finish, out, out]
    return one._replace(
        emissions=one.emissions.repeat(1, 4),
        durations=torch.cat([durations, *(never if t is None else t for t in (enter, leave)), constant], 1),
        transitions=wide,
        longest=longest.repeat(4),
        tail=torch.cat([tail, tail, tail, torch.where(both > -torch.inf, 0.0, -torch.inf)]),
        period=period.repeat(4),
        # the edges' own boundary scores are in first and last: silence the maps there
        boundaries=tuple(
            Boundary(torch.nn.functional.pad(b.scores[1:T], (0, 0, 1, 1)), types[m])
            for m, b in enumerate(one.boundaries)
        ),
        first=torch.cat(blocks_begin),
        last=torch.cat(blocks_finish),
        left="exact",
        right="exact",
    )


def contract(x: Tensor, label: Tensor, labels: int) -> Tensor:
    """Return posteriors of the user's labels: sums over the labels that stand for each, along the last axis."""
    if len(label) == labels:
        return x
    if x.device.type == "cpu":
        return x.new_zeros(*x.shape[:-1], labels).index_add(-1, label, x)
    label = label.to(x.device)  # index_add adds in any order there
    return torch.stack([x[..., label == c].sum(-1) for c in range(labels)], -1)


def concept_of(label: Tensor, concepts: Tensor | None) -> np.ndarray:
    """Return the concept of every label of the plain model."""
    return (label if concepts is None else concepts.cpu().long()[label]).numpy()
