"""The operations on a batch on a GPU: what `cpu/batch.py` gives, under the same names."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..cpu.batch import Asked, Options, table
from ..cpu.calls import Request, intervals
from ..cpu.sample import draw_samples
from ..cpu.threads import pool
from ..devices import moved, within_memory
from ..expansion import contract
from ..lasting import sent
from ..resolve import Gradients, Layout, Leaves, sequence
from ..results import Calls, Marginals, Report, Segments
from .calls import Survey
from .fetched import Fetched
from .inputs import Given, given
from .smoother import Smoother, check
from .viterbi import best


@within_memory
def viterbi(
    leaves: Leaves, layout: Layout, options: Options, memory: int | None = None
) -> tuple[Tensor, Segments, Report]:
    """Return (B,) scores, the best segments of every item and the report."""
    return best(leaves, layout, options, memory)


@within_memory
def log_partitions(leaves: Leaves, layout: Layout, options: Options, memory: int | None = None) -> Tensor:
    """Return (B,) log partitions."""
    smoother = Smoother(given(leaves, layout, options, memory), options)
    smoother.check()
    return smoother.log_partition


@within_memory
def gradients(
    leaves: Leaves, layout: Layout, options: Options, needs: tuple[bool, ...], memory: int | None = None
) -> tuple[Tensor, Gradients]:
    """Return (B,) log partitions and their gradients."""
    case = given(leaves, layout, options, memory)
    z, alive, *found = gradients_of(case, options, needs)
    check(case.batch, alive)
    return z, Gradients(*found)


def gradients_of(case: Given, options: Options, needs: tuple[bool, ...]) -> tuple[Any, ...]:
    """Return log partitions, whether items have any segmentation, and the gradients.

    Between exact ends and in one piece this asks for nothing but what runs on the device (see `steps`).
    """
    need = dict(zip(Leaves._fields, needs, strict=True))
    smoother = Smoother(case, options)
    batch = smoother.batch
    dtype = torch.float64 if batch.emissions.dtype == torch.float64 else torch.float32
    outputs = smoother.outputs({"position": need["emissions"], "kinds": need["scores"]}, dtype)
    sums = smoother.combine(outputs, need["transitions"], need["durations"] or need["tail"])
    begin = finish = first = None
    if need["begin"] and batch.x.left == "exact":
        begin = smoother.beginning()
    if need["finish"] and batch.x.right == "exact":
        finish = smoother.finishing()
    if need["first"] and batch.x.left == "censored":
        first = smoother.first()
    found = outputs.position, sums.durations, sums.tail_steps, sums.transitions, outputs.kinds, first, begin, finish
    return smoother.log_partition, smoother.alive, *found


@within_memory
def sample(
    leaves: Leaves, layout: Layout, options: Options, n: int, seed: int, memory: int | None = None
) -> list[Segments]:
    """Return n samples of every item, each sample one table."""
    smoother = Smoother(given(leaves, layout, options, memory), options)
    smoother.check()
    items = (fetched(smoother, leaves, layout, options, b) for b in range(len(layout.lengths)))
    # items draw from seeds of their own, the first from the seed itself
    found = [draw_samples(x.chunks, x.x, n, seed + b, x.pool) for b, x in enumerate(items)]
    draws = [table([(b, *samples[i]) for b, samples in enumerate(found)]) for i in range(n)]
    return moved(draws, leaves.emissions.device)


def fetched(smoother: Smoother, leaves: Leaves, layout: Layout, options: Options, item: int) -> Any:
    """Return an item's passes as the CPU's code reads them."""
    return Fetched(smoother, sequence(leaves, layout, item), item, pool(options.threads))


def walk(
    calls: Calls, survey: Survey, asked: Asked, smoother: Smoother, leaves: Leaves, layout: Layout, options: Options
) -> None:
    """Put in the intervals of calls that a survey left unfinished: the few that reach far beyond a group of chunks."""
    left = torch.cat(survey.unfinished).cpu().numpy() if survey.unfinished else np.empty(0, np.int64)
    item, start, end, _ = (x.numpy()[left] for x in asked.segments)
    for b in np.unique(item).tolist():
        mine = item == b
        request = Request(start[mine], end[mine], asked.label[left[mine]], asked.concepts, asked.level)
        found = intervals(fetched(smoother, leaves, layout, options, b), request)
        for field, x in zip(calls[4:], found, strict=True):
            field[sent(left[mine], field.device)] = sent(x, field.device)


@within_memory
def marginals(
    leaves: Leaves,
    layout: Layout,
    options: Options,
    want: set[str],
    label: Tensor,
    labels: int,
    asked: Asked | None,
    memory: int | None = None,
) -> Marginals:
    """Return the posteriors of every item; `label` maps the plain model's labels to the `labels` of the user."""
    B, _T, L = leaves.emissions.shape
    dtype = torch.float64 if leaves.emissions.dtype == torch.float64 else torch.float32
    by_duration = "transitions" in want and L != labels
    smoother = Smoother(given(leaves, layout, options, memory), options, calls=asked is not None)
    wanted = {name: name in want for name in ("start", "end", "position")} | {"kinds": "boundaries" in want}
    outputs = smoother.outputs(wanted, dtype)
    survey = None if asked is None else smoother.survey(asked)
    changes, durations = "transitions" in want and not by_duration, "durations" in want or by_duration
    sums = smoother.combine(outputs, changes, durations, survey)
    smoother.check()
    calls = None
    if asked is not None and survey is not None:
        calls = survey.result()
        walk(calls, survey, asked, smoother, leaves, layout, options)
    transitions = sums.transitions
    if by_duration:  # durations of "c entered from c'", but the first segments' own labels
        assert sums.durations is not None
        transitions = sums.durations.reshape(B, -1, labels, labels + 1)[..., :labels].transpose(2, 3)
    own = lambda x: x if L == labels or x is None else contract(x, label.to(x.device), labels)  # noqa: E731
    start, end = outputs.start, outputs.end
    # what begins (ends) at a censored end began (ends) somewhere beyond it
    if start is not None and layout.left == "censored":
        start[:, 0] = 0
    if end is not None and layout.right == "censored":
        end[torch.arange(B), torch.from_numpy(layout.lengths)] = 0
    split = np.diff(layout.columns).tolist()
    return Marginals(
        log_partition=smoother.log_partition,
        start=own(start),
        end=own(end),
        position=own(outputs.position),
        transitions=transitions if "transitions" in want else None,
        durations=own(sums.durations) if "durations" in want else None,
        tail_steps=own(sums.tail_steps) if "durations" in want else None,
        boundaries=None if outputs.kinds is None else outputs.kinds.split(split, -1),
        calls=calls,
        report=smoother.report(sums.closing),
    )
