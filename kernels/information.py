"""Entropy, cross-entropy and divergence of distributions over whole segmentations, differentiable.

A score is linear in the features of a segmentation (which label covers a position, which length a segment has ...),
so `-E_p log q` is log Z of q minus q's scores weighed by p's expected features, the gradient of log Z of p. In float64
the sums keep 1e-8 nats at a million positions. Their own gradients go through the Hessian product of `autograd.py`.
"""

from math import lcm

import torch
from torch import Tensor

from .autograd import Gradient, log_partitions
from .cpu.batch import Options
from .devices import on_cpu
from .errors import InfeasibleError, PotentialsError
from .expansion import expand, uncensor
from .potentials import Boundary, Potentials
from .resolve import check, law_of, resolve


@on_cpu
def entropy(potentials: Potentials) -> Tensor:
    """Return the entropy of every item's distribution over segmentations, in nats.

    >>> p = Potentials(torch.zeros(4, 2), torch.zeros(3, 2), torch.zeros(2, 2))
    >>> entropy(p).exp()  # 44 segmentations, all as likely
    tensor(44.0000, dtype=torch.float64)
    """
    return cross_entropy(potentials, potentials)


@on_cpu
def kl(p: Potentials, q: Potentials) -> Tensor:
    """Return the divergence `E_p (log p - log q)` of every item, in nats.

    >>> p = Potentials(torch.zeros(4, 2), torch.zeros(3, 2), torch.zeros(2, 2))
    >>> kl(p, p._replace(first=torch.tensor([0.0, -1.0])))
    tensor(0.1201, dtype=torch.float64)
    """
    return cross_entropy(p, q) - entropy(p)


@on_cpu
def cross_entropy(p: Potentials, q: Potentials) -> Tensor:
    """Return `-E_p log q` of every item, in nats; infinite where q forbids what p allows.

    >>> p = Potentials(torch.zeros(4, 2), torch.zeros(3, 2), torch.zeros(2, 2))
    >>> cross_entropy(p, p._replace(first=torch.tensor([0.0, -torch.inf])))
    tensor(inf, dtype=torch.float64)
    """
    for x in (p, q):
        check(x)
    for name in ("left", "right", "origin"):
        if getattr(p, name) != getattr(q, name):
            raise PotentialsError(f"{name}: expected {getattr(p, name)!r} as in p, got {getattr(q, name)!r} in q")
    if p.emissions.shape != q.emissions.shape:
        shapes = tuple(p.emissions.shape), tuple(q.emissions.shape)
        raise PotentialsError(f"emissions: expected {shapes[0]} as in p, got {shapes[1]} in q")
    whole = [p.emissions.shape[-2]] * (p.emissions.shape[0] if p.emissions.ndim == 3 else 1)
    sizes = [whole if x.lengths is None else x.lengths.tolist() for x in (p, q)]
    if sizes[0] != sizes[1]:
        raise PotentialsError(f"lengths: expected {sizes[0]} as in p, got {sizes[1]} in q")
    if p.transitions_by_duration or q.transitions_by_duration:
        p, q = by_duration(p), by_duration(q)
    p, q = expand(p).potentials, expand(q).potentials
    items = range(p.emissions.shape[0]) if p.emissions.ndim == 3 else [0]
    values = torch.stack([_item(p, q, b) for b in items])
    return values if p.emissions.ndim == 3 else values[0]


def _item(p: Potentials, q: Potentials, item: int) -> Tensor:
    try:
        return _one(*aligned(uncensor(p, item), uncensor(q, item)))
    except InfeasibleError as error:
        raise error.of(item) from None


def _one(p: Potentials, q: Potentials) -> Tensor:
    options = Options()
    (p_leaves, p_layout), (q_leaves, q_layout) = resolve(p), resolve(q)
    weight = torch.ones(1, dtype=torch.float64)
    expected = Gradient.apply(p_layout, options, weight, *(x.double() for x in p_leaves))
    scores = [_product(mu, theta.double()) for mu, theta in zip(expected, q_leaves, strict=True)]
    return log_partitions(q_leaves, q_layout, options)[0] - torch.stack(scores).sum()


def _product(expected: Tensor, scores: Tensor) -> Tensor:
    """Return the sum of expected features times scores, where never times forbidden is nothing."""
    nothing = (expected == 0) & (scores == -torch.inf)
    return torch.where(nothing, 0.0, expected * torch.where(nothing, 0.0, scores)).sum()


def aligned(p: Potentials, q: Potentials) -> tuple[Potentials, Potentials]:
    """Return both models over one set of features: the same K, periods, phases and boundary maps."""
    laws = law_of(p), law_of(q)
    phases = [x.transitions.reshape(-1, *x.transitions.shape[-2:]) for x in (p, q)]
    P = lcm(len(phases[0]), len(phases[1]))
    period = torch.tensor([lcm(int(a), int(b)) for a, b in zip(laws[0].period, laws[1].period, strict=True)])
    longest = torch.maximum(torch.maximum(laws[0].longest, laws[1].longest), period)
    out = []
    for x, law, transitions, other in ((p, laws[0], phases[0], q), (q, laws[1], phases[1], p)):
        silent = tuple(Boundary(torch.zeros_like(b.scores), b.types) for b in other.boundaries)
        columns = []
        for c in range(len(longest)):
            rows = list(law.durations[: int(law.longest[c]) + 1, c])
            for k in range(len(rows), int(longest.max()) + 1):
                alive = law.tail[c] > -torch.inf and k <= longest[c]
                rows.append(rows[k - int(law.period[c])] + law.tail[c] if alive else law.tail.new_full((), -torch.inf))
            columns.append(torch.stack(rows))
        out.append(
            x._replace(
                durations=torch.stack(columns, 1),
                longest=longest,
                period=period,
                tail=law.tail * (period / law.period),
                transitions=transitions.repeat(P // len(transitions), 1, 1),
                first=law.first.repeat(P // len(law.first), 1),
                boundaries=(*x.boundaries, *silent) if x is p else (*silent, *x.boundaries),
            )
        )
    return out[0], out[1]


def by_duration(p: Potentials) -> Potentials:
    """Return a model whose transitions are given by duration, which every plain model without phases is too."""
    if p.transitions_by_duration:
        return p
    transitions = p.transitions.reshape(-1, *p.transitions.shape[-2:])
    if len(transitions) > 1:
        raise PotentialsError("transitions: expected no phases beside a model with transitions by duration")
    return p._replace(transitions=transitions.expand(len(p.durations), -1, -1), transitions_by_duration=True)
