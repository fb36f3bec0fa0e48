"""What must hold of a segmentation, said of ranges of positions and boundaries; 0-based, half-open."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .errors import SemisegError
from .kernels import Potentials
from .kernels.expansion import Relabelled
from .restriction import Restrictions, restricted

Labels: TypeAlias = int | str | Sequence[int | str]


class Rule(NamedTuple):
    """One thing that must hold."""

    kind: str
    start: int
    end: int
    labels: Labels | None = None


@dataclass(frozen=True)
class Constraints:
    """Rules that a segmentation keeps to; every method returns all so far and one more.

    >>> import torch
    >>> from semiseg import SemiCRF
    >>> crf = SemiCRF(labels=["rest", "beat"], max_duration=10, hidden=8)
    >>> known = Constraints().segment(5, 9, "beat").no_label(20, 30, "beat").boundary(35, 38)
    >>> (5, 9, 1) in crf.decode(torch.zeros(1, 40, 8), constraints=known).per_item()[0]
    True
    """

    rules: tuple[Rule, ...] = ()

    def label(self, start: int, end: int, labels: Labels) -> "Constraints":
        """Let only these labels cover the positions from start to end."""
        return self._with("label", start, end, labels)

    def no_label(self, start: int, end: int, labels: Labels) -> "Constraints":
        """Let none of these labels cover any of the positions."""
        return self._with("no_label", start, end, labels)

    def boundary(self, start: int, end: int | None = None) -> "Constraints":
        """Let a segment begin at one of start .. end - 1 at least; without an end, at start."""
        return self._with("boundary", start, start + 1 if end is None else end)

    def no_boundary(self, start: int, end: int) -> "Constraints":
        """Let no segment begin at any of start .. end - 1."""
        return self._with("no_boundary", start, end)

    def segment(self, start: int, end: int, labels: Labels | None = None) -> "Constraints":
        """Let there be a segment from start to end, of one of these labels; None: of any."""
        return self._with("segment", start, end, labels)

    def no_segment(self, start: int, end: int, labels: Labels | None = None) -> "Constraints":
        """Let there be none from start to end of these labels; longer and shorter ones may be."""
        return self._with("no_segment", start, end, labels)

    def _with(self, kind: str, start: int, end: int, labels: Labels | None = None) -> "Constraints":
        return Constraints((*self.rules, Rule(kind, start, end, labels)))


def constrained(
    p: Potentials, constraints: Constraints | Sequence[Constraints | None], names: Sequence[str] | None = None
) -> Relabelled:
    """Return the model of all segmentations of a batch that keep to constraints, those of all items or one an item.

    Its labels may be more, `label` says which each stands for: for rules of boundaries and segments one more for each
    that overlaps, and for `no_segment` one for each start and label. The log probability that the constraints hold is
    its log Z less that of the model.

    >>> import torch
    >>> from semiseg import log_partition
    >>> p = Potentials(torch.zeros(1, 4, 2), torch.zeros(3, 2), torch.zeros(2, 2))
    >>> held = constrained(p, Constraints().boundary(2))
    >>> (log_partition(held.potentials) - log_partition(p)).exp()  # 36 of 44 segmentations
    tensor([0.8182], dtype=torch.float64)
    """
    B, T, C = p.emissions.shape
    names = tuple(map(str, range(C))) if names is None else tuple(names)
    sizes = [T] * B if p.lengths is None else p.lengths.tolist()
    each = [constraints] * B if isinstance(constraints, Constraints) else constraints
    if len(each) != B:
        raise SemisegError(f"constraints: expected those of {B} items, got {len(each)}")
    out = Restrictions.none(B, T, C)
    for item, (own, size) in enumerate(zip(each, sizes, strict=True)):
        for rule, chosen in _checked(item, own, size, names):
            _restrict(out, item, size, rule, chosen)
    return restricted(p, out)


def _checked(
    item: int, constraints: Constraints | None, size: int, names: tuple[str, ...]
) -> Iterator[tuple[Rule, NDArray[np.bool_]]]:
    """Yield the rules of an item with their labels (C,); raise at the first that makes no sense."""
    if constraints is None:
        return
    if not isinstance(constraints, Constraints):
        raise SemisegError(f"constraints: item {item}: expected Constraints, got {type(constraints).__name__}")
    for number, rule in enumerate(constraints.rules):
        where = f"constraints: item {item}, rule {number}, {rule.kind}"
        if not (isinstance(rule.start, int) and isinstance(rule.end, int)):
            raise SemisegError(f"{where}: expected integers, got {rule.start!r} and {rule.end!r}")
        low, what = (1, "boundaries inside") if rule.kind.endswith("boundary") else (0, "positions of")
        if not low <= rule.start < rule.end <= size:
            raise SemisegError(
                f"{where}: expected {low} <= start < end <= {size}, {what} the item, got {rule.start} and {rule.end}"
            )
        chosen = np.ones(len(names), bool)
        if rule.labels is not None:
            listed = rule.labels
            chosen = np.zeros(len(names), bool)
            for label in [listed] if isinstance(listed, int | str) else listed:
                known = names.index(label) if label in names else label
                if not isinstance(known, int) or not 0 <= known < len(names):
                    raise SemisegError(f"{where}: expected labels of {', '.join(names)}, got {label!r}")
                chosen[known] = True
        yield rule, chosen


def _restrict(out: Restrictions, item: int, size: int, rule: Rule, chosen: NDArray[np.bool_]) -> None:
    """Add what a rule rules out."""
    kind, start, end, _ = rule
    if kind in ("label", "segment"):
        out.labels[item, start:end] |= ~chosen
    if kind == "segment":
        out.boundaries[item, start + 1 : end] = True
        out.demanded[item].extend((t, t + 1) for t in (start, end) if 0 < t < size)
    elif kind == "no_label":
        out.labels[item, start:end] |= chosen
    elif kind == "no_boundary":
        out.boundaries[item, start:end] = True
    elif kind == "boundary":
        out.demanded[item].append((start, end))
    elif kind == "no_segment":
        for c in np.flatnonzero(chosen):
            out.segments[item].setdefault((int(c), start), set()).add(end)
