"""Labels of what is annotated in a signal, and of what lies between: one kind of background behind each label.

How long nothing happens, and what comes next, depends on what was last: the segment behind a P wave lasts a few
hundredths of a second and ends with a QRS, the one behind a T wave may last a second. So the background remembers.
"""

from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

DOUBT = 0.5  # times that every possible change counts as seen


class SignalGrammar(NamedTuple):
    """n names give C = 2 n labels: the names, then the background behind each."""

    names: tuple[str, ...]
    allowed: NDArray  # (C, C) bool, source first
    starts: NDArray  # (C, C) int64: which name begins at a change; -1: none
    ends: NDArray  # (C, C) which ends
    says: NDArray  # (n + 2, C) bool: the labels that a known one may be; n: background of any kind, last: unknown

    @property
    def background(self) -> int:
        """What a position is known as that no name covers."""
        return len(self.names)


def grammar_of(names: tuple[str, ...]) -> SignalGrammar:
    """Return the labels of names; names may follow each other at once, but not themselves."""
    n = len(names)
    C = 2 * n
    label = np.arange(C)
    named = label < n
    follows = named[:, None] & (label[None] == label[:, None] + n)
    touching = named[:, None] & named[None] & (label[:, None] != label[None])
    allowed = follows | touching | (~named[:, None] & named[None])
    starts = np.where(allowed & named[None], label[None], -1)
    ends = np.where(allowed & named[:, None], label[:, None], -1)
    says = np.zeros((n + 2, C), bool)
    says[:n, :n] = np.eye(n, dtype=bool)
    says[n, n:] = True
    says[n + 1] = True
    return SignalGrammar(names, allowed, starts, ends, says)


def changes(g: SignalGrammar, sequences: Iterable[NDArray]) -> NDArray:
    """Return (C, C) log shares of what follows a label in (N, 3) start, end, name of annotated segments in order."""
    n = len(g.names)
    count = np.where(g.allowed, DOUBT, 0.0)
    for rows in sequences:
        for (_, end, a), (start, _, b) in pairwise(rows[rows[:, 2] >= 0]):
            if start == end and a != b:
                count[a, b] += 1
            else:
                count[a, n + a] += 1
                count[n + a, b] += 1
    with np.errstate(divide="ignore"):
        return np.log(count / count.sum(1, keepdims=True))
