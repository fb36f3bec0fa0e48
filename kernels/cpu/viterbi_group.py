"""The best segmentations of a group of short sequences, in fixed point: the paths that each has alone.

Fixed-point numbers add up to the same in any order, so nothing has to be done in the order of `viterbi.py`.
"""

import numpy as np
from numpy.typing import NDArray

from .. import fixed
from ..compiled import scratch
from ..edges import Tables
from ..errors import InfeasibleError
from ..resolve import Sequence
from ..seams import Settled
from .directions import Direction
from .groups import Group, travel
from .trace import LOST, trace_each
from .viterbi import Path, max_laws

AT_ONCE = Settled(0, 0, 0.0, 0.0)  # no seams


def viterbi_group(group: Group) -> list[Path]:
    """Return the best segmentation of every sequence of a group, its direction in fixed point (see `viterbi_item`)."""
    direction, lengths = group.pair[0], group.lengths
    (N, T, _), both = group.x.emissions.shape, whole_laws(group.x, lengths)
    x = quantised(group.x, lengths, direction, both)
    forward = travel(group._replace(x=x), 0)
    alpha = np.concatenate([forward.start.alpha[:, None], forward.alpha], axis=1)
    out, found, totals = np.empty((N, T, 3), np.int64), np.zeros(N, np.int64), np.zeros(N, np.int64)
    end, both = forward.end, fixed.integers(both)
    trace_each(
        direction.model, max_laws(direction), lengths, x.origin, x.emissions, x.scores, alpha, forward.h,
        end.alpha, end.ring, end.folded, forward.offsets, x.finish, both, x.right == "censored", out, found, totals,
    )  # fmt: skip
    if (found == LOST).any():
        raise AssertionError("traceback lost: forward scores contradict each other")
    if (found == 0).any():
        i = int((found == 0).argmax())
        raise InfeasibleError(i, int(lengths[i]))
    paths = []
    for i in range(N):
        starts, ends, labels = out[i, : found[i]][::-1].T.copy()
        paths.append(Path(int(totals[i]), starts, ends, labels, AT_ONCE))
    return paths


def whole_laws(x: Sequence, lengths: NDArray) -> NDArray:
    """Return (N, C) scores of one segment that is cut at both ends, in units, but for its emissions."""
    one = x._replace(scores=x.scores[0, :0], begin=x.begin[0], finish=x.finish[0])
    of = {int(n): fixed.quantised(one._replace(emissions=np.empty((int(n), 0))))[1].both for n in np.unique(lengths)}
    return np.stack([of[n] for n in lengths.tolist()])


def quantised(x: Sequence, lengths: NDArray, direction: Direction, both: NDArray) -> Sequence:
    """Return sequences with everything of their own as int64; raise where sums would leave it."""
    N, T, _ = x.emissions.shape
    emissions, scores = (scratch(a.shape, direction.dtype) for a in (x.emissions, x.scores))
    total = fixed.round_each(np.ascontiguousarray(x.emissions), fixed.slopes(x), x.origin, lengths, emissions)
    flat = N * (T + 1), x.scores.shape[2]
    highest = fixed.round_scores(x.scores.reshape(flat), scores.reshape(flat))
    begin, finish = fixed.units(x.begin), fixed.units(x.finish)
    tables = direction.tables
    assert tables is not None
    xq = direction.x._replace(begin=begin, finish=finish)
    fixed.check_range(x, xq, Tables(*tables[:2], both), total, highest, T)
    return x._replace(emissions=emissions, scores=scores, begin=fixed.integers(begin), finish=fixed.integers(finish))
