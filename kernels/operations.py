"""The public operations: check, resolve, run item by item, hand back tensors shaped like the input."""

from collections.abc import Iterable

import torch
from torch import Tensor

from . import checks
from .cpu import batch
from .devices import backend, on_cpu, on_device
from .expansion import concept_of, expand
from .potentials import Potentials
from .resolve import resolve
from .results import KBest, Marginals, Segments, Viterbi

WANTED = ("start", "end", "position", "transitions", "durations", "boundaries")


@on_device
def viterbi(
    potentials: Potentials, *, threads: int | None = None, chunks: int | None = None, warm_up: int | None = None
) -> Viterbi:
    """Return the best segmentation of every item, exact and the same bits for every plan, in fixed-point scores.

    >>> emissions = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
    >>> best = viterbi(Potentials(emissions, torch.zeros(4, 2), torch.full((2, 2), -0.5)))
    >>> best.score, best.segments.end, best.segments.label
    (tensor(3.5000, dtype=torch.float64), tensor([2, 3]), tensor([0, 1]))
    """
    how = batch.options(threads, chunks, warm_up)
    model = expand(potentials)
    leaves, layout = resolve(model.potentials, checked=True)
    score, segments, report = backend(leaves.emissions.device).viterbi(leaves, layout, how)
    segments = segments._replace(label=model.label.to(score.device)[segments.label])
    return Viterbi(score if layout.batched else score[0], segments, report)


@on_cpu
def k_best(
    potentials: Potentials, k: int, *, threads: int | None = None, chunks: int | None = None, warm_up: int | None = None
) -> KBest:
    """Return the k best segmentations of every item, best first, exact and with ties broken as `viterbi` does.

    Where an item has fewer, the scores of those that are not there are -inf, and their tables have none of its rows.

    >>> emissions = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
    >>> k_best(Potentials(emissions, torch.zeros(4, 2), torch.full((2, 2), -0.5)), 2).score
    tensor([3.5000, 3.0000], dtype=torch.float64)
    """
    checks.check_integer("k", k, 1)
    how = batch.options(threads, chunks, warm_up)
    model = expand(potentials)
    leaves, layout = resolve(model.potentials, checked=True)
    score, segments, report = batch.k_best(leaves, layout, how, k)
    named = [s._replace(label=model.label[s.label]) for s in segments]
    return KBest(score if layout.batched else score[0], named, report)


@on_device
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

    >>> p = Potentials(torch.zeros(4, 2), torch.zeros(3, 2), torch.zeros(2, 2))
    >>> marginals(p).position[0]
    tensor([0.5000, 0.5000])
    """
    want = checks.check_want(want, WANTED)
    checks.check_level(level)
    how = batch.options(threads, chunks, warm_up)
    model = expand(potentials)
    leaves, layout = resolve(model.potentials, checked=True)
    labels = potentials.emissions.shape[-1]
    checks.check_concepts(concepts, labels)
    asked = None
    if segments is not None:
        checks.check_segments(segments, torch.from_numpy(layout.lengths), labels)
        segments = Segments(*(x.cpu().long() for x in segments))
        # any label of the concept stands for it
        label = segments.label * (model.label.numel() // labels)
        asked = batch.Asked(segments, label.numpy(), concept_of(model.label, concepts), level)
    found = backend(leaves.emissions.device).marginals(leaves, layout, how, want, model.label, labels, asked)
    if layout.batched:
        return found
    strip = {name: getattr(found, name) for name in Marginals._fields if name not in ("calls", "report", "boundaries")}
    boundaries = None if found.boundaries is None else tuple(x[0] for x in found.boundaries)
    strip = {name: None if x is None else x[0] for name, x in strip.items()}
    return Marginals(**strip, boundaries=boundaries, calls=found.calls, report=found.report)


@on_device
def sample(
    potentials: Potentials,
    n: int,
    seed: int = 0,
    *,
    threads: int | None = None,
    chunks: int | None = None,
    warm_up: int | None = None,
) -> list[Segments]:
    """Return n exact samples from the posterior over segmentations; a seed gives the same ones on every plan.

    >>> p = Potentials(torch.zeros(4, 2), torch.zeros(3, 2), torch.zeros(2, 2))
    >>> [int(path.end[-1]) for path in sample(p, 3)]
    [4, 4, 4]
    """
    checks.check_integer("n", n, 1)
    checks.check_integer("seed", seed, 0)
    how = batch.options(threads, chunks, warm_up)
    model = expand(potentials)
    leaves, layout = resolve(model.potentials, checked=True)
    draws = backend(leaves.emissions.device).sample(leaves, layout, how, n, seed)
    return [draw._replace(label=model.label.to(draw.label.device)[draw.label]) for draw in draws]
