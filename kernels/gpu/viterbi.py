"""The best segmentation of every item of a batch: the same bits as on the CPU."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .. import fixed
from ..cpu.batch import Options
from ..edges import Tables
from ..lasting import sent
from ..resolve import Layout, Leaves
from ..results import Report, Segments
from .chunks import Batch, Chunks
from .inputs import infeasible, law_and_grammar, look, plan_for, quantised
from .tiles import FLOOR, NEVER
from .trace import Rows, TraceModel, trace

AT_ONCE = 1 << 18  # positions whose emissions are added up


def best(leaves: Leaves, layout: Layout, options: Options, memory: int | None) -> tuple[Tensor, Segments, Report]:
    """Return (B,) scores, the best segments of every item and the report."""
    looked = look(leaves, layout)
    x = law_and_grammar(looked.small, layout)
    plan = plan_for(x, layout, leaves.emissions.device, 1, options, memory)._replace(waves=1)
    batch, tables = quantised(leaves, layout, looked, x, plan.warps)
    chunks = Chunks(batch, plan, 1)
    chunks.settle()
    constants = chunks.constants(0)
    model = trace_model(batch, tables)
    closed = close(chunks, constants, model)
    dead = (closed.best <= FLOOR).tolist()
    if any(dead):
        raise infeasible(batch.leaves, batch.layout, dead.index(True))
    found = trace(model, left_behind(chunks, constants), closed.cursors, layout.origin)
    settled = chunks.settled
    report = Report(chunks.count, settled.rounds, settled.repaired, 0.0, 0.0, 0.0)
    segments = Segments(found.items, found.starts, found.ends, found.labels)
    return closed.scores, segments, report


def left_behind(chunks: Chunks, constants: Tensor) -> Rows:
    """Return what walks read of settled passes."""
    assert chunks.rows is not None
    batch, rows = chunks.batch, chunks.rows[0]
    return Rows(rows.alpha, rows.h, batch.emissions, batch.scores.flatten(0, 1), chunks.table, constants)


def trace_model(batch: Batch, tables: list[Tables]) -> TraceModel:
    """Return what walks read of a model; `tables`: every item's, at censored ends."""
    m = batch.model
    there = lambda a: sent(np.ascontiguousarray(fixed.integers(a)), batch.device)  # noqa: E731
    enter, leave, _ = tables[0] if tables else (None, None, None)
    both = None
    if enter is not None and leave is not None:
        both = there(np.stack([t.both for t in tables]))
    return TraceModel(
        m.law[: m.sizes.longest + 1],
        m.longest.long(),
        m.period.long(),
        m.arc_source[0],
        m.arc_score[0],
        m.arc_type[0],
        None if enter is None else there(enter),
        None if leave is None else there(leave),
        both,
    )


class Closed(NamedTuple):
    """Where the best paths end."""

    cursors: Tensor  # (B, 4) on the items' common scales (see `trace`)
    scores: Tensor  # (B,) in nats
    best: Tensor  # (B,) the same, on the last chunks' scales: forbidden where an item has no path


def close(chunks: Chunks, constants: Tensor, model: TraceModel) -> Closed:
    """Return where the best paths end; nothing waits for the device."""
    batch = chunks.batch
    last = chunks.at_ends(1)
    ends, shift = chunks.ends.at(last), constants[last]
    if batch.x.right == "exact":
        best, label = (ends.alpha + batch.ends[1]).max(1)  # the first of equals
        target = ends.alpha.gather(1, label[:, None])[:, 0] + shift
        way = torch.zeros_like(label)
    else:
        assert model.leave is not None
        offers = (ends.open + by_age(model.leave, batch)).amax(1)
        if model.both is not None:
            offers = torch.maximum(offers, spanning(batch, model.both) - shift[:, None])
        best, label = offers.max(1)
        target = best + shift
        way = torch.ones_like(label)
    cursors = torch.stack([label, batch.limits, target, way], 1)
    return Closed(cursors, (best + shift).double() * fixed.UNIT, best)


def by_age(leave: Tensor, batch: Batch) -> Tensor:
    """Return (A, C) the law of open segments by their age: folded rows count as the row of the tail they reduce to."""
    s = batch.model.sizes
    age = torch.arange(1, s.longest + s.folds + 1, device=leave.device)[:, None]
    K, p = batch.model.longest, batch.model.period
    row = torch.where(age <= K, age, age - p)
    law = leave.gather(0, row.long().clamp(0, len(leave) - 1))
    return torch.where(age <= K + p, law, NEVER)


def spanning(batch: Batch, both: Tensor) -> Tensor:
    """Return (B, C) scores of one segment over a whole item, NEVER where a cut forbids it."""
    B, T, _ = batch.emissions.shape
    forbidden = torch.iinfo(batch.emissions.dtype).min
    total, alive = torch.zeros_like(both), both > FLOOR
    step = max(1, AT_ONCE // B)
    for first in range(0, T, step):
        part = batch.emissions[:, first : first + step]
        at = torch.arange(first, first + part.shape[1], device=part.device)
        inside = (at < batch.limits[:, None])[:, :, None]
        alive &= ((part != forbidden) | ~inside).all(1)
        total += torch.where(inside, part, 0).sum(1, dtype=torch.int64)
    return torch.where(alive, both + total, NEVER)
