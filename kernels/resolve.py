"""From the user's record to what the recursions read: every default filled in, edges turned into sources.

`resolve` stays in torch, so gradients flow through it; `sequence` takes one item of the batch as numpy arrays.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from . import checks
from .lasting import constant
from .potentials import Potentials

TOLERANCE = {torch.bfloat16: 2e-2, torch.float16: 5e-3}


class Leaves(NamedTuple):
    """The tensors that carry gradients; float64 but for emissions and boundary scores, which may be large."""

    emissions: Tensor  # (B, T, C)
    durations: Tensor  # (K + 1, C)
    tail: Tensor  # (C,)
    transitions: Tensor  # (P, C, C)
    scores: Tensor  # (B, T + 1, n), all boundary maps side by side
    first: Tensor  # (P, C) weights of virtual starts at a censored left edge; unused at an exact one
    begin: Tensor  # (B, C) score of a segment that starts at an exact 0; unused at a censored one
    finish: Tensor  # (B, C) score of a segment that ends at an exact T; unused at a censored one


class Gradients(NamedTuple):
    """The derivatives of every item's log Z, with a first axis B in all; None where not wanted."""

    emissions: Tensor | None  # (B, T, C) position posteriors
    durations: Tensor | None  # (B, K + 1, C) expected durations, hidden lengths of cut segments included
    tail: Tensor | None  # (B, C) expected periods spent in the tail
    transitions: Tensor | None  # (B, P, C, C) expected label changes
    scores: Tensor | None  # (B, T + 1, n) boundary posteriors by type
    first: Tensor | None  # (B, P, C)
    begin: Tensor | None  # (B, C)
    finish: Tensor | None  # (B, C)


SHARED = ("durations", "tail", "transitions", "first")  # by the items of a batch


def weigh(items: Gradients, weight: Tensor, leaves: Leaves) -> tuple[Tensor | None, ...]:
    """Return the items' gradients as tensors like the leaves, each item times its weight."""
    out: list[Tensor | None] = []
    for field, leaf, x in zip(Leaves._fields, leaves, items, strict=True):
        if x is not None:
            w = weight.detach().to(x.dtype)
            rows = x.flatten(1)
            x = (w @ rows if field in SHARED else w[:, None] * rows).view(leaf.shape)
            x = x.to(leaf.dtype)
        out.append(x)
    return tuple(out)


class Layout(NamedTuple):
    """What has no gradient."""

    longest: NDArray  # (C,) int64
    period: NDArray  # (C,) int64
    types: NDArray  # (M, C, C) int64, columns of `scores`, -1: none
    columns: NDArray  # (M + 1,) int64
    lengths: NDArray  # (B,) int64
    left: str
    right: str
    origin: int
    batched: bool


class Sequence(NamedTuple):
    """One item in numpy, or several with a first axis in what is their own: what `naive` and the CPU kernels read."""

    emissions: NDArray  # (T, C)
    durations: NDArray  # (K + 1, C)
    longest: NDArray  # (C,) int64
    tail: NDArray  # (C,)
    period: NDArray  # (C,) int64
    transitions: NDArray  # (P, C, C)
    scores: NDArray  # (T + 1, n)
    types: NDArray  # (M, C, C) int64
    columns: NDArray  # (M + 1,) int64
    first: NDArray  # (P, C)
    begin: NDArray  # (C,)
    finish: NDArray  # (C,)
    left: str
    right: str
    origin: int


class Law(NamedTuple):
    """Durations and starts in float64 with every default filled in."""

    durations: Tensor  # (K + 1, C), -inf beyond each label's longest
    tail: Tensor  # (C,)
    longest: Tensor  # (C,) int64, at least the period where there is a tail
    period: Tensor  # (C,) int64
    first: Tensor  # (P, C)


def reach_of(p: Potentials) -> Tensor:
    """Return (C,) on the host: rows of the law that each label's durations and tail read."""
    longest = longest_of(p)
    if p.tail is None or p.period is None:
        return longest
    # a tail reads p rows back: rows between K_c and p exist and are forbidden
    return torch.where(p.tail.detach().cpu() > -torch.inf, torch.maximum(longest, p.period.cpu().long()), longest)


def longest_of(p: Potentials) -> Tensor:
    """Return (C,) the longest explicit durations, on the host."""
    if p.longest is None:
        return torch.full((p.emissions.shape[-1],), p.durations.shape[0] - 1)
    return p.longest.cpu().long()


def law_of(p: Potentials, reach: Tensor | None = None) -> Law:
    """Return the duration law and the starts of a model; where its `reach` is given, nothing waits for the device."""
    C, K = p.emissions.shape[-1], p.durations.shape[0] - 1
    wide, device = torch.float64, p.emissions.device
    tail = torch.full((C,), -torch.inf, dtype=wide, device=device) if p.tail is None else p.tail.to(wide)
    period = torch.ones(C, dtype=torch.int64) if p.period is None else p.period.cpu().long()
    unused = torch.arange(K + 1)[:, None] > longest_of(p)
    unused[0] = True
    durations = p.durations.to(wide).masked_fill(constant(unused.numpy(), device), -torch.inf)
    reach = reach_of(p) if reach is None else reach
    if (more := int(reach.max()) - K) > 0:
        durations = torch.nn.functional.pad(durations, (0, 0, 0, more), value=-torch.inf)
    P = 1 if p.transitions_by_duration or p.transitions.ndim == 2 else p.transitions.shape[0]
    first = torch.zeros(1, C, dtype=wide, device=device) if p.first is None else p.first.to(wide).reshape(-1, C)
    return Law(durations, tail, reach, period, first.expand(P, C))


def check(p: Potentials) -> None:
    """Raise unless the record can be used as it is: also, where an edge is censored, summed beyond it."""
    checks.check(p)
    if "censored" in (p.left, p.right):
        law = law_of(p)
        tolerance = TOLERANCE.get(p.durations.dtype, checks.NORMALISED)
        checks.check_censoring(law.durations.detach(), law.longest, law.tail.detach(), law.period, tolerance)


def resolve(p: Potentials, checked: bool = False, reach: Tensor | None = None) -> tuple[Leaves, Layout]:
    """Return the checked, complete form of the user's potentials; what `expand` returns is `checked` already.

    Where its `reach` is given and all integers are on the host, nothing waits for the device.
    """
    if not checked:
        check(p)
    batched = p.emissions.ndim == 3
    emissions = p.emissions if batched else p.emissions[None]
    B, T, C = emissions.shape
    law = law_of(p, reach)
    transitions = p.transitions.to(torch.float64).reshape(-1, C, C)
    lengths = torch.full((B,), T) if p.lengths is None else p.lengths.reshape(-1).cpu().long()
    scores = [b.scores if batched else b.scores[None] for b in p.boundaries]
    columns = np.cumsum([0] + [s.shape[-1] for s in scores])
    types = [b.types.cpu().long() for b in p.boundaries]
    shifted = [np.where(t >= 0, t + columns[m], -1) for m, t in enumerate(types)]
    layout = Layout(
        longest=law.longest.numpy(),
        period=law.period.numpy(),
        types=np.array(shifted, np.int64).reshape(-1, C, C),
        columns=columns,
        lengths=lengths.numpy(),
        left=p.left,
        right=p.right,
        origin=p.origin,
        batched=batched,
    )
    begin = law.first[p.origin % len(law.first)].expand(B, C)
    finish = (law.first.new_zeros(C) if p.last is None else p.last.to(torch.float64)).expand(B, C)
    for type_, score in zip(types, scores, strict=True):
        begin = begin + known_side(score[:, 0], type_)
        finish = finish + known_side(last_of(score, lengths), type_.T)
    leaves = Leaves(
        emissions=emissions,
        durations=law.durations,
        tail=law.tail,
        transitions=transitions,
        scores=torch.cat(scores, dim=-1) if scores else emissions.new_zeros(B, T + 1, 0),
        first=law.first,
        begin=begin,
        finish=finish,
    )
    return leaves, layout


def last_of(scores: Tensor, lengths: Tensor) -> Tensor:
    """Return (B, n) the scores at the ends of all items."""
    B, rows, n = scores.shape
    if bool((lengths == rows - 1).all()):
        return scores[:, -1]
    at = constant(lengths.numpy(), scores.device)
    return scores.gather(1, at[:, None, None].expand(B, 1, n))[:, 0]


def known_side(scores: Tensor, types: Tensor) -> Tensor:
    """Return (B, C) what a map scores at an exact end: 0 unless the known label (axis 1 of types) fixes its type.

    `types` is on the host.
    """
    known = types[0].long()
    if not bool((types == types[:1]).all()):
        return scores.new_zeros(len(scores), len(known), dtype=torch.float64)
    at = constant(known.clamp(min=0).numpy(), scores.device)
    there = constant((known >= 0).numpy(), scores.device)
    return torch.where(there, scores.to(torch.float64)[:, at], 0.0)


def _numpy(x: Tensor) -> NDArray:
    x = x.detach().cpu()
    return (x.float() if x.dtype in (torch.bfloat16, torch.float16) else x).numpy()


def sequence(leaves: Leaves, layout: Layout, item: int) -> Sequence:
    """Return one item of the batch, cut to its length."""
    x = sequences(leaves, layout, range(item, item + 1))
    return x._replace(**{name: getattr(x, name)[0] for name in ("emissions", "scores", "begin", "finish")})


def sequences(leaves: Leaves, layout: Layout, items: range) -> Sequence:
    """Return neighbours in the batch, cut to the longest, with a first axis in all that is an item's own."""
    T, own = int(layout.lengths[items].max()), slice(items.start, items.stop)
    return Sequence(
        emissions=_numpy(leaves.emissions[own, :T]),
        durations=_numpy(leaves.durations),
        longest=layout.longest,
        tail=_numpy(leaves.tail),
        period=layout.period,
        transitions=_numpy(leaves.transitions),
        scores=_numpy(leaves.scores[own, : T + 1]),
        types=layout.types,
        columns=layout.columns,
        first=_numpy(leaves.first),
        begin=_numpy(leaves.begin[own]),
        finish=_numpy(leaves.finish[own]),
        left=layout.left,
        right=layout.right,
        origin=layout.origin,
    )
