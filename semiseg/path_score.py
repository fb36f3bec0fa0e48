"""The score of a known segmentation: what a likelihood has above the line, without another pass over the sequence."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .kernels import Potentials, Segments
from .kernels.resolve import Law, law_of


def path_of(labels: NDArray, lengths: NDArray | None = None, joined: bool = True) -> Segments:
    """Return the segments of (B, T) labels, as far as `lengths` (B,) go.

    Neighbours never have the same label; not `joined`: every position is a segment.
    """
    B, T = labels.shape
    inside = np.arange(T) < (np.full(B, T) if lengths is None else lengths)[:, None]
    begins = inside.copy()
    if joined:
        begins[:, 1:] &= labels[:, 1:] != labels[:, :-1]
    item, start = np.nonzero(begins)
    end = np.append(start[1:], T)
    last = np.append(item[1:] != item[:-1], True)
    end[last] = inside.sum(1)[item[last]]
    return Segments(
        *(torch.from_numpy(np.ascontiguousarray(x, np.int64)) for x in (item, start, end, labels[item, start]))
    )


class Pick(NamedTuple):
    """Entries of a tensor, and which sums they belong to."""

    scores: Tensor
    at: tuple[Tensor, ...]  # (M,) along each axis
    row: Tensor  # (M,) int64
    times: Tensor | None = None  # (M,)


class Sums(torch.autograd.Function):
    """(n,) float64 sums of entries of tensors: one node of the graph, however many are looked up."""

    @staticmethod
    def forward(ctx: Any, n: int, picks: list[Pick], *tensors: Tensor) -> Tensor:
        ctx.picks = [(pick.scores.shape, pick.scores.dtype, *pick[1:]) for pick in picks]
        total = tensors[0].new_zeros(n, dtype=torch.float64)
        for pick, scores in zip(picks, tensors, strict=True):
            found = scores[pick.at].double()
            total.index_add_(0, pick.row, found if pick.times is None else found * pick.times)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        out: list[Tensor | None] = []
        for (shape, dtype, (at, *more), row, times), needed in zip(ctx.picks, ctx.needs_input_grad[2:], strict=True):
            share = grads[0][row] if times is None else grads[0][row] * times
            for size, along in zip(shape[1:], more, strict=True):
                at = at * size + along
            zeros = share.new_zeros(shape.numel())
            out.append(zeros.index_add(0, at, share).view(shape).to(dtype) if needed else None)
        return (None, None, *out)


def path_score(p: Potentials, path: Segments) -> Tensor:
    """Return (B,) float64 scores of whole sequences, differentiable in every tensor of a batch of potentials."""
    return _scores(p, path, path.item, len(p.emissions))


def segment_scores(p: Potentials, path: Segments) -> Tensor:
    """Return (N,) float64: what each segment adds, with the change of labels or the end of the sequence at its start.

    The last one of a sequence has what its end scores. Under a censored edge periods of tails are 1, and the scores of
    first labels the same in all phases.
    """
    return _scores(p, path, torch.arange(len(path.item), device=path.item.device), len(path.item))


def _scores(p: Potentials, path: Segments, row: Tensor, n: int) -> Tensor:
    """Return (n,) sums of what segments score, each added to its row."""
    item, start, end, c = path
    first, last = start == 0, end == _lengths(p).to(end.device)[item]
    picks = [positions(p, path, row), *ends(p, path, row, first, last)]
    inner = (~first).nonzero()[:, 0]
    picks += changes(p, path, row, inner)
    if p.left == p.right == "exact":
        picks += lengths(p, c, end - start, row)
        return Sums.apply(n, picks, *(pick.scores for pick in picks))
    cut = first & (p.left == "censored"), last & (p.right == "censored")
    whole, some = (x.nonzero()[:, 0] for x in (~(cut[0] | cut[1]), cut[0] | cut[1]))
    picks += lengths(p, c[whole], (end - start)[whole], row[whole])
    shown = cut_lengths(law_of(p), c[some], (end - start)[some], (cut[0] & cut[1])[some])
    return Sums.apply(n, picks, *(pick.scores for pick in picks)).index_add(0, row[some], shown)


def _lengths(p: Potentials) -> Tensor:
    return torch.full((len(p.emissions),), p.emissions.shape[1]) if p.lengths is None else p.lengths


def positions(p: Potentials, path: Segments, row: Tensor) -> Pick:
    """Return the emissions that segments cover."""
    item, start, end, c = path
    if len(p.durations) == 2 and p.tail is None:  # a chain: every segment is a position
        return Pick(p.emissions, (item, start, c), row)
    size = end - start
    of = torch.arange(len(size), device=size.device).repeat_interleave(size)
    at = torch.arange(len(of), device=size.device) - (size.cumsum(0) - size - start)[of]
    return Pick(p.emissions, (item[of], at, c[of]), row[of])


def changes(p: Potentials, path: Segments, row: Tensor, inner: Tensor) -> Iterator[Pick]:
    """Yield what changes of labels score, at the starts of segments that are not the first."""
    at, source, target, row = path.start[inner], path.label[inner - 1], path.label[inner], row[inner]
    if p.transitions_by_duration:
        size = torch.minimum((path.end - path.start)[inner], _longest(p).to(at.device)[target])
        yield Pick(p.transitions, (size, source, target), row)
    elif p.transitions.ndim == 2:
        yield Pick(p.transitions, (source, target), row)
    else:
        yield Pick(p.transitions, ((at + p.origin) % len(p.transitions), source, target), row)
    for boundary in p.boundaries:
        yield from known(boundary.scores, path.item[inner], at, boundary.types.to(at.device)[source, target], row)


def ends(p: Potentials, path: Segments, row: Tensor, first: Tensor, last: Tensor) -> Iterator[Pick]:
    """Yield what the ends of sequences score."""
    begin, finish = (x.nonzero()[:, 0] for x in (first, last))
    if p.first is not None:
        c = path.label[begin]
        phase = () if p.first.ndim == 1 else (torch.full_like(c, p.origin % len(p.first)),)
        yield Pick(p.first, (*phase, c), row[begin])
    if p.last is not None and p.right == "exact":
        yield Pick(p.last, (path.label[finish],), row[finish])
    for boundary in p.boundaries:
        types = boundary.types.to(row.device)
        for edge, here, side, at in (
            (p.left, begin, types, path.start),
            (p.right, finish, types.T, path.end),
        ):
            if edge == "exact" and bool((side == side[:1]).all()):  # the label inside says which type it is
                yield from known(boundary.scores, path.item[here], at[here], side[0][path.label[here]], row[here])


def known(scores: Tensor, item: Tensor, at: Tensor, kind: Tensor, row: Tensor) -> Iterator[Pick]:
    """Yield boundary scores, where there is a type."""
    some = (kind >= 0).nonzero()[:, 0]
    yield Pick(scores, (item[some], at[some], kind[some].long()), row[some])


def _longest(p: Potentials) -> Tensor:
    return torch.full(p.durations.shape[1:], len(p.durations) - 1) if p.longest is None else p.longest.long()


def lengths(p: Potentials, c: Tensor, k: Tensor, row: Tensor) -> Iterator[Pick]:
    """Yield what whole segments of labels c and k positions score."""
    longest = explicit = _longest(p).to(k.device)
    if p.tail is not None:
        period = torch.ones_like(longest) if p.period is None else p.period.to(k.device).long()
        longest = torch.where(p.tail.detach() > -torch.inf, torch.maximum(longest, period), longest)
        steps = -(-(k - longest[c]).clamp(min=0) // period[c])
        k = k - steps * period[c]
        some = (steps > 0).nonzero()[:, 0]
        yield Pick(p.tail, (c[some],), row[some], steps[some])
    yield Pick(p.durations, (k.clamp(1, len(p.durations) - 1), c), row)
    forbidden = ((k < 1) | (k > explicit[c])).nonzero()[:, 0]
    yield Pick(p.durations.new_full((1,), -torch.inf), (torch.zeros_like(forbidden),), row[forbidden])


def cut_lengths(law: Law, c: Tensor, k: Tensor, both: Tensor) -> Tensor:
    """Return (N,) scores of segments of labels c that show k positions, cut at one end or at both."""
    table, tail, device = law.durations, law.tail, c.device
    longest, period = law.longest.to(device), law.period.to(device)
    steps = -(-(k - longest[c]).clamp(min=0) // period[c])
    row = k - steps * period[c]
    labels = torch.arange(table.shape[1], device=device)
    decay = -torch.log(-torch.expm1(tail))  # log of the sum of a geometric series
    beyond = table[longest, labels] + tail + decay  # mass of all that is longer
    # from the longest on down: what lasts k positions or more
    lasting = torch.cat([table, beyond[None]]).flip(0).logcumsumexp(0).flip(0)[:-1]
    # a longer one is in the tail, all of it
    in_tail = beyond[c] + (steps - 1) * tail[c]
    once = torch.where(steps > 0, in_tail, lasting[row, c])
    # cut at both ends: summed over where it began, too
    rows = torch.arange(len(table), device=device)[:, None]
    explicit = torch.cat([lasting.masked_fill(rows > longest, -torch.inf), (beyond + decay)[None]])
    through = explicit.flip(0).logcumsumexp(0).flip(0)[:-1]
    twice = torch.where(steps > 0, in_tail + decay[c], through[row, c])
    return torch.where(both, twice, once)
