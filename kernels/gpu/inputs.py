"""From resolved leaves to what the kernels read: a batch in the log semiring, or in fixed point."""

from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .. import fixed
from ..cpu.batch import Options
from ..cpu.directions import Direction
from ..edges import Tables
from ..errors import InfeasibleError
from ..lasting import constant
from ..resolve import Layout, Leaves, Sequence, sequence
from .chunks import Batch
from .model import Frame, Numbers, frame_of, model_of
from .plan import Plan, plan
from .quantise import bounds, is_narrow, quantised_emissions
from .tiles import LOG2E, NEVER

PLENTY = 1 << 50
SMALL = 1 << 28  # bytes that are there without asking: asking takes as long as a small batch
RESERVE = 0.9  # of the free memory is planned for; the allocator needs some of its own


class Looked(NamedTuple):
    """What the host knows of the numbers on a device: all but the input itself, fetched in one piece."""

    small: Leaves
    sums: NDArray  # (B,) over positions, of the largest finite absolute emission
    tops: NDArray  # (B,) the largest of these
    scores: NDArray  # (B,) the largest finite absolute boundary score
    forbidden: tuple[bool, bool]  # whether any emission is -inf, and whether any boundary score


def look(leaves: Leaves, layout: Layout) -> Looked:
    """Return what is to be known before a batch is run; the one time that it waits for the device."""
    small = leaves._replace(emissions=leaves.emissions[:, :0], scores=leaves.scores[:, :0])
    bounds_ = input_bounds(leaves, constant(layout.lengths, leaves.emissions.device))
    flat = torch.cat([x.detach().reshape(-1) for x in (*small, bounds_)]).cpu()  # float64, as the durations are
    *parts, found = flat.split([x.numel() for x in (*small, bounds_)])
    (sums, tops, dead), (_, scores, none) = found.view(bounds_.shape).numpy()
    return Looked(
        Leaves(*(part.view(x.shape) for part, x in zip(parts, small, strict=True))),
        sums, tops, scores, (bool(dead.any()), bool(none.any())),
    )  # fmt: skip


def input_bounds(leaves: Leaves, lengths: Tensor) -> Tensor:
    """Return (2, 3, B) float64 `bounds` of emissions and boundary scores."""
    found = bounds(leaves.emissions.detach(), lengths)
    if not leaves.scores.shape[-1]:
        return torch.stack([found, torch.zeros_like(found)])
    return torch.stack([found, bounds(leaves.scores.detach(), lengths + 1)])


def law_and_grammar(small: Leaves, layout: Layout, item: int = 0, length: int = 0) -> Sequence:
    """Return an item of `bare` leaves: all that edges, laws and grammars need."""
    return sequence(small, layout, item)._replace(emissions=np.empty((length, 0)))


def plan_for(
    x: Sequence, layout: Layout, device: torch.device, ways: int, options: Options, memory: int | None
) -> Plan:
    """Return the schedule of a batch on a device; `memory` bytes, all that is free by default."""
    tails = x.tail > -np.inf
    slope = float(-(x.tail[tails] / x.period[tails]).max()) if tails.any() else 0.0
    multiprocessors = _multiprocessors(device) if device.type == "cuda" else 8
    folds = int(x.period[tails].max(initial=0))
    sizes = tuple(int(n) for n in layout.lengths), len(x.longest), int(x.longest.max()), folds, slope, ways
    found = plan(*sizes, multiprocessors, PLENTY if memory is None else memory, options.chunks, options.warm_up)
    if memory is None and device.type == "cuda" and found.bytes > SMALL:
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        memory = int(RESERVE * (torch.cuda.mem_get_info(device)[0] + cached))
        found = plan(*sizes, multiprocessors, memory, options.chunks, options.warm_up)
    return found


@cache
def _multiprocessors(device: torch.device) -> int:
    return torch.cuda.get_device_properties(device).multi_processor_count


class Given(NamedTuple):
    """A batch for posteriors, and how it is to be run."""

    small: Leaves  # all but the input, on the host
    plan: Plan
    batch: Batch


def given(leaves: Leaves, layout: Layout, options: Options, memory: int | None) -> Given:
    """Return what posteriors of a batch are worked out from."""
    looked = look(leaves, layout)
    x = law_and_grammar(looked.small, layout)
    plan = plan_for(x, layout, leaves.emissions.device, 2, options, memory)
    fixed.check_magnitude(x, looked.sums.max(), looked.scores.max(), int(layout.lengths.max()))
    frame = frame_of(x, 32 * plan.warps, leaves.emissions.device)
    return Given(looked.small, plan, log_batch(leaves, layout, x, frame, looked.forbidden))


def log_batch(leaves: Leaves, layout: Layout, x: Sequence, frame: Frame, forbidden: tuple[bool, bool]) -> Batch:
    """Return a batch for posteriors; nothing waits for the device."""
    there = Leaves(*(x.detach() for x in leaves))
    model = model_of(frame, Numbers(there.durations, there.tail, there.transitions, fixed=False))
    begin, finish = ((x * LOG2E).clamp(min=float(NEVER)).contiguous() for x in (there.begin, there.finish))
    limits = constant(layout.lengths, there.emissions.device)
    emissions, evidence = there.emissions.contiguous(), there.scores.contiguous()
    return Batch(model, leaves, layout, x, emissions, evidence, limits, (begin, finish), forbidden)


def quantised(leaves: Leaves, layout: Layout, looked: Looked, x: Sequence, warps: int) -> tuple[Batch, list[Tables]]:
    """Return a batch for the best segmentations, and every item's edge tables on the host."""
    xq, tables = fixed.quantised(x)
    of_length = dict.fromkeys(layout.lengths.tolist(), tables)
    if (x.left, x.right) == ("censored", "censored"):
        of_length = {n: fixed.quantised(x._replace(emissions=np.empty((n, 0))))[1] for n in of_length}
    for length, own in of_length.items():
        mine = layout.lengths == length
        fixed.check_range(x, xq, own, looked.sums[mine], looked.scores[mine], length)
    frame = frame_of(x, 32 * warps, leaves.emissions.device)
    narrow = is_narrow(highest(looked, x))
    batch = fixed_batch(leaves, layout, x, frame, looked.forbidden, narrow, tables.enter)
    return batch, [of_length[n] for n in layout.lengths.tolist()]


def highest(looked: Looked, x: Sequence) -> float:
    """Return what no finite emission is larger than, its slope included, in absolute value."""
    return float(looked.tops.max()) + float(np.abs(fixed.slopes(x)).max())


def fixed_batch(
    leaves: Leaves,
    layout: Layout,
    x: Sequence,
    frame: Frame,
    forbidden: tuple[bool, bool],
    narrow: bool,
    enter: NDArray | None = None,
) -> Batch:
    """Return a batch in fixed point; nothing waits for the device.

    `narrow`: no emission, its slope included, is too large for 32 bits; `enter`: the table of a censored left end.
    """
    there = Leaves(*(x.detach() for x in leaves))
    slopes = torch.where(frame.tailed, there.tail / constant(layout.period, there.tail.device), 0.0)
    lengths = torch.arange(len(there.durations), device=slopes.device)[:, None]
    durations, transitions = in_units(there.durations - lengths * slopes), in_units(there.transitions)
    model = model_of(frame, Numbers(durations, torch.zeros_like(there.tail), transitions, fixed=True), enter)
    begin, finish, scores = (whole(in_units(x.double())) for x in (there.begin, there.finish, there.scores))
    limits = constant(layout.lengths, slopes.device)
    emissions = quantised_emissions(there.emissions, slopes, layout.origin, limits, narrow)
    return Batch(model, leaves, layout, x, emissions, scores, limits, (begin, finish), forbidden)


def in_units(scores: Tensor) -> Tensor:
    """Return float64 scores in fixed-point units (-inf stays), as `fixed.units` does."""
    return (scores / fixed.UNIT).round()


def whole(units: Tensor) -> Tensor:
    """Return scores in units as the kernels take them."""
    return units.clamp(min=float(fixed.NEVER)).long().contiguous()


def infeasible(leaves: Leaves, layout: Layout, item: int) -> InfeasibleError:
    """Return the error for an item without any segmentation: it names the first boundary that no state reaches."""
    return InfeasibleError(item, Direction(sequence(leaves, layout, item)).unreached())
