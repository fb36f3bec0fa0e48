"""The operations on a batch on a GPU: what `cpu/batch.py` gives, under the same names."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..cpu import batch as cpu
from ..cpu.batch import Asked, Options
from ..devices import moved, say_once, within_memory
from ..edges import virtual_phases
from ..expansion import contract
from ..resolve import Layout, Leaves
from ..results import Marginals, Report, Segments
from .smoother import Smoother
from .viterbi import best


class Gradients(NamedTuple):
    """The derivative of every item's log Z for each leaf, on the device (see `resolve.Leaves`)."""

    emissions: Tensor  # (B, T, C) position posteriors
    durations: Tensor  # (B, K + 1, C)
    tail: Tensor  # (B, C)
    transitions: Tensor  # (B, P, C, C)
    scores: Tensor  # (B, T + 1, n)
    first: Tensor  # (B, P, C)
    begin: Tensor  # (B, C)
    finish: Tensor  # (B, C)


@within_memory
def viterbi(
    leaves: Leaves, layout: Layout, options: Options, memory: int | None = None
) -> tuple[Tensor, Segments, Report]:
    """Return (B,) scores, the best segments of every item and the report."""
    return best(leaves, layout, options, memory)


@within_memory
def log_partitions(leaves: Leaves, layout: Layout, options: Options, memory: int | None = None) -> Tensor:
    """Return (B,) log partitions."""
    smoother = Smoother(leaves, layout, options, memory)
    smoother.check()
    return smoother.log_partition


@within_memory
def gradients(
    leaves: Leaves, layout: Layout, options: Options, needs: tuple[bool, ...], memory: int | None = None
) -> tuple[Tensor, Gradients]:
    """Return (B,) log partitions and their gradients (zeros where not needed)."""
    need = dict(zip(Leaves._fields, needs, strict=True))
    smoother = Smoother(leaves, layout, options, memory)
    dtype = torch.float64 if leaves.emissions.dtype == torch.float64 else torch.float32
    wanted = {"position": True, "kinds": need["scores"]}
    outputs = smoother.outputs(wanted, dtype)
    transitions, counts, steps, _ = smoother.combine(outputs, need["transitions"], need["durations"] or need["tail"])
    smoother.check()
    B, device = len(layout.lengths), leaves.emissions.device
    begin, finish = torch.zeros_like(leaves.begin), torch.zeros_like(leaves.finish)
    first = torch.zeros(B, *leaves.first.shape, dtype=torch.float64, device=device)
    c, x = smoother.chunks, smoother.batch.x
    if x.left == "exact":
        begin = smoother.shares[torch.from_numpy(np.flatnonzero(c.outer[0])).to(device)]
    elif need["first"]:
        for item in range(B):
            entry, ring, folded = smoother.edge_rows(item)
            own = virtual_phases(ring, folded, x.first, x.longest, x.tail, x.period, x.origin)
            own[x.origin % len(own)] += entry
            first[item] = torch.from_numpy(own).to(device)
    if x.right == "exact":
        last = torch.from_numpy(np.flatnonzero(c.outer[1])).to(device)
        finish = smoother.finishing(last)
    kinds = outputs.kinds
    if kinds is None:
        kinds = torch.zeros_like(leaves.scores, dtype=dtype)
    assert outputs.position is not None
    return smoother.log_partition, Gradients(outputs.position, counts, steps, transitions, kinds, first, begin, finish)


def weigh(items: Gradients, weight: Tensor, leaves: Leaves) -> tuple[Tensor, ...]:
    """Return the items' gradients as tensors like the leaves, each item times its weight."""
    out = []
    for field, leaf in zip(Leaves._fields, leaves, strict=True):
        x = getattr(items, field)
        w = weight.detach().to(x.dtype).view(-1, *[1] * (x.ndim - 1))
        x = x * w
        if field in ("durations", "tail", "transitions", "first"):
            x = x.sum(0)
        out.append(x.to(leaf.dtype))
    return tuple(out)


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
    calls = None
    if asked is not None:
        say_once(f"no kernels for calls on {leaves.emissions.device.type}")
        there = cpu.marginals(moved(leaves, "cpu"), layout, options, set(), label, labels, asked)
        calls = moved(there.calls, leaves.emissions.device)
    smoother = Smoother(leaves, layout, options, memory)
    wanted = {name: name in want for name in ("start", "end", "position")} | {"kinds": "boundaries" in want}
    outputs = smoother.outputs(wanted, dtype)
    transitions, counts, steps, closing = smoother.combine(
        outputs, "transitions" in want and not by_duration, "durations" in want or by_duration
    )
    smoother.check()
    if by_duration:  # durations of "c entered from c'", but the first segments' own labels
        transitions = counts.reshape(B, -1, labels, labels + 1)[..., :labels].transpose(2, 3)
    own = lambda x: x if L == labels else contract(x, label.to(x.device), labels)  # noqa: E731
    start, end = outputs.start, outputs.end
    # what begins (ends) at a censored end began (ends) somewhere beyond it
    if start is not None and layout.left == "censored":
        start[:, 0] = 0
    if end is not None and layout.right == "censored":
        end[torch.arange(B), torch.from_numpy(layout.lengths)] = 0
    split = np.diff(layout.columns).tolist()
    return Marginals(
        log_partition=smoother.log_partition,
        start=None if start is None else own(start),
        end=None if end is None else own(end),
        position=None if outputs.position is None else own(outputs.position),
        transitions=transitions if "transitions" in want else None,
        durations=own(counts) if "durations" in want else None,
        tail_steps=own(steps) if "durations" in want else None,
        boundaries=None if outputs.kinds is None else outputs.kinds.split(split, -1),
        calls=calls,
        report=smoother.report(closing),
    )
