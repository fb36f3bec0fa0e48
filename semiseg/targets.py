"""What is known about a batch: labels of positions or segments, some of them unknown, checked before it is learnt.

Labels (B, T) say what covers a position, UNKNOWN: anything may. Segments say where boundaries are, too: a list of
(start, end, label) an item, which tile it; a stretch whose label is None is unknown, with any boundaries inside.
"""

import operator
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .errors import SemisegError
from .kernels import Segments
from .label_grammar import LabelGrammar
from .path_score import path_of

UNKNOWN = -1
Listed: TypeAlias = Sequence[Sequence[tuple[int, int, int | str | None]]]
Target: TypeAlias = Tensor | Segments | Listed


class Rules(NamedTuple):
    """What a segmentation must keep to."""

    grammar: LabelGrammar
    longest: tuple[int, ...]  # (C,) explicit positions
    endless: tuple[bool, ...]  # (C,) whether a tail follows
    censored: bool  # ends of a sequence may cut segments
    by_position: bool  # every position is a segment
    repeats: bool  # some label may follow itself


def read_path(target: Segments | Listed, names: tuple[str, ...], lengths: NDArray | None = None) -> Segments:
    """Return segments that tile every item; the label of an unknown stretch is UNKNOWN."""
    path = target if isinstance(target, Segments) else _table(target, names)
    sizes = [tuple(x.shape) for x in path]
    if any(size != (len(path.item),) for size in sizes) or any(x.is_floating_point() for x in path):
        kinds = ", ".join(f"{size} {x.dtype}" for size, x in zip(sizes, path, strict=True))
        raise SemisegError(f"target: expected Segments of four equally long columns of integers, got {kinds}")
    path = Segments(*(x.detach().cpu().long() for x in path))
    if lengths is None:
        lengths = ends_of(path)
    elif not isinstance(target, Segments) and len(target) != len(lengths):
        raise SemisegError(f"target: expected segments of {len(lengths)} items, got {len(target)}")
    check_tiling(path, lengths)
    check_labels(path, len(names))
    return path


def ends_of(path: Segments) -> NDArray:
    """Return (B,) where the last segment of every item ends."""
    ends = np.zeros(int(path.item.max()) + 1 if len(path.item) else 0, np.int64)
    np.maximum.at(ends, path.item.numpy(), path.end.numpy())
    return ends


def painted(path: Segments, lengths: NDArray) -> NDArray:
    """Return (B, T) labels of the positions of whole items, UNKNOWN behind their ends."""
    labels = np.full((len(lengths), int(lengths.max())), UNKNOWN)
    labels[np.arange(labels.shape[1]) < lengths[:, None]] = path.label.repeat_interleave(path.end - path.start)
    return labels


def wrong_labels(known: NDArray, size: int, labels: int) -> NDArray:
    """Return (B, size, C) which labels cannot cover a position, of (B, T) known ones."""
    known = np.pad(known, ((0, 0), (0, size - known.shape[1])), constant_values=UNKNOWN)[..., None]
    return (known != UNKNOWN) & (known != np.arange(labels))


def wrong_beside(path: Segments, lengths: NDArray, size: int, labels: int) -> NDArray:
    """Return the same of segments, where no label may follow itself.

    A known segment goes no further than it says: beside it are others.
    """
    wrong = wrong_labels(painted(path, lengths), size, labels)
    item, start, end, label = (x.numpy()[path.label.numpy() != UNKNOWN] for x in path)
    for at, there in ((start - 1, start > 0), (end, end < lengths[item])):
        wrong[item[there], at[there], label[there]] = True
    return wrong


def _table(target: Listed, names: tuple[str, ...]) -> Segments:
    """Return listed segments as a table."""
    if not isinstance(target, Sequence) or isinstance(target, str):
        raise SemisegError(
            f"target: expected labels (B, T), Segments, or a list of (start, end, label) for each item, "
            f"got {type(target).__name__}"
        )
    index = {name: c for c, name in enumerate(names)}
    rows = []
    for item, segments in enumerate(target):
        if not isinstance(segments, Sequence) or isinstance(segments, str):
            raise SemisegError(f"target: item {item}: expected a list of segments, got {segments!r}")
        for number, segment in enumerate(segments):
            where = f"target: item {item}, segment {number}"
            try:
                start, end, label = segment
                known = index[label] if isinstance(label, str) else UNKNOWN if label is None else label
                rows.append((item, *map(operator.index, (start, end, known))))
            except KeyError:
                raise SemisegError(f"{where}: expected a label of {', '.join(names)}, got {label!r}") from None
            except (TypeError, ValueError):
                raise SemisegError(f"{where}: expected (start, end, label), got {segment!r}") from None
    return Segments(*torch.tensor(rows, dtype=torch.int64).reshape(-1, 4).T)


def check_tiling(path: Segments, lengths: NDArray) -> None:
    """Raise at the first segments that leave a gap, overlap, or end elsewhere than their item."""
    items, starts, ends, labels = (x.tolist() for x in path)
    rows: list[list[tuple[int, int, int]]] = [[] for _ in lengths]
    for item, row in zip(items, zip(starts, ends, labels, strict=True), strict=True):
        if not 0 <= item < len(lengths):
            raise SemisegError(f"target: expected items 0..{len(lengths) - 1}, got {item}")
        rows[item].append(row)
    if items != sorted(items):
        raise SemisegError("target: expected segments ordered by item and start")
    for item, (segments, length) in enumerate(zip(rows, lengths.tolist(), strict=True)):
        where = f"target: item {item}"
        if not segments:
            raise SemisegError(f"{where}: expected segments from 0 to {length}, got none")
        for number, (start, end, _) in enumerate(segments):
            if start >= end:
                raise SemisegError(f"{where}, segment {number}: expected start < end, got {start} and {end}")
        if segments[0][0] != 0:
            raise SemisegError(f"{where}, segment 0: expected to start at 0, got {segments[0][0]}")
        for number, (a, b) in enumerate(pairwise(segments)):
            if a[1] != b[0]:
                wrong = f"leave a gap, {a[1]} to {b[0]}" if a[1] < b[0] else f"overlap, {b[0]} to {a[1]}"
                raise SemisegError(f"{where}: segments {number} and {number + 1} {wrong}")
        if segments[-1][1] != length:
            raise SemisegError(
                f"{where}, segment {len(segments) - 1}: expected to end at {length}, its length, got {segments[-1][1]}"
            )


def check_labels(path: Segments, C: int) -> None:
    """Raise at the first label that there is none of."""
    bad = (path.label != UNKNOWN) & ((path.label < 0) | (path.label >= C))
    if bool(bad.any()):
        i = int(bad.int().argmax())
        item, number = int(path.item[i]), _number(path, i)
        raise SemisegError(
            f"target: item {item}, segment {number}: expected a label in 0..{C - 1}, got {int(path.label[i])}"
        )


def read_labels(target: Tensor, lengths: NDArray, size: int, C: int) -> NDArray:
    """Return (B, T) labels of positions, UNKNOWN where nothing is known or nothing is."""
    B = len(lengths)
    if target.is_floating_point() or target.dtype == torch.bool:
        raise SemisegError(f"target: expected integer labels, got {target.dtype}")
    if tuple(target.shape) != (B, size):
        raise SemisegError(f"target: expected labels ({B}, {size}), got {tuple(target.shape)}")
    labels = target.detach().cpu().long().numpy()
    inside = np.arange(size) < lengths[:, None]
    bad = inside & (labels != UNKNOWN) & ((labels < 0) | (labels >= C))
    if bad.any():
        item, position = np.argwhere(bad)[0]
        raise SemisegError(
            f"target: expected labels in 0..{C - 1} or {UNKNOWN} for unknown, "
            f"got {labels[item, position]} at item {item}, position {position}"
        )
    return np.where(inside, labels, UNKNOWN)


def only_path(labels: NDArray, lengths: NDArray, rules: Rules) -> Segments | None:
    """Return the segmentation that (B, T) labels stand for; None: there may be several."""
    inside = np.arange(labels.shape[1]) < lengths[:, None]
    if (inside & (labels == UNKNOWN)).any() or (rules.repeats and not rules.by_position):
        return None
    return path_of(labels, lengths, joined=not rules.by_position)


def check_rules(path: Segments, lengths: NDArray, rules: Rules, origin: int, *, exact: bool = True) -> None:
    """Raise at the first known segment that breaks a rule, naming the rule.

    Not `exact`: segments are runs of a known label, which may go on in an unknown stretch beside them, and may be
    several segments where the label may follow itself.
    """
    g = rules.grammar
    item, start, end, label = (x.numpy() for x in path)
    size = end - start
    first, last, known = start == 0, end == lengths[item], label != UNKNOWN
    cut = (first | last) & rules.censored
    beside = np.pad(known, 1, constant_values=True)
    whole = exact | ((first | beside[:-2]) & (last | beside[2:]))
    one = exact | ~np.diagonal(g.allowed.any(0))[label]
    broken = [
        (size < np.array(g.shortest)[label]) & ~cut & whole,
        (size > np.array(rules.longest)[label]) & ~np.array(rules.endless)[label] & one,
        first & ~g.first[label],
        last & ~g.last[label] & (not rules.censored),
        np.zeros(len(item), bool),
    ]
    P = len(g.allowed)
    broken[-1][1:] = ~first[1:] & known[:-1] & ~g.allowed[(start[1:] + origin) % P, label[:-1], label[1:]]
    wrong = known & np.array(broken)
    if not wrong.any():
        return
    i = int(wrong.any(0).argmax())
    rule, name = int(wrong[:, i].argmax()), g.labels[label[i]]
    if rule == 0:
        why = f"{size[i]} positions, but the shortest {name!r} has {g.shortest[label[i]]}"
    elif rule == 1:
        limit, grammar = rules.longest[label[i]], g.longest[label[i]] is not None
        why = f"{size[i]} positions, but the longest {name!r} has {limit}"
        why += " by the grammar" if grammar else ": choose a larger max_duration, or tail=True for a law without an end"
    elif rule in (2, 3):
        why = f"{name!r} may not {'open' if rule == 2 else 'close'} a sequence"
    else:
        before = g.labels[label[i - 1]]
        phases = np.flatnonzero(g.allowed[:, label[i - 1], label[i]])
        why = f"{name!r} may not follow {before!r}"
        if len(phases):
            at = int(start[i]) + origin
            why += f" at {at}, which is {at % P} modulo {P}: only at {', '.join(map(str, phases))}"
    span = f"({start[i]}, {end[i]}, {name!r})"
    raise SemisegError(f"target: item {item[i]}, segment {_number(path, i)}, {span}: {why}")


def impossible(path: Segments, scores: Tensor, names: tuple[str, ...]) -> SemisegError:
    """Return the error for segments that keep to the rules, one of which scores -inf all the same: what is its own."""
    item, start, end, label = (x.tolist() for x in path)
    i = int((scores == -torch.inf).int().argmax())
    span = f"({start[i]}, {end[i]}, {names[label[i]]!r})"
    return SemisegError(
        f"target: item {item[i]}, segment {_number(path, i)}, {span}: scores -inf, and the loss is infinite"
    )


def _number(path: Segments, row: int) -> int:
    """Return which segment of its item a row is."""
    return row - int((path.item < path.item[row]).sum())
