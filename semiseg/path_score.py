"""The score of a known segmentation: what a likelihood has above the line, without another pass over the sequence."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .kernels import Potentials, Segments


def path_of(labels: NDArray) -> Segments:
    """Return the segments of (B, T) labels: neighbours never have the same."""
    B, T = labels.shape
    begins = np.ones((B, T), bool)
    begins[:, 1:] = labels[:, 1:] != labels[:, :-1]
    item, start = np.nonzero(begins)
    end = np.append(start[1:], T)
    end[np.append(item[1:] != item[:-1], True)] = T
    return Segments(
        *(torch.from_numpy(np.ascontiguousarray(x, np.int64)) for x in (item, start, end, labels[item, start]))
    )


def path_score(p: Potentials, path: Segments) -> Tensor:
    """Return (B,) float64 scores of whole sequences under potentials with censored ends, tails and periods of 1."""
    assert (p.left, p.right, p.period, p.first, p.lengths) == ("censored", "censored", None, None, None)
    assert p.longest is not None
    assert p.tail is not None
    B, T, _ = p.emissions.shape
    alive = p.emissions.double().masked_fill(p.emissions == -torch.inf, 0)
    sums = torch.nn.functional.pad(alive.cumsum(1), (0, 0, 1, 0))
    item, start, end, c = path
    gathered = sums[item, end, c] - sums[item, start, c]
    first, last = start == 0, end == T
    score = gathered + lengths(p, c, end - start, first, last)
    inner = (~first).nonzero()[:, 0]
    at, source, target, of = start[inner], c[inner - 1], c[inner], item[inner]
    transitions = p.transitions if p.transitions.ndim == 3 else p.transitions[None]
    change = transitions[(at + p.origin) % len(transitions), source, target].double()
    for boundary in p.boundaries:
        kind = boundary.types[source, target]
        found = boundary.scores[of, at, kind.clamp(min=0)].double()
        change = change + torch.where(kind >= 0, found, 0.0)
    return score.new_zeros(B).index_add(0, item, score).index_add(0, of, change)


def lengths(p: Potentials, c: Tensor, k: Tensor, first: Tensor, last: Tensor) -> Tensor:
    """Return (N,) scores of segments of labels c that show k positions, cut at the first and last end or not."""
    assert p.longest is not None
    assert p.tail is not None
    law, tail, longest = p.durations.double(), p.tail.double(), p.longest
    rows = torch.arange(len(law), device=law.device)[:, None]
    law = law.masked_fill((rows == 0) | (rows > longest), -torch.inf)
    labels = torch.arange(law.shape[1], device=law.device)
    decay = -torch.log(-torch.expm1(tail))  # log of the sum of a geometric series
    beyond = law[longest, labels] + tail + decay  # mass of all that is longer
    # from the longest on down: what lasts k positions or more
    lasting = torch.cat([law, beyond[None]]).flip(0).logcumsumexp(0).flip(0)[:-1]
    steps = (k - longest[c]).clamp(min=0)
    row = torch.minimum(k, longest[c])
    whole = law[row, c] + steps * tail[c]
    # a longer one is in the tail, all of it
    cut = torch.where(steps > 0, beyond[c] + (steps - 1) * tail[c], lasting[row, c])
    # cut at both ends: summed over where it began, too
    explicit = torch.cat([lasting.masked_fill(rows > longest, -torch.inf), (beyond + decay)[None]])
    through = explicit.flip(0).logcumsumexp(0).flip(0)[:-1]
    both = torch.where(steps > 0, beyond[c] + decay[c] + (steps - 1) * tail[c], through[row, c])
    return torch.where(first & last, both, torch.where(first | last, cut, whole))
