"""What comes out of the kernels."""

from typing import NamedTuple

from torch import Tensor


class Segments(NamedTuple):
    """Segments of a batch in one table, ordered by item and start; positions are 0-based, half-open.

    >>> import torch
    >>> Segments(*torch.tensor([(0, 0, 4, 1), (0, 4, 9, 0), (1, 0, 6, 2)]).T).per_item()
    [[(0, 4, 1), (4, 9, 0)], [(0, 6, 2)]]
    """

    item: Tensor  # (N,) int64: which sequence of the batch
    start: Tensor  # (N,) int64
    end: Tensor  # (N,) int64
    label: Tensor  # (N,) int64

    def per_item(self, items: int | None = None) -> list[list[tuple[int, int, int]]]:
        """Return (start, end, label) of the segments of every item; `items`: how many, where the last may have none."""
        if items is None:
            items = int(self.item.max()) + 1 if len(self.item) else 0
        out: list[list[tuple[int, int, int]]] = [[] for _ in range(items)]
        for item, start, end, label in zip(*(x.tolist() for x in self), strict=True):
            out[item].append((start, end, label))
        return out


class Report(NamedTuple):
    """How the chunks of a run came to agree; nothing here changes an answer."""

    chunks: int
    rounds: int  # of repair, over both directions
    repaired: int  # positions computed again
    gap: float  # largest disagreement accepted at a seam: log units (max: fixed-point units, always 0)
    certificate: float  # largest total variation between the weightings accepted at a seam
    closing: float  # largest difference between running and anchored position posteriors


class Viterbi(NamedTuple):
    score: Tensor  # (B,) float64, of the quantised potentials; scalar without a batch axis
    segments: Segments
    report: Report


class KBest(NamedTuple):
    score: Tensor  # (B, k) float64, falling; -inf where an item has fewer segmentations. No B axis without one
    segments: list[Segments]  # k tables, the best first; items that have fewer have no rows in the last
    report: Report


class Calls(NamedTuple):
    """What is known about given segments; posteriors are summed over the labels of a concept."""

    start: Tensor  # (N,) posterior that a segment of the concept starts there
    end: Tensor  # (N,)
    segment: Tensor  # (N,) posterior of exactly this segment
    label: Tensor  # (N,) mean posterior of the concept over the segment
    start_low: Tensor  # (N,) int64: shortest interval [low, high] that holds `level` of the start's distribution
    start_high: Tensor  # (N,) inclusive
    start_mass: Tensor  # (N,) what that interval holds
    end_low: Tensor
    end_high: Tensor
    end_mass: Tensor


class Marginals(NamedTuple):
    """Posteriors; fields that were not asked for are None. The B axis is absent where the input had none."""

    log_partition: Tensor  # (B,) float64
    start: Tensor | None  # (B, T + 1, C): a segment of c starts at boundary t
    end: Tensor | None  # (B, T + 1, C): a segment of c ends at boundary t
    position: Tensor | None  # (B, T, C): position i is covered by c
    transitions: Tensor | None  # (B, P, C, C) expected counts
    durations: Tensor | None  # (B, K + 1, C) expected counts; the tail's segments count in the row they reduce to
    tail_steps: Tensor | None  # (B, C) expected number of periods spent in the tail
    boundaries: tuple[Tensor, ...] | None  # per map (B, T + 1, n): posterior that a boundary of this type is at t
    calls: Calls | None
    report: Report
