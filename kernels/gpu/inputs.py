"""From resolved leaves to what the kernels read: a batch in the log semiring, or in fixed point."""

from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .. import fixed
from ..cpu.batch import Options
from ..cpu.directions import Direction
from ..edges import Tables
from ..errors import InfeasibleError
from ..resolve import Layout, Leaves, Sequence, sequence
from .chunks import Batch
from .model import model_of, packed
from .plan import Plan, plan
from .quantise import bounds, quantised_emissions
from .tiles import LOG2E, NEVER

PLENTY = 1 << 50
SMALL = 1 << 28  # bytes that are there without asking: asking takes as long as a small batch
RESERVE = 0.9  # of the free memory is planned for; the allocator needs some of its own


def bare(leaves: Leaves) -> Leaves:
    """Return all but the input on the host, fetched in one piece."""
    small = leaves._replace(emissions=leaves.emissions[:, :0], scores=leaves.scores[:, :0])
    flat = torch.cat([x.detach().reshape(-1) for x in small]).cpu()  # float64, as the durations are
    parts = flat.split([x.numel() for x in small])
    return Leaves(*(part.view(x.shape) for part, x in zip(parts, small, strict=True)))


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


class Measured:
    """How large the input is, item by item: asked for at once, waited for when it is read."""

    def __init__(self, leaves: Leaves, lengths: Tensor):
        found = [bounds(leaves.emissions.detach(), lengths)]
        if leaves.scores.shape[-1]:
            found.append(bounds(leaves.scores.detach(), lengths + 1))
        self.found = torch.stack(found)

    def read(self) -> tuple[list[float], list[float], list[float], tuple[bool, bool]]:
        """Return sums and maxima of a position's largest finite emission and the largest boundary scores, absolute,
        and whether any of the two is -inf.
        """
        (sums, tops, dead), *boundary = self.found.tolist()
        _, scores, none = boundary[0] if boundary else ([], [0.0] * len(sums), [])
        return sums, tops, scores, (any(dead), any(none))


class Given(NamedTuple):
    """A batch for posteriors, and how it is to be run."""

    small: Leaves  # all but the input, on the host
    plan: Plan
    batch: Batch


def given(leaves: Leaves, layout: Layout, options: Options, memory: int | None) -> Given:
    """Return what posteriors of a batch are worked out from."""
    small = bare(leaves)
    x = law_and_grammar(small, layout)
    plan = plan_for(x, layout, leaves.emissions.device, 2, options, memory)
    return Given(small, plan, log_batch(leaves, small, layout, x, plan.warps))


def log_batch(leaves: Leaves, small: Leaves, layout: Layout, x: Sequence, warps: int) -> Batch:
    """Return a batch for posteriors."""
    device = leaves.emissions.device
    ends = (np.maximum(x.numpy() * LOG2E, NEVER) for x in (small.begin, small.finish))
    lengths, begin, finish = packed([layout.lengths, *ends], device)
    measured = Measured(leaves, lengths)
    model = model_of(x, None, 32 * warps, device)
    sums, _, scores, forbidden = measured.read()
    fixed.check_magnitude(x, max(sums), max(scores), int(layout.lengths.max()))
    emissions, evidence = leaves.emissions.detach().contiguous(), leaves.scores.detach().contiguous()
    return Batch(model, leaves, layout, x, emissions, evidence, lengths, (begin, finish), forbidden)


def fixed_batch(leaves: Leaves, small: Leaves, layout: Layout, x: Sequence, warps: int) -> tuple[Batch, list[Tables]]:
    """Return a batch for the best segmentations, and every item's edge tables."""
    device = leaves.emissions.device
    ends = (fixed.integers(fixed.units(x.numpy())) for x in (small.begin, small.finish))
    slope = fixed.slopes(x)
    limits, begin, finish, slopes = packed([layout.lengths, *ends, slope], device)
    measured = Measured(leaves, limits)
    xq, tables = fixed.quantised(x)
    model = model_of(xq, tables, 32 * warps, device)
    sums, tops, scores, forbidden = measured.read()
    of_length = dict.fromkeys(layout.lengths.tolist(), tables)
    if (x.left, x.right) == ("censored", "censored"):
        of_length = {n: fixed.quantised(x._replace(emissions=np.empty((n, 0))))[1] for n in of_length}
    each = np.array([sums, scores])
    for length, own in of_length.items():
        emitted, largest = each[:, layout.lengths == length]
        fixed.check_range(x, xq, own, emitted, largest, length)
    highest = max(tops) + float(np.abs(slope).max())
    emissions = quantised_emissions(leaves.emissions.detach(), slopes, layout.origin, limits, highest)
    units = (leaves.scores.detach().double() / fixed.UNIT).round()
    quantised = torch.where(units > fixed.FLOOR, units, fixed.NEVER).long()
    batch = Batch(model, leaves, layout, xq, emissions, quantised, limits, (begin, finish), forbidden)
    return batch, [of_length[n] for n in layout.lengths.tolist()]


def infeasible(leaves: Leaves, layout: Layout, item: int) -> InfeasibleError:
    """Return the error for an item without any segmentation: it names the first boundary that no state reaches."""
    return InfeasibleError(item, Direction(sequence(leaves, layout, item)).unreached())
