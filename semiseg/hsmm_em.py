"""EM for hidden semi-Markov models, on stretches of data that are read as they are needed.

The E step is exact: `kernels.marginals` gives expected changes of states, durations (of segments that an end cuts, the
hidden part too), and posteriors of positions; with geometric durations the model is a chain, which gives them for a
twentieth of the time. The M step has closed forms for changes, Bernoulli, Gaussian and autoregressive emissions, free
and geometric durations; sizes of counts are searched for along a line and smooth duration laws follow their curvature,
since their best has no closed form. Every M step keeps to what it can prove: none lowers the likelihood.

Data come in groups of stretches. EM is incremental: each group's counts replace the ones it gave the last time, and an
M step follows at once. With one group that is EM as in the books; with many a pass over a genome moves as far as many
passes would, and what is kept is counts, not data.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .durations import Geometric
from .hsmm import Hsmm, Statistics
from .hsmm_data import Group, Reader, Rows
from .kernels import marginals
from .kernels.cpu.chain import best_paths, chain_counts, chain_log_partition
from .kernels.cpu.threads import torch_threads

FEW = 1 << 18  # values: on busy cores torch's threads wait for each other a thousand times as long as these take


@torch.no_grad()
def expected(model: Hsmm, read: Reader, group: Group, emissions: bool = True) -> Statistics:
    """Return the expected counts of a group: the E step; without `emissions`, those are left out."""
    if isinstance(model.law, Geometric):
        return expected_of_chain(model, read.rows(group), emissions)
    x, lengths = read(group)
    scores = model.potentials(model.density(x))._replace(lengths=lengths)
    found = marginals(scores, want=("position", "transitions", "durations"))
    assert found.position is not None and found.transitions is not None  # noqa: PT018 - all were asked for
    assert found.durations is not None and found.tail_steps is not None  # noqa: PT018
    first, changes = (v.double().sum(0).cpu() for v in (found.position[:, 0], found.transitions[:, 0]))
    durations, steps = (v.double().sum(0).cpu() for v in (found.durations, found.tail_steps))
    said = model.family.statistics(x, found.position) if emissions else {}
    seen = torch.stack([found.log_partition.sum().cpu(), lengths.sum().double()])
    return Statistics(first, changes, durations, steps, seen, {name: v.cpu() for name, v in said.items()})


def expected_of_chain(model: Hsmm, rows: Rows, emissions: bool) -> Statistics:
    """Return the expected counts under geometric laws."""
    found = chain_counts(*chain_of(model, rows), rows.places)
    return counted(model, rows, found.log_partition, found.first, found.moves, found.rows, emissions)


def on_best_path(model: Hsmm, rows: Rows) -> Statistics:
    """Return the counts of the best paths of a group under geometric laws."""
    chain, C = chain_of(model, rows), model.states
    weights, first, steps = np.zeros(chain[2].shape), np.zeros(C), np.zeros((C, C))
    for path, place in zip(best_paths(*chain, rows.places), rows.places.each(), strict=True):
        weights += np.bincount(place.astype(np.int64) * C + path, minlength=weights.size).reshape(weights.shape)
        steps += np.bincount(path[:-1] * C + path[1:], minlength=C * C).reshape(C, C)
        first[path[0]] += 1
    return counted(model, rows, 0.0, first, steps, weights)


def chain_of(model: Hsmm, rows: Rows) -> tuple[NDArray, NDArray, NDArray]:
    """Return a model with geometric laws as a chain, and the (R, C) scores of the rows."""
    with enough_threads(rows):
        scores = model.density(rows.values).cpu().double().flatten(0, 1)
    return *model.chain(), scores.numpy()


def enough_threads(rows: Rows) -> AbstractContextManager[None]:
    """Have torch work on values by itself where they are few."""
    return torch_threads(1 if rows.values.numel() < FEW else None)


def counted(
    model: Hsmm, rows: Rows, nats: float, first: NDArray, moves: NDArray, weights: NDArray, emissions: bool = True
) -> Statistics:
    """Return the counts of a chain that stays or moves at every position, as geometric laws want them.

    Nothing hidden beyond ends is needed for durations and steps with the right sums.
    """
    stays = moves.diagonal().copy()
    changes = torch.from_numpy(moves - np.diag(stays))
    seen = torch.tensor([nats, float(len(rows.places.rows))], dtype=torch.float64)
    mine = torch.from_numpy(weights.reshape(len(rows.values), -1, len(first))).to(rows.values)
    with enough_threads(rows):
        said = model.family.statistics(rows.values, mine) if emissions else {}
    begun, emitted = torch.from_numpy(first), {name: v.cpu() for name, v in said.items()}
    return Statistics(begun, changes, left(changes, begun), torch.from_numpy(stays), seen, emitted)


def left(changes: Tensor, begun: Tensor) -> Tensor:
    """Return (3, C) durations of a chain; what begins under a state, which `geometric` adds, is taken off here."""
    durations = np.zeros((3, len(begun)))
    durations[1] = changes.numpy().sum(1) - begun.numpy()
    return torch.from_numpy(durations)


def sharpened(model: Hsmm, read: Reader, groups: Sequence[Group]) -> None:
    """Make the best paths, as the model has them now, cheaper: one M step on their counts alone (Viterbi training).

    That is no step up the likelihood, but up the score of the segments that will be called.
    """
    total = on_best_path(model, read.rows(groups[0]))
    for group in groups[1:]:
        total = total.plus(on_best_path(model, read.rows(group)))
    model.improve(total)


@torch.no_grad()
def log_likelihood(model: Hsmm, read: Reader, groups: Sequence[Group]) -> float:
    """Return the log likelihood of groups, in nats."""
    if isinstance(model.law, Geometric):
        return sum(chain_log_partition(*chain_of(model, rows), rows.places) for rows in map(read.rows, groups))
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
    model: Hsmm, read: Reader, groups: Sequence[Group], draw: np.random.Generator, counts: Counts,
    emissions: bool = True,
) -> float:  # fmt: skip
    """Improve a model by one pass over all groups, in a drawn order; without `emissions`, these are held.

    Return the log likelihood of a position, of each group as the model stood when it came to it.
    """
    seen = torch.zeros(2, dtype=torch.float64)
    for g in draw.permutation(len(groups)).tolist():
        new = expected(model, read, groups[g], emissions)
        model.improve(counts.replace(g, new), emissions)
        seen = seen + new.seen
    return float(seen[0] / seen[1])
