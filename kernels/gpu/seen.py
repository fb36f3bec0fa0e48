"""What a recording takes for granted of a user's potentials: seen once, on the host, and looked at again at each step.

Potentials are of one kind when the host can tell nothing apart: types, shapes, places, and integers that are on the
host. The rest is seen when a kind is recorded: which scores are forbidden, whether all goes through in one piece. All
that depends on numbers alone is part of the recording, and so is a look at whether what was seen still holds.
"""

from collections.abc import Hashable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from .. import fixed
from ..checks import FORBIDDING
from ..cpu.batch import Options
from ..devices import each_tensor
from ..lasting import constant
from ..potentials import Potentials
from ..resolve import Layout, Leaves, Sequence, check, reach_of, resolve
from .inputs import highest, input_bounds, law_and_grammar, look, plan_for
from .model import Frame, frame_of
from .plan import Plan
from .quantise import is_narrow

LIGHT = 1 << 26  # bytes that a plan may hold: a recording holds them as long as it is there
HOW = Options(None, None, None)


def kind_of(operation: str, p: Potentials) -> Hashable:
    """Return all that work on potentials depends on but the numbers in tensors of the device."""
    device = p.emissions.device
    stream = torch.cuda.current_stream(device).cuda_stream if device.type == "cuda" else 0
    learns = torch.is_grad_enabled()

    def of(x: Tensor) -> Hashable:
        known = x.device.type == "cpu" and not x.is_floating_point()
        return x.shape, x.dtype, x.numpy().tobytes() if known else learns and x.requires_grad

    return operation, device, stream, each_tensor(p._replace(boundaries=tuple(p.boundaries)), of)


def scores_of(p: Potentials) -> list[Tensor]:
    """Return the tensors with scores, in order."""
    return [x for x in tensors_of(p) if x.is_floating_point()]


def integers_there(p: Potentials) -> list[Tensor]:
    """Return the tensors with integers that are on the device, in order."""
    return [x for x in tensors_of(p) if not x.is_floating_point() and x.device.type != "cpu"]


def tensors_of(p: Potentials) -> list[Tensor]:
    """Return all tensors, in order."""
    found: list[Tensor] = []
    each_tensor(p, found.append)
    return found


def with_scores(p: Potentials, scores: Iterable[Tensor]) -> Potentials:
    """Return potentials with other scores, in the order of `scores_of`."""
    given = iter(scores)
    found: Potentials = each_tensor(p, lambda x: next(given) if x.is_floating_point() else x)
    return found


def on_host(p: Potentials) -> Potentials:
    """Return potentials with copies of their integers on the host: the user's may change."""
    found: Potentials = each_tensor(p, lambda x: x if x.is_floating_point() else x.to("cpu", copy=True))
    return found


class Seen(NamedTuple):
    """What a recording takes for granted."""

    p: Potentials  # with its integers on the host, and nothing in the place of scores: they are others at each step
    layout: Layout
    x: Sequence  # of its law and grammar, what is forbidden counts
    plan: Plan
    frame: Frame
    forbidden: tuple[bool, bool]  # whether any emission may be -inf, any boundary score
    narrow: bool  # emissions in fixed point fit into 32 bits
    reach: Tensor
    barred: Tensor  # where all scores but the input are -inf
    integers: list[Tensor]  # of the device


def see(p: Potentials, ways: int, forbidden: tuple[bool, bool]) -> Seen | None:
    """Look at potentials, and return what a recording is made from; None: they are not small, or not in one piece."""
    if (p.left, p.right) != ("exact", "exact") or len(p.boundaries) > FORBIDDING:
        return None
    check(p)
    hosted = on_host(p)
    reach = reach_of(hosted)
    with torch.no_grad():
        leaves, layout = resolve(hosted, True, reach)
        looked = look(leaves, layout)
        x = law_and_grammar(looked.small, layout)
        plan = plan_for(x, layout, p.emissions.device, ways, HOW, None)
        if max(plan.parts) > 1 or plan.bytes > LIGHT or (ways == 2 and plan.waves > 1):
            return None
        frame = frame_of(x, 32 * plan.warps, p.emissions.device)
        either = looked.forbidden[0] or forbidden[0], looked.forbidden[1] or forbidden[1]
        narrow = ways == 1 and is_narrow(highest(looked, x))
        integers = [t.clone() for t in integers_there(p)]
        barred = small_of(p) == -torch.inf
    bare = with_scores(hosted, [t.detach().new_empty(0) for t in scores_of(hosted)])
    return Seen(bare, layout, x, plan._replace(waves=1), frame, either, narrow, reach, barred, integers)


def small_of(p: Potentials) -> Tensor:
    """Return all scores but the input, side by side; row 0 of the durations is unused."""
    fields = (p.durations[1:], p.transitions, p.tail, p.first, p.last)
    return torch.cat([x.detach().reshape(-1).double() for x in fields if x is not None])


def holds(seen: Seen, p: Potentials, leaves: Leaves, integers: tuple[Tensor, ...]) -> Tensor:
    """Return whether a recording is for these numbers, as one bool on the device."""
    small = small_of(p)
    largest = torch.where(small > -torch.inf, small.abs(), 0.0).max()
    limits = constant(seen.layout.lengths, p.emissions.device)
    found = input_bounds(leaves, limits).amax(2)  # of emissions and boundary scores: sum, maximum, whether any is -inf
    T, K, maps = p.emissions.shape[-2], len(p.durations), len(p.boundaries)
    # four times this is no less than what `fixed.check_range` adds up: beyond its limit, it is for that to say
    reach = found[0, 0] + 8 * largest + T * ((K + 2) * largest + maps * found[1, 1] + 1)
    told = [
        (small < torch.inf).all(),  # and no NaN
        ((small == -torch.inf) == seen.barred).all(),
        *(x.detach().amax() < torch.inf for x in (p.emissions, *(b.scores for b in p.boundaries))),
        reach < fixed.LIMIT * fixed.UNIT / 4,
        *(found[i, 2] == 0 for i, may in enumerate(seen.forbidden) if not may),
        *((mine == x).all() for mine, x in zip(seen.integers, integers, strict=True)),
    ]
    if seen.narrow:
        told.append(is_narrow(found[0, 1] + largest))
    return torch.stack(told).all()
