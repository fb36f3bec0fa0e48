"""Data of hidden semi-Markov models: stretches in groups, read as they are needed."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from threading import Lock
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from .kernels.cpu.rows import distinct
from .kernels.cpu.runs import Places, places_of
from .signals import Source, Strip

R = TypeVar("R")
KEPT = 1 << 26  # bytes of what is read in every pass
READING = Lock()  # of sources: threads read the same files


class Stretch(NamedTuple):
    """Positions first..last-1 of a strip."""

    strip: Strip
    first: int
    last: int


Group = tuple[Stretch, ...]


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


class Rows(NamedTuple):
    """Values of a group, equal ones once: what they score need not be worked out again."""

    values: Tensor  # (B, context + n, D), of which densities are (B, n, C)
    places: Places  # of the positions of each sequence among all B n densities


class Reader:
    """Values of groups as (B, context + n, D) tensors, NaN where there are none."""

    def __init__(self, context: int, device: torch.device | str = "cpu"):
        self.context, self.device = context, torch.device(device)
        # a GPU's sums are of float32 weights anyway
        self.dtype = np.float64 if self.device.type == "cpu" else np.float32
        self.lock = Lock()  # of what is kept: threads ask for the same groups
        self.forget()

    def forget(self) -> None:
        """Keep nothing of what was read."""
        self.kept: dict[Any, Any] = {}
        self.room = KEPT

    def __call__(self, group: Group) -> tuple[Tensor, Tensor]:
        """Return the values, and (B,) lengths."""
        return self.once("values", group, self.values)

    def rows(self, group: Group) -> Rows:
        """Return the values by rows."""
        return self.once("rows", group, lambda group: by_rows(*self.values(group), self.context))

    def once(self, what: str, group: Group, read: Callable[[Group], R]) -> R:
        """Return what is read; it is kept while there is room, since many passes ask for it."""
        with self.lock:
            if (what, group) not in self.kept:
                found = read(group)
                size = bytes_of(found)
                if size > self.room:
                    return found
                self.kept[what, group], self.room = found, self.room - size
            return self.kept[what, group]

    def values(self, group: Group) -> tuple[Tensor, Tensor]:
        """Return the values, and (B,) lengths, and keep nothing."""
        lengths = [part.last - part.first for part in group]
        found = None
        for i, part in enumerate(group):
            low = max(0, part.first - self.context)
            with READING:
                x = part.strip.read(low, part.last)
            if found is None:
                found = np.full((len(group), self.context + max(lengths), x.shape[1]), np.nan, self.dtype)
            found[i, self.context - (part.first - low) :][: len(x)] = x
        return torch.from_numpy(found).to(self.device), torch.tensor(lengths)


def bytes_of(x: Any) -> int:
    """Return what tensors and arrays in records take."""
    return sum(map(bytes_of, x)) if isinstance(x, tuple) else x.nbytes


def by_rows(values: Tensor, lengths: Tensor, context: int) -> Rows:
    """Return values by rows; where few are equal, or more than a position decides on its score, as they are."""
    n = values.shape[1] - context
    own = [np.arange(i * n, i * n + length, dtype=np.int32) for i, length in enumerate(lengths.tolist())]
    at = np.concatenate(own)
    found = None
    if not context:
        found = distinct(values.flatten(0, 1).cpu().double().numpy()[at], len(at) // 4)
    if found is None:
        return Rows(values, places_of(own))
    parts = np.split(found.place, lengths.cumsum(0)[:-1].numpy())
    return Rows(values.flatten(0, 1)[torch.from_numpy(at[found.chosen]).long()][None], places_of(parts))
