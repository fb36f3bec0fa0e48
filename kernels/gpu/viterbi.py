"""The best segmentation of every item of a batch: the same bits as on the CPU."""

import numpy as np
import torch
from torch import Tensor

from .. import fixed
from ..cpu.batch import Options
from ..edges import Tables
from ..resolve import Layout, Leaves
from ..results import Report, Segments
from .chunks import Batch, Chunks
from .inputs import bare, fixed_batch, infeasible, law_and_grammar, plan_for
from .pieces import sent
from .tiles import FLOOR, NEVER
from .trace import Rows, TraceModel, trace

AT_ONCE = 1 << 18  # positions whose emissions are added up


def best(leaves: Leaves, layout: Layout, options: Options, memory: int | None) -> tuple[Tensor, Segments, Report]:
    """Return (B,) scores, the best segments of every item and the report."""
    small = bare(leaves)
    x = law_and_grammar(small, layout)
    plan = plan_for(x, layout, leaves.emissions.device, 1, options, memory)._replace(waves=1)
    batch, tables = fixed_batch(leaves, small, layout, x, plan.warps)
    chunks = Chunks(batch, plan, 1)
    chunks.settle()
    constants = chunks.constants(0)
    model = trace_model(batch, tables)
    closing, scores = close(chunks, constants, model)
    assert chunks.rows is not None
    rows = chunks.rows[0]
    found = trace(
        model,
        Rows(rows.alpha, rows.h, batch.emissions, batch.scores.flatten(0, 1), chunks.table, constants),
        closing,
        layout.origin,
    )
    settled = chunks.settled
    report = Report(chunks.count, settled.rounds, settled.repaired, 0.0, 0.0, 0.0)
    segments = Segments(found.items, found.starts, found.ends, found.labels)
    return scores, segments, report


def trace_model(batch: Batch, tables: list[Tables]) -> TraceModel:
    """Return what walks read of a model."""
    x, m, device = batch.x, batch.model, batch.device
    whole = lambda a: sent(np.ascontiguousarray(fixed.integers(a)), device)  # noqa: E731
    enter, leave, _ = tables[0]
    both = None
    if enter is not None and leave is not None:
        both = whole(np.stack([t.both for t in tables]))
    return TraceModel(
        whole(x.durations),
        m.longest.long(),
        m.period.long(),
        m.arc_source[0],
        m.arc_score[0],
        m.arc_type[0],
        None if enter is None else whole(enter),
        None if leave is None else whole(leave),
        both,
    )


def close(chunks: Chunks, constants: Tensor, model: TraceModel) -> tuple[Tensor, Tensor]:
    """Return (B, 4) cursors of the best ends on the items' common scales (see `trace`), and (B,) scores in nats."""
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
    dead = (best <= FLOOR).tolist()
    if any(dead):
        raise infeasible(batch.leaves, batch.layout, dead.index(True))
    return torch.stack([label, batch.limits, target, way], 1), (best + shift).double() * fixed.UNIT


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
