"""A model without the segmentations that break given rules, as a model of the same form.

Labels are ruled out by forbidden emissions, boundaries by scores of -inf. The other rules ask where a segment began,
which a label does not know: labels are copied, and copies differ in where they may begin. Each segmentation is there
once, in the only copies that it may use, so sums, maxima and samples are those of the model that is left.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from .kernels import Boundary, Potentials
from .kernels.expansion import Relabelled

Mask = NDArray[np.bool_]
Ranges = list[tuple[int, int]]


class Restrictions(NamedTuple):
    """What may not be, by item."""

    labels: Mask  # (B, T, C) a label may not cover a position
    boundaries: Mask  # (B, T + 1) no boundary may be there
    demanded: list[Ranges]  # each range of boundaries must have one
    segments: list[dict[tuple[int, int], set[int]]]  # label and start of segments, and where they may not end

    @classmethod
    def none(cls, B: int, T: int, C: int) -> "Restrictions":
        """Return none yet of a batch."""
        free = np.zeros((B, T, C), bool), np.zeros((B, T + 1), bool)
        return cls(*free, [[] for _ in range(B)], [{} for _ in range(B)])


def restricted(p: Potentials, rules: Restrictions) -> Relabelled:
    """Return the model of what is left, a batch, and the label that each of its labels stands for."""
    p = _without_labels(p, rules.labels)
    if rules.boundaries.any():
        p = _without_boundaries(p, rules.boundaries[..., None], np.zeros_like(_types(p)))
    plain = Relabelled(p, torch.arange(p.emissions.shape[-1]))
    return _cut_in_ranges(_without_segments(plain, rules.segments), rules.demanded)


def _without_segments(model: Relabelled, segments: list[dict[tuple[int, int], set[int]]]) -> Relabelled:
    """Rule out segments by start and end: what begins there is a copy of its label, which may not end there."""
    B, T, C = model.potentials.emissions.shape
    starts = [[sorted(s for label, s in item if label == c) for c in range(C)] for item in segments]
    copies = np.array([max(len(item[c]) for item in starts) for c in range(C)])
    if not copies.any():
        return model
    p, label, number = _copied(model, 1 + copies)
    L = len(label)
    covers, begins, ends = (np.zeros((B, n, L), bool) for n in (T, T + 1, T + 1))
    for b, size in enumerate(_sizes(p)):
        for k, (c, copy) in enumerate(zip(label, number, strict=True)):
            own = starts[b][c]
            if copy == 0:
                begins[b, own, k] = True
            else:
                begins[b, :, k] = True
                begins[b, own[copy - 1 : copy], k] = False
                for start in own[copy - 1 : copy]:
                    ends[b, list(segments[b][c, start]), k] = True
            covers[b, size - 1, k] |= ends[b, size, k]
    return Relabelled(_without_ends(_without_starts(p, begins, covers), ends), model.label[label])


def _cut_in_ranges(model: Relabelled, demanded: list[Ranges]) -> Relabelled:
    """Rule out segments that go through a range of boundaries without one.

    Starts between the beginnings of two ranges, neighbours in order, make an epoch, and what begins in one may not
    cover the last position before the end of the range behind it. Copies of a label take turns by epoch: as many as
    keep what may not be covered in one epoch out of the next with the same copy.
    """
    ranges = [_smallest(x) for x in demanded]
    if not any(ranges):
        return model
    B, T, C = model.potentials.emissions.shape
    open_ = (model.potentials.emissions.detach() > -torch.inf).cpu().numpy()
    through = np.zeros(C, bool)  # labels that may go through a range
    for b, item in enumerate(ranges):
        for first, last in item:
            through |= open_[b, first - 1] & open_[b, last - 1]
    turns = max(_turns(item) for item in ranges)
    p, label, number = _copied(model, np.where(through, turns, 1))
    begins, covers = np.zeros((B, T + 1, len(label)), bool), np.zeros((B, T, len(label)), bool)
    for b, item in enumerate(ranges):
        epoch = np.searchsorted([first for first, _ in item], np.arange(T + 1), side="right")
        begins[b] = (epoch[:, None] % turns != number) & through[label]
        for i, (_, last) in enumerate(item):
            covers[b, last - 1] |= (number == i % turns) & through[label]
    return Relabelled(_without_starts(p, begins, covers), model.label[label])


def _smallest(ranges: Ranges) -> Ranges:
    """Return ranges without those that have another one inside, in order of starts and of ends."""
    kept: Ranges = []
    for first, last in sorted(set(ranges), key=lambda x: (x[0], -x[1])):
        while kept and last <= kept[-1][1]:
            kept.pop()
        kept.append((first, last))
    return kept


def _turns(ranges: Ranges) -> int:
    """Return how many copies it takes: every range ends before the copy's next epoch begins."""
    turns = 2
    while any(last > first for (_, last), (first, _) in zip(ranges, ranges[turns - 1 :], strict=False)):
        turns += 1
    return turns


def _copied(model: Relabelled, times: NDArray) -> tuple[Potentials, NDArray, NDArray]:
    """Return the model with copies of labels, and which label, and which copy of it, each one is."""
    p = model.potentials
    label = np.repeat(np.arange(len(times)), times)
    number = np.arange(len(label)) - (np.cumsum(times) - times)[label]
    index = torch.from_numpy(label)
    pick = lambda x: None if x is None else x[..., index]  # noqa: E731
    copied = p._replace(
        emissions=p.emissions[..., index],
        durations=p.durations[:, index],
        transitions=p.transitions[..., index, :][..., index],
        longest=pick(p.longest),
        tail=pick(p.tail),
        period=pick(p.period),
        boundaries=tuple(Boundary(m.scores, m.types[index][:, index]) for m in p.boundaries),
        first=pick(p.first),
        last=pick(p.last),
    )
    return copied, label, number


def _without_labels(p: Potentials, covers: Mask) -> Potentials:
    """Forbid labels (B, T, C) at positions."""
    if not covers.any():
        return p
    return p._replace(emissions=p.emissions.masked_fill(_there(p, covers), -torch.inf))


def _without_starts(p: Potentials, begins: Mask, covers: Mask) -> Potentials:
    """Forbid starts (B, T + 1, C) of segments, and labels; what starts at 0, cut there or not, covers position 0."""
    covers[:, 0] |= begins[:, 0]
    return _without_boundaries(_without_labels(p, covers), *_of_label(begins))


def _without_ends(p: Potentials, ends: Mask) -> Potentials:
    """Forbid ends (B, T + 1, C) of segments before that of the sequence."""
    scores, types = _of_label(ends)
    return _without_boundaries(p, scores, types.T)


def _of_label(forbidden: Mask) -> tuple[Mask, NDArray]:
    """Return a map's columns, one for each label for which anything is forbidden, and types by label entered."""
    some = forbidden.any((0, 1))
    column = np.where(some, np.cumsum(some) - 1, -1)
    return forbidden[..., some], np.tile(column, (len(column), 1))


def _without_boundaries(p: Potentials, forbidden: Mask, types: NDArray) -> Potentials:
    """Forbid boundaries (B, T + 1, n) of types (C, C) inside a sequence."""
    if forbidden.shape[-1] == 0:
        return p
    forbidden = forbidden.copy()
    for b, size in enumerate(_sizes(p)):
        forbidden[b, [0, size]] = False
    scores = p.emissions.new_zeros(forbidden.shape).masked_fill(_there(p, forbidden), -torch.inf)
    return p._replace(boundaries=(*p.boundaries, Boundary(scores, torch.from_numpy(np.ascontiguousarray(types)))))


def _sizes(p: Potentials) -> list[int]:
    B, T, _ = p.emissions.shape
    return [T] * B if p.lengths is None else p.lengths.tolist()


def _types(p: Potentials) -> NDArray:
    return np.zeros((p.emissions.shape[-1],) * 2, np.int64)


def _there(p: Potentials, mask: Mask) -> torch.Tensor:
    return torch.from_numpy(mask).to(p.emissions.device)
