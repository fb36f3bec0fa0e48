"""Fewer states of marks: two become one, again and again, where that costs the least likelihood.

EM cannot move a state from where there are too many to where there are too few. So it begins with more than are asked
for: some of them find what is rare, and those that say the same again are made one.
"""

import numpy as np
import torch
from torch import Tensor

from .emissions import Values
from .hsmm import Hsmm, Statistics, no_self
from .hsmm_data import Group, Reader
from .hsmm_durations import make
from .hsmm_em import Counts, left, log_likelihood, passed

PASSES = 2  # after two became one
TRIES = 8  # pairs that look cheapest, of which the likeliest model is taken
SHARE = 4  # on one group of so many


def merge(model: Hsmm, read: Reader, groups: list[Group], draw: np.random.Generator, states: int) -> Hsmm:
    """Return a model with geometric laws and no more than so many states."""
    while model.states > states:
        counts = Counts()
        for _ in range(PASSES):
            passed(model, read, groups, draw, counts)
        total = counts.total
        assert total is not None
        some = groups[int(draw.integers(min(SHARE, len(groups)))) :: SHARE]
        tried = [united(model, total, a, b) for a, b in cheapest(total)]
        model = max(tried, key=lambda found: log_likelihood(found, read, some))
    return model


def cheapest(total: Statistics) -> list[tuple[int, int]]:
    """Return pairs of states that lose least, by the counts of the model that has both: no more than a hint."""
    moves, C = total.changes + total.steps.diag(), len(total.first)
    own = marks_explained(total.emissions)
    pairs, costs = [], []
    for a in range(C):
        for b in range(a):
            both = crossed(moves, a, b)
            said = marks_explained({name: x[a] + x[b] for name, x in total.emissions.items()})
            pairs.append((a, b))
            costs.append(float(own[a] + own[b] - said - steps_explained(both)))
    return [pairs[i] for i in np.argsort(costs, kind="stable")[:TRIES]]


def steps_explained(moves: Tensor) -> Tensor:
    """Return the expected log likelihood of steps from state to state, at its best."""
    return torch.xlogy(moves, moves).sum() - torch.xlogy(moves.sum(1), moves.sum(1)).sum()


def marks_explained(counts: Values) -> Tensor:
    """Return the expected log likelihood of marks that are there or not, (..., D) of each, at its best."""
    ones, zeros = counts["ones"], counts["zeros"]
    return (torch.xlogy(ones, ones) + torch.xlogy(zeros, zeros) - torch.xlogy(ones + zeros, ones + zeros)).sum(-1)


def united(model: Hsmm, total: Statistics, a: int, b: int) -> Hsmm:
    """Return the model in which two states are one, as it is best for the counts of the one that has both."""
    rest = [c for c in range(model.states) if c != b]
    here = rest.index(a)
    first, steps = joined(total.first, a, b), joined(total.steps, a, b)
    changes = crossed(total.changes, a, b)
    steps[here] += changes[here, here]
    changes[here, here] = 0
    emissions = {name: joined(x, a, b) for name, x in total.emissions.items()}
    law = make("geometric", len(rest), 2)
    law.load_state_dict({name: x[..., rest] for name, x in model.law.state_dict().items()})
    before = {name: x[rest] for name, x in model.emissions.items()}
    found = Hsmm(model.family, law, model.occupancy[rest], no_self(changes), before)
    found.improve(Statistics(first, changes, left(changes, first), steps, total.seen, emissions))
    return found


def crossed(moves: Tensor, a: int, b: int) -> Tensor:
    """Return what is counted from state to state with two of them as one."""
    return joined(joined(moves, a, b).T, a, b).T


def joined(x: Tensor, a: int, b: int) -> Tensor:
    """Return a tensor with what two states have added up in the place of the first, and without the second."""
    both = x.clone()
    both[a] += both[b]
    return torch.cat([both[:b], both[b + 1 :]])
