"""The score of a known segmentation: what a likelihood has above the line, without another pass over the sequence."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .kernels import Potentials, Segments
from .kernels.resolve import Law, known_side, law_of


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


def path_score(p: Potentials, path: Segments) -> Tensor:
    """Return (B,) float64 scores of whole sequences, differentiable in every tensor of a batch of potentials."""
    scores = segment_scores(p, path)
    return scores.new_zeros(len(p.emissions)).index_add(0, path.item, scores)


def segment_scores(p: Potentials, path: Segments) -> Tensor:
    """Return (N,) float64: what each segment adds, with the change of labels or the end of the sequence at its start.

    The last one of a sequence has what its end scores. Under a censored edge periods of tails are 1, and the scores of
    first labels the same in all phases.
    """
    item, start, end, c = path
    law, score = law_of(p), positions(p, path)
    sizes = torch.full((len(p.emissions),), p.emissions.shape[1]) if p.lengths is None else p.lengths
    first, last = start == 0, end == sizes.to(end.device)[item]
    cut = first & (p.left == "censored"), last & (p.right == "censored")
    score = score + lengths(law, c, end - start, *cut)
    inner, begin, finish = (x.nonzero()[:, 0] for x in (~first, first, last & ~cut[1]))
    at, source, target, of = start[inner], c[inner - 1], c[inner], item[inner]
    if p.transitions_by_duration:
        row = torch.minimum((end - start)[inner], law.longest.to(c.device)[target])
    else:
        row = (at + p.origin) % (1 if p.transitions.ndim == 2 else len(p.transitions))
    transitions = p.transitions.reshape(-1, *p.transitions.shape[-2:]).double()
    change = transitions[row, source, target]
    opened = law.first[p.origin % len(law.first), c[begin]]
    closed = opened.new_zeros(len(finish)) if p.last is None else p.last.double()[c[finish]]
    for boundary in p.boundaries:
        types = boundary.types.to(c.device)
        kind = types[source, target]
        found = boundary.scores[of, at, kind.clamp(min=0)].double()
        change = change + torch.where(kind >= 0, found, 0.0)
        if p.left == "exact":
            left = boundary.scores[item[begin], 0]
            opened = opened + known_side(left, types).gather(1, c[begin, None])[:, 0]
        right = boundary.scores[item[finish], end[finish]]
        closed = closed + known_side(right, types.T).gather(1, c[finish, None])[:, 0]
    return score.index_add(0, inner, change).index_add(0, begin, opened).index_add(0, finish, closed)


def positions(p: Potentials, path: Segments) -> Tensor:
    """Return (N,) float64 sums of the emissions that segments cover."""
    item, start, end, c = path
    size = end - start
    of = torch.arange(len(size), device=size.device).repeat_interleave(size)
    at = torch.arange(len(of), device=size.device) - (size.cumsum(0) - size)[of] + start[of]
    found = p.emissions[item[of], at, c[of]].double()
    return found.new_zeros(len(size)).index_add(0, of, found)


def lengths(law: Law, c: Tensor, k: Tensor, first: Tensor, last: Tensor) -> Tensor:
    """Return (N,) scores of segments of labels c that show k positions, cut at the first and last end or not."""
    table, tail, device = law.durations, law.tail, c.device
    longest, period = law.longest.to(device), law.period.to(device)
    steps = -(-(k - longest[c]).clamp(min=0) // period[c])
    row = k - steps * period[c]
    whole = torch.where(row >= 1, table[row.clamp(min=1), c], -torch.inf)
    whole = torch.where(steps > 0, whole + steps * tail[c], whole)
    if not bool((first | last).any()):
        return whole
    labels = torch.arange(table.shape[1], device=device)
    decay = -torch.log(-torch.expm1(tail))  # log of the sum of a geometric series
    beyond = table[longest, labels] + tail + decay  # mass of all that is longer
    # from the longest on down: what lasts k positions or more
    lasting = torch.cat([table, beyond[None]]).flip(0).logcumsumexp(0).flip(0)[:-1]
    # a longer one is in the tail, all of it
    in_tail = beyond[c] + (steps - 1) * tail[c]
    cut = torch.where(steps > 0, in_tail, lasting[row, c])
    # cut at both ends: summed over where it began, too
    rows = torch.arange(len(table), device=device)[:, None]
    explicit = torch.cat([lasting.masked_fill(rows > longest, -torch.inf), (beyond + decay)[None]])
    through = explicit.flip(0).logcumsumexp(0).flip(0)[:-1]
    both = torch.where(steps > 0, in_tail + decay[c], through[row, c])
    return torch.where(first & last, both, torch.where(first | last, cut, whole))
