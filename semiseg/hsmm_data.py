"""Data of hidden semi-Markov models: stretches in groups, read as they are needed."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .kernels.cpu.runs import Places, places_of
from .signals import Source, Strip

KEPT = 1 << 26  # bytes of what is read in every pass
MULTIPLIER = 0x9E3779B97F4A7C15  # odd, its bits far from any pattern


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
        self.kept: dict[Group, Rows] = {}
        self.room = KEPT

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

    def rows(self, group: Group) -> Rows:
        """Return the values by rows; they are kept while there is room, since many passes ask for them."""
        if group not in self.kept:
            values, lengths = self(group)
            found = by_rows(values, lengths.tolist(), self.context)
            size = found.values.nbytes + sum(x.nbytes for x in found.places)
            if size > self.room:
                return found
            self.kept[group], self.room = found, self.room - size
        return self.kept[group]


def by_rows(values: Tensor, lengths: list[int], context: int) -> Rows:
    """Return values by rows; where few are equal, or more than a position decides on its score, as they are."""
    n = values.shape[1] - context
    own = [np.arange(i * n, i * n + length, dtype=np.int32) for i, length in enumerate(lengths)]
    x = values[:, context:].flatten(0, 1).cpu().double().numpy()
    at = np.concatenate(own)
    bits = np.ascontiguousarray(x[at]).view(np.uint64)
    with np.errstate(over="ignore"):
        keys = np.zeros(len(bits), np.uint64)
        for column in bits.T:
            keys = (keys ^ (column ^ (column >> np.uint64(29)))) * np.uint64(MULTIPLIER)
            keys ^= keys >> np.uint64(32)
    _, chosen, place = np.unique(keys, return_index=True, return_inverse=True)
    if context or 4 * len(chosen) > len(at) or not np.array_equal(bits, bits[chosen][place]):
        return Rows(values, places_of(own))
    parts = np.split(place.astype(np.int32), np.cumsum(lengths)[:-1])
    return Rows(values.flatten(0, 1)[torch.from_numpy(at[chosen]).long()][None], places_of(parts))
