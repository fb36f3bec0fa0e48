"""How many segmentations a model allows, and how many segments it expects in one.

What is possible is counted as it is seen: at a censored end a cut segment counts once, however long it may be outside.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .kernels import InfeasibleError, Potentials, log_partition, marginals
from .kernels.devices import moved
from .kernels.edges import continued
from .kernels.expansion import expand, uncensor
from .kernels.naive import change_scores
from .kernels.resolve import resolve, sequence


def count(potentials: Potentials) -> list[int]:
    """Return the number of segmentations of every item, exactly; 0 where none is possible.

    Plain loops over integers that grow with the length: for long sequences there is `log_count`.

    >>> import torch
    >>> p = Potentials(torch.zeros(100, 2), torch.zeros(101, 2), torch.zeros(2, 2))
    >>> count(p) == [2 * 3**99]
    True
    """
    return [_count(item) for item in _seen(potentials)]


def log_count(potentials: Potentials) -> Tensor:
    """Return (B,) the log of the number of segmentations of every item, at any length; -inf where there is none."""
    found = []
    for item in _seen(potentials):
        try:
            found.append(log_partition(item))
        except InfeasibleError:
            found.append(torch.tensor(-torch.inf, dtype=torch.float64))
    return torch.stack(found).to(potentials.emissions.device)


def expected_segments(potentials: Potentials) -> Tensor:
    """Return (B, C) float64, how many segments of each label are expected; a cut one is one.

    >>> import torch
    >>> p = Potentials(torch.zeros(1, 4, 2), torch.zeros(3, 2), torch.zeros(2, 2))
    >>> expected_segments(p)  # of one or two positions each
    tensor([[1.6364, 1.6364]], dtype=torch.float64)
    """
    found = marginals(potentials, want=("start", "position"))
    assert found.start is not None
    assert found.position is not None
    return begun(found.start, found.position)


def begun(start: Tensor, position: Tensor) -> Tensor:
    """Return (..., C) expected segments: those that begin inside, and the one that covers position 0."""
    return start[..., 1:, :].double().sum(-2) + position[..., 0, :].double()


def _seen(p: Potentials) -> list[Potentials]:
    """Return every item in plain form, with exact ends and scores that are 0 or forbidden."""
    p = expand(moved(p, "cpu")).potentials
    items = range(len(p.emissions) if p.emissions.ndim == 3 else 1)
    return [_even(uncensor(p, item)) for item in items]


def _even(p: Potentials) -> Potentials:
    def zero(x: Any) -> Any:
        return None if x is None else torch.zeros_like(x).masked_fill(x == -torch.inf, -torch.inf).detach()

    return p._replace(
        emissions=zero(p.emissions),
        durations=zero(p.durations),
        transitions=zero(p.transitions),
        tail=zero(p.tail),
        boundaries=tuple(m._replace(scores=zero(m.scores)) for m in p.boundaries),
        first=zero(p.first),
        last=zero(p.last),
    )


def _count(potentials: Potentials) -> int:
    """Return what `naive` does with logs, in integers."""
    x = sequence(*resolve(potentials), 0)
    T, C = x.emissions.shape
    lengths = _ways(continued(x.durations, x.longest, x.tail, x.period, T))
    covers = _ways(x.emissions)
    opened = np.zeros((T, C), object)  # opened[s]: of what began at s and is not cut so far
    ended: NDArray = np.zeros(C, object)
    for t in range(T):
        opened[t] = _ways(x.begin) if t == 0 else ended @ _ways(change_scores(x, t))
        opened[: t + 1] *= covers[t]
        ended = (opened[: t + 1] * lengths[t + 1 : 0 : -1]).sum(0)
    return int(ended @ _ways(x.finish))


def _ways(scores: NDArray) -> NDArray:
    """Return 1 where something is possible, as Python's integers."""
    return (scores > -np.inf).astype(int).astype(object)
