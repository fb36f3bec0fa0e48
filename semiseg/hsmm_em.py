"""EM for hidden semi-Markov models, on stretches of data that are read as they are needed.

The E step is exact: `kernels.marginals` gives expected changes of states, durations (of segments that an end cuts, the
hidden part too), and posteriors of positions. The M step has closed forms for changes, Bernoulli, Gaussian and
autoregressive emissions, free and geometric durations; sizes of counts are searched for along a line and smooth
duration laws follow their gradient, since their best has no closed form. Every M step keeps to what it can prove:
none lowers the likelihood.

Data come in groups of stretches. EM is incremental: each group's counts replace the ones it gave the last time, and an
M step follows at once. With one group that is EM as in the books; with many a pass over a genome moves as far as many
passes would, and what is kept is counts, not data.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .durations import Geometric
from .hsmm import Hsmm, Statistics
from .kernels import marginals, viterbi
from .kernels.cpu.chain import chain_counts
from .signals import Source, Strip


class Stretch(NamedTuple):
    """Positions first..last-1 of a strip."""

    strip: Strip
    first: int
    last: int


Group = tuple[Stretch, ...]
Read = Callable[[Group], tuple[Tensor, Tensor]]  # what a `Reader` does


def stretches(sources: Sequence[Source], longest: int) -> list[Stretch]:
    """Return all data cut evenly into stretches of at most so many positions."""
    out = []
    for source in sources:
        for strip in source.strips:
            n = -(-strip.length // longest)
            edges = [strip.length * i // n for i in range(n + 1)] if n else []
            out += [Stretch(strip, a, b) for a, b in pairwise(edges)]
    return out


def grouped(parts: Sequence[Stretch], most: int) -> list[Group]:
    """Return stretches in groups of about so many positions."""
    out: list[Group] = []
    group: list[Stretch] = []
    size = 0
    for part in parts:
        group.append(part)
        size += part.last - part.first
        if size + (part.last - part.first) // 2 >= most:  # nearer than with one more
            out.append(tuple(group))
            group, size = [], 0
    return [*out, tuple(group)] if group else out


class Reader:
    """Values of groups as (B, context + n, D) tensors, NaN where there are none."""

    def __init__(self, context: int, device: torch.device | str = "cpu"):
        self.context, self.device = context, torch.device(device)
        # a GPU's sums are of float32 weights anyway
        self.dtype = np.float64 if self.device.type == "cpu" else np.float32

    def __call__(self, group: Group) -> tuple[Tensor, Tensor]:
        """Return the values, and (B,) lengths."""
        lengths = [part.last - part.first for part in group]
        found = None
        for i, part in enumerate(group):
            low = max(0, part.first - self.context)
            x = part.strip.read(low, part.last)
            if found is None:
                found = np.full((len(group), self.context + max(lengths), x.shape[1]), np.nan, self.dtype)
            found[i, self.context - (part.first - low) :][: len(x)] = x
        return torch.from_numpy(found).to(self.device), torch.tensor(lengths)


@torch.no_grad()
def expected(model: Hsmm, read: Read, group: Group) -> Statistics:
    """Return the expected counts of a group: the E step."""
    x, lengths = read(group)
    if isinstance(model.law, Geometric):
        return expected_of_chain(model, x, lengths)
    scores = model.potentials(model.density(x))._replace(lengths=lengths)
    found = marginals(scores, want=("position", "transitions", "durations"))
    assert found.position is not None and found.transitions is not None  # noqa: PT018 - all were asked for
    assert found.durations is not None and found.tail_steps is not None  # noqa: PT018
    first, changes = (v.double().sum(0).cpu() for v in (found.position[:, 0], found.transitions[:, 0]))
    durations, steps = (v.double().sum(0).cpu() for v in (found.durations, found.tail_steps))
    emissions = {name: v.cpu() for name, v in model.family.statistics(x, found.position).items()}
    seen = torch.stack([found.log_partition.sum().cpu(), lengths.sum().double()])
    return Statistics(first, changes, durations, steps, seen, emissions)


def expected_of_chain(model: Hsmm, x: Tensor, lengths: Tensor) -> Statistics:
    """Return the expected counts under geometric laws: those of a chain that stays or leaves at every position.

    Nothing hidden beyond ends is needed for the (3, C) durations and (C,) steps with the sums that the laws want: the
    stretches that begin under a state, which `geometric` adds, are taken off here.
    """
    occupancy, moves = model.chain()
    found = chain_counts(occupancy.numpy(), moves.numpy(), model.density(x).cpu().double().numpy(), lengths.tolist())
    position, all_moves = torch.from_numpy(found.position), torch.from_numpy(found.changes)
    stays = all_moves.diagonal()
    first, changes = position[:, 0].sum(0), all_moves - stays.diag()
    durations = torch.zeros(3, len(first), dtype=torch.float64)
    durations[1] = changes.sum(1) - first
    seen = torch.tensor([found.log_partition.sum(), float(lengths.sum())], dtype=torch.float64)
    emissions = {name: v.cpu() for name, v in model.family.statistics(x, position.to(x)).items()}
    return Statistics(first, changes, durations, stays.clone(), seen, emissions)


@torch.no_grad()
def on_best_path(model: Hsmm, read: Read, group: Group) -> Statistics:
    """Return the counts of the best paths of a group; of durations those of segments that no end cuts."""
    x, lengths = read(group)
    scores = model.potentials(model.density(x))._replace(lengths=lengths)
    item, start, end, label = (v.cpu() for v in viterbi(scores).segments)
    C, whole = model.states, (start > 0) & (end < lengths[item])
    longest = len(scores.durations) - 1
    first = torch.bincount(label[start == 0], minlength=C).double()
    inner = start[1:] > 0
    changes = torch.bincount(label[:-1][inner] * C + label[1:][inner], minlength=C * C).double().reshape(C, C)
    k, c = (end - start)[whole], label[whole]
    durations = torch.bincount(k.clamp(max=longest) * C + c, minlength=(longest + 1) * C).double()
    steps = torch.bincount(c, (k - longest).clamp(min=0).double(), minlength=C)
    weights = torch.zeros(len(lengths), int(lengths.max()), C, dtype=x.dtype)
    there = torch.arange(weights.shape[1]) < lengths[:, None]
    weights[there] = torch.eye(C, dtype=x.dtype)[label.repeat_interleave(end - start)]  # segments leave no gap
    emissions = model.family.statistics(x, weights.to(x.device))
    seen = torch.stack([torch.zeros((), dtype=torch.float64), lengths.sum().double()])
    kept = {name: v.cpu() for name, v in emissions.items()}
    return Statistics(first, changes, durations.reshape(-1, C), steps, seen, kept)


def sharpened(model: Hsmm, read: Read, groups: Sequence[Group]) -> None:
    """Make the best paths, as the model has them now, cheaper: one M step on their counts alone (Viterbi training).

    That is no step up the likelihood, but up the score of the segments that will be called.
    """
    total = on_best_path(model, read, groups[0])
    for group in groups[1:]:
        total = total.plus(on_best_path(model, read, group))
    model.improve(total._replace(first=torch.zeros_like(total.first)) if len(groups) > 1 else total)


@torch.no_grad()
def log_likelihood(model: Hsmm, read: Read, groups: Sequence[Group]) -> float:
    """Return the log likelihood of groups, in nats."""
    if isinstance(model.law, Geometric):
        return sum(float(expected(model, read, group).seen[0]) for group in groups)
    from .kernels import log_partition  # seconds of imports, and few fits come here

    total = 0.0
    for group in groups:
        x, lengths = read(group)
        total += float(log_partition(model.potentials(model.density(x))._replace(lengths=lengths)).sum())
    return total


class Counts:
    """Expected counts of all groups as last seen, and their sum."""

    def __init__(self) -> None:
        self.seen: dict[int, Statistics] = {}
        self.total: Statistics | None = None

    def replace(self, group: int, new: Statistics) -> Statistics:
        """Put a group's counts in the place of its old ones, and return the sum."""
        total = new if self.total is None else self.total.plus(new)
        if group in self.seen:
            total = total.plus(self.seen[group], -1)
        self.seen[group], self.total = new, total
        return total


def passed(
    model: Hsmm, read: Read, groups: Sequence[Group], draw: np.random.Generator, counts: Counts,
    emissions: bool = True,
) -> float:  # fmt: skip
    """Improve a model by one pass over all groups, in a drawn order; without `emissions`, these are held.

    Return the log likelihood of a position, of each group as the model stood when it came to it.
    """
    seen = torch.zeros(2, dtype=torch.float64)
    for g in draw.permutation(len(groups)).tolist():
        new = expected(model, read, groups[g])
        model.improve(counts.replace(g, new), emissions)
        seen = seen + new.seen
    return float(seen[0] / seen[1])
