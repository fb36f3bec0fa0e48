"""The public operations: check, resolve, run item by item, hand back tensors shaped like the input."""

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .cpu import batch
from .errors import PotentialsError
from .expansion import concept_of, expand
from .potentials import Potentials
from .resolve import resolve
from .results import Marginals, Segments, Viterbi

WANTED = ("start", "end", "position", "transitions", "durations", "boundaries")


def viterbi(
    potentials: Potentials, *, threads: int | None = None, chunks: int | None = None, warm_up: int | None = None
) -> Viterbi:
    """Return the best segmentation of every item, exact and the same bits for every plan, in fixed-point scores."""
    model = expand(potentials)
    leaves, layout = resolve(model.potentials, model.censoring_checked)
    score, segments, report = batch.viterbi(leaves, layout, batch.Options(threads, chunks, warm_up))
    segments = segments._replace(label=model.label[segments.label])
    return Viterbi(score if layout.batched else score[0], segments, report)


def marginals(
    potentials: Potentials,
    *,
    want: Iterable[str] = ("start", "end", "position"),
    segments: Segments | None = None,
    concepts: Tensor | None = None,
    level: float = 0.95,
    threads: int | None = None,
    chunks: int | None = None,
    warm_up: int | None = None,
) -> Marginals:
    """Return posteriors of the kinds in `want`, and what is known about given segments.

    `concepts` (C,) names the concept of each label: posteriors of segments are summed over the labels of one concept.
    """
    want = set(want)
    if not want <= set(WANTED):
        raise PotentialsError(f"want: expected any of {', '.join(WANTED)}, got {', '.join(sorted(want - set(WANTED)))}")
    model = expand(potentials)
    leaves, layout = resolve(model.potentials, model.censoring_checked)
    labels = potentials.emissions.shape[-1]
    asked = None
    if segments is not None:
        check_segments(segments, layout.lengths, labels)
        # any label of the concept stands for it
        label = segments.label.cpu().long() * (model.label.numel() // labels)
        asked = batch.Asked(segments, label.numpy(), concept_of(model.label, concepts), level)
    found = batch.marginals(leaves, layout, batch.Options(threads, chunks, warm_up), want, model.label, labels, asked)
    if layout.batched:
        return found
    strip = {name: getattr(found, name) for name in Marginals._fields if name not in ("calls", "report", "boundaries")}
    boundaries = None if found.boundaries is None else tuple(x[0] for x in found.boundaries)
    strip = {name: None if x is None else x[0] for name, x in strip.items()}
    return Marginals(**strip, boundaries=boundaries, calls=found.calls, report=found.report)


def sample(
    potentials: Potentials, n: int, seed: int = 0, *, threads: int | None = None, chunks: int | None = None, warm_up: int | None = None
) -> list[Segments]:
    """Return n exact samples from the posterior over segmentations; a seed gives the same ones on every plan."""
    model = expand(potentials)
    leaves, layout = resolve(model.potentials, model.censoring_checked)
    draws = batch.sample(leaves, layout, batch.Options(threads, chunks, warm_up), n, seed)
    return [draw._replace(label=model.label[draw.label]) for draw in draws]


def check_segments(segments: Segments, lengths: NDArray, labels: int) -> None:
    """Raise at the first segment that lies outside its sequence or has no such label."""
    item, start, end, label = (x.cpu().numpy() for x in segments)
    for name, x in zip(Segments._fields, segments, strict=True):
        if x.shape != segments.item.shape or x.ndim != 1:
            raise PotentialsError(f"segments.{name}: expected shape {tuple(segments.item.shape)}, got {tuple(x.shape)}")
    known = (item >= 0) & (item < len(lengths))
    fits = known & (start >= 0) & (start < end) & (end <= lengths[np.where(known, item, 0)])
    bad = ~(fits & (label >= 0) & (label < labels))
    if bad.any():
        i = int(bad.argmax())
        raise PotentialsError(
            f"segments: expected 0 <= start < end <= length and a label below {labels}, got row {i}: "
            f"item {item[i]}, start {start[i]}, end {end[i]}, label {label[i]}"
        )
