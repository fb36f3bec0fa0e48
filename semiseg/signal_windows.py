"""Windows of recordings to learn from, with what is known about them."""

from collections import defaultdict
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .augmentation import Augment, changed, lost_stretch, moved, reshaped
from .errors import SemisegError
from .resampling import positions, ratio_of, resampled
from .scaling import scale_of
from .training import UNKNOWN, Recipe

FINEST = 12  # denominator of a stretched rate: few sets of weights a window
LOOKS = 20  # for a window with something to learn from


class Lead(NamedTuple):
    """One channel of a recording, annotated."""

    name: str
    record: str
    values: NDArray  # (T,) float32, NaN where nothing is known
    rate: float | None
    rows: NDArray  # (N, 3) int64 start, end, name in samples, in order; UNKNOWN: nothing is known there


class Batch(NamedTuple):
    """Windows."""

    values: Tensor  # (B, T) float32, scaled, NaN where nothing is known
    labels: Tensor  # (B, T) int64: name, background, or UNKNOWN
    path: None = None  # unannotated ends leave more than one

    @property
    def inputs(self) -> tuple[Tensor]:
        """What the model takes."""
        return (self.values,)


def labelled(rows: NDArray, length: int, samples: float, background: int) -> NDArray:
    """Return (length,) labels of positions of so many samples: unknown before the first row and behind the last."""
    out = np.full(length, UNKNOWN, np.int64)
    if len(rows):
        edges = np.round(rows[:, :2] / samples).astype(np.int64)
        edges[1:, 0] += (rows[1:, 2] == rows[:-1, 2]) & (edges[1:, 0] <= edges[:-1, 1])  # two, not one that is longer
        edges[-1, 1] += 1  # what was last has ended
        edges = np.clip(edges, 0, length)
        out[edges[0, 0] : edges[-1, 1]] = background
        edges[-1, 1] -= edges[-1, 1] < length
        for (start, end), name in zip(edges, rows[:, 2], strict=True):
            out[start:end] = name
    return out


def draw(
    leads: list[Lead], rate: float | None, background: int, recipe: Recipe, augment: Augment, step: int, rank: int = 0
) -> Batch:
    """Return the windows of a step: of any lead, as long, anywhere in it, at the model's rate."""
    rng = np.random.default_rng([recipe.seed, step, rank])
    if not leads:
        raise SemisegError("training: no annotated recording to learn from")
    beside = neighbours(leads) if augment.mix else {}
    found = [window(leads, beside, rate, background, recipe.window, augment, rng) for _ in range(recipe.batch)]
    values, labels = (torch.from_numpy(np.stack(x)) for x in zip(*found, strict=True))
    return Batch(values, labels)


def neighbours(leads: list[Lead]) -> dict[str, list[Lead]]:
    """Return the channels of every recording."""
    out = defaultdict(list)
    for lead in leads:
        out[lead.record].append(lead)
    return out


def mixed(lead: Lead, others: list[Lead], most: float, rng: np.random.Generator) -> NDArray:
    """Return a channel's values with something of another's, of either sign, as an electrode elsewhere has it.

    Its labels stay true only where the other one shows no kind of wave that it has not.
    """
    names = set(lead.rows[:, 2].tolist())
    fit = [x for x in others if x is not lead and len(x.values) == len(lead.values) and x.rate == lead.rate
           and names >= set(x.rows[:, 2].tolist())]  # fmt: skip
    if not fit:
        return lead.values
    other = fit[int(rng.integers(len(fit)))].values
    share = rng.uniform(-most, most)
    spread = float(np.nanstd(other))
    if not spread > 0:
        return lead.values
    return lead.values + np.float32(share * np.nanstd(lead.values) / spread) * other


def window(
    leads: list[Lead],
    beside: dict[str, list[Lead]],
    rate: float | None,
    background: int,
    length: int,
    augment: Augment,
    rng: np.random.Generator,
) -> tuple[NDArray, NDArray]:
    """Return (length,) values and labels; what a recording does not fill is unknown."""
    for _ in range(LOOKS):
        lead = leads[int(rng.integers(len(leads)))]
        tempo = float(np.exp(rng.uniform(-augment.stretch, augment.stretch)))
        ratio = ratio_of((lead.rate or 1.0) * tempo, rate or 1.0, FINEST)
        samples = float(ratio)
        span = min(len(lead.values), int(length * samples))
        at = int(rng.integers(len(lead.values) - span + 1))
        if len(lead.rows) and lead.rows[0, 0] < at + span and lead.rows[-1, 1] > at:
            break
    own, rows = lead.values, lead.rows - np.array([at, at, 0])
    if augment.mix and rng.random() < augment.mix:
        own = mixed(lead, beside[lead.record], augment.most, rng)
    x, holes = filled(own[at : at + span])
    known_rate = (rate or 1.0) * samples  # of the samples, as the model counts seconds
    scale = scale_of(partial(stretch, x), span, known_rate)
    x = scale.apply(x) if scale.spread > 0 else np.zeros_like(x)
    if len(rows) and (augment.waves or augment.turned):
        x = reshaped(x, rows, known_rate, augment, rng)
    if augment.jitter:
        rows = moved(rows, augment.jitter * known_rate, rng)
    if rate is not None and rng.random() < augment.coarse:
        between = np.exp(rng.uniform(np.log(augment.lowest), np.log(augment.highest)))
        down = ratio_of(known_rate, between, FINEST)
        x = resampled(partial(stretch, x), len(x), down, 0, positions(len(x), down))
        up = ratio / down
    else:
        up = ratio
    x = changed(x, rate * float(up) if rate else 1.0, augment, rng)
    n = min(length, positions(len(x), up))
    values = np.full(length, np.nan, np.float32)
    values[:n] = resampled(partial(stretch, x), len(x), up, 0, n)
    if holes is not None:
        middle = np.minimum(((np.arange(n) + 0.5) * samples).astype(np.int64), span - 1)
        values[:n][holes[middle]] = np.nan
    labels = np.full(length, UNKNOWN, np.int64)
    labels[:n] = labelled(rows, n, samples, background)
    off = lost_stretch(n, rate or 1.0, augment, rng)
    values[off] = np.nan
    labels[np.isnan(values)] = UNKNOWN
    return values, labels


def stretch(x: NDArray, first: int, last: int) -> NDArray:
    """Return a stretch of values."""
    return x[first:last]


def filled(x: NDArray) -> tuple[NDArray, NDArray | None]:
    """Return values with straight lines over what is missing, and where that was; None: nowhere."""
    holes = np.isnan(x)
    if not holes.any():
        return x, None
    if holes.all():
        return np.zeros_like(x), holes
    at = np.arange(len(x))
    return np.interp(at, at[~holes], x[~holes]).astype(np.float32), holes
