"""What the kernels read besides the input: the duration law cut into windows, items and lists of allowed changes."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .. import fixed
from ..edges import Tables, continued
from ..resolve import Sequence
from .pieces import sent
from .tiles import DARK, DEEP, FULL, LOG2E, NEVER, QUAD, TILE, WINDOW, span_of

ALIGN = 256  # bytes


class Sizes(NamedTuple):
    """What decides the shape of everything."""

    labels: int
    longest: int  # largest K_c
    folds: int  # rows behind the windows: the largest period of a tail, 0 where there is none
    blocks: int  # of 16 sources in a ring: one more than the longest duration takes
    phases: int
    arcs: int  # sources a label may be entered from, at most, as a power of two
    maps: int


class Items(NamedTuple):
    """The far part's work, dealt out: stretches of `reach` blocks of one label's durations."""

    reach: int
    label: Tensor  # (LANES,) int32
    first: Tensor  # (LANES,) int32: distance of its nearest block
    blocks: Tensor  # (LANES,) int32: how many, 0 where the item is padding
    of_label: Tensor  # (items, C) int32, -1: none


class Model(NamedTuple):
    """Everything that does not change with the position; scores in units of log 2, or in fixed point."""

    sizes: Sizes
    items: Items
    near: Tensor  # (32, C) durations inside a tile, behind 15 forbidden rows; float32, or int64
    window: Tensor  # (steps, WINDOW / 4, C, 4) 32-bit durations around 16 d + 1, relative to their largest
    window_top: Tensor  # (steps, C) their largest
    window_span: Tensor  # (steps, C) int32: first and last row of the window that is not forbidden (`span_of`); outputs
    law: Tensor  # (., C) durations by length, 0 forbidden, continued by the tail
    fold_law: Tensor  # (folds, 16, C) durations from the rows behind the window to a tile's outputs
    tail: Tensor  # (C,)
    longest: Tensor  # (C,) int32
    period: Tensor  # (C,) int32, 0: no tail
    enter: Tensor  # (K + 1, C) max semiring, censored start: a first segment by its visible length
    law_rows: Tensor  # (C, .) the law label by label; float32, or int64
    arc_source: Tensor  # (2, P, D, C) int32, -1: none; the second way is backwards
    arc_score: Tensor  # (2, P, D, C) float32, or int64
    arc_type: Tensor  # (2, P, D, C, M) int32 columns of the boundary scores, -1: none
    change: Tensor  # (P * D * C + 1,) forward arc_score in float64, and NEVER behind it; empty in fixed point
    arcs: tuple[NDArray, NDArray]  # forward arc_source and arc_type on the host
    fixed: bool


def model_of(x: Sequence, tables: Tables | None, threads: int, device: torch.device) -> Model:
    """Return the kernels' tables for a sequence's law and grammar; fixed point where edge tables come along."""
    C, K = len(x.longest), int(x.longest.max())
    integer = tables is not None
    period = np.where(x.tail > -np.inf, x.period, 0)
    folds = int(period.max())
    reach = -(-(K + TILE - 1) // TILE)
    scale = 1.0 if integer else LOG2E
    # as long as two windows side by side, each up to 64 or 32 rows longer than it need be where states meet
    law = continued(x.durations, x.longest, x.tail, x.period, 2 * (K + folds) + 6 * TILE) * scale
    source, change, kind = arcs(x)
    share, *dealt = items_of(tuple(((x.longest + TILE - 2 + (period > 0)) // TILE).tolist()), threads)
    first = dealt[1]
    # all items take as many steps as the longest: what lies beyond a shorter one is read, and not looked at
    steps = max(reach, int(first.max(initial=0)) + share - 1)
    window = law[window_lengths(steps, len(law) - 1)]
    window[:, -1] = -np.inf  # no pair has it
    top = window.max(1)
    relative = window - np.where(top > -np.inf, top, 0)[:, None]
    allowed = window > -np.inf
    nearest, farthest = allowed.argmax(1), WINDOW - 1 - allowed[:, ::-1].argmax(1)
    j = np.arange(TILE)[:, None, None]  # row r goes from source i to output r + i - 15
    reached = (nearest - (TILE - 1) <= j) & (j <= farthest)
    span = span_of(nearest, farthest) | (reached << j).sum(0) << FULL
    nearest = x.longest + period  # the row behind the window that is p - i behind K
    rows = np.zeros((folds, TILE, C))
    for i in range(folds):
        rows[i] = law[np.minimum((nearest + 1 - i)[None] + np.arange(TILE)[:, None], len(law) - 1), np.arange(C)]
        rows[i, :, i >= period] = -np.inf
    near = np.concatenate([np.full((TILE - 1, C), -np.inf), law[: TILE + 1]])
    slope = np.where(period > 0, np.where(period > 0, x.tail, 0) * scale, 0)
    enter = np.full((1, C), -np.inf) if tables is None or tables.enter is None else tables.enter

    def score(a: NDArray) -> NDArray:
        return fixed.integers(a) if integer else np.maximum(a, float(NEVER))

    def light(a: NDArray) -> NDArray:  # among 32-bit differences
        return fixed.integers(a) if integer else np.maximum(a, DARK).astype(np.float32)

    narrow = np.maximum(relative, DEEP).astype(np.int32) if integer else np.exp2(relative).astype(np.float32)
    narrow = narrow.reshape(steps + 1, WINDOW // QUAD, QUAD, C).swapaxes(2, 3)
    whole = lambda a: np.asarray(a, np.int32)  # noqa: E731
    ours = (
        light(near), narrow, score(top), whole(span), score(law), score(rows), score(slope), whole(x.longest),
        whole(period), score(enter), light(law.T), source, light(np.where(source >= 0, change * scale, -np.inf)), kind,
        np.empty(0) if integer else np.append(np.maximum(change[0] * scale, NEVER), NEVER),
    )  # fmt: skip
    given = packed([*dealt, *ours], device)
    sizes = Sizes(C, K, folds, reach + 1, source.shape[1], source.shape[2], len(x.types))
    return Model._make([sizes, Items(share, *given[:4]), *given[4:], (source[0], kind[0]), integer])


@lru_cache(64)
def window_lengths(steps: int, longest: int) -> NDArray:
    """Return (steps + 1, WINDOW) durations around 16 d + 1."""
    return np.clip(TILE * np.arange(steps + 1)[:, None] + 1 + np.arange(WINDOW) - (TILE - 1), 0, longest)


def packed(arrays: list[NDArray], device: torch.device) -> list[Tensor]:
    """Return arrays as tensors on a device, sent in one piece: each copy of its own takes longer than all of them."""
    places = _places(tuple((a.shape, a.dtype) for a in arrays))
    parts = (a.tobytes().ljust(place.size, b"\0") for a, place in zip(arrays, places, strict=True))
    there = sent(np.frombuffer(bytearray().join(parts), np.uint8), device)
    typed = {kind: there.view(kind) for kind in {place.kind for place in places}}
    return [typed[p.kind].as_strided(p.shape, p.strides, p.start) for p in places]


class Place(NamedTuple):
    """Where an array lies in a packed buffer."""

    size: int  # bytes, up to the next one
    kind: torch.dtype
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    start: int  # in elements


@lru_cache(256)  # shapes are the same at every step of a training run
def _places(arrays: tuple[tuple[tuple[int, ...], np.dtype], ...]) -> list[Place]:
    out, start = [], 0
    for shape, dtype in arrays:
        a = np.empty(shape, dtype)
        strides = tuple(n // a.itemsize for n in a.strides)
        size = -(-a.nbytes // ALIGN) * ALIGN
        out.append(Place(size, torch.from_numpy(a).dtype, shape, strides, start // a.itemsize))
        start += size
    return out


def arcs(x: Sequence) -> tuple[NDArray, NDArray, NDArray]:
    """Return (source, score, types) of the changes into each label, both ways: (2, P, D, C), types with an axis M.

    Backwards, row m serves the boundaries whose phase is -m.
    """
    allowed = x.transitions > -np.inf
    source, entry, kind = _arcs(allowed.tobytes(), x.types.tobytes(), (*allowed.shape[:2], len(x.types)))
    return source, x.transitions.reshape(-1)[entry], kind


@lru_cache(64)  # a training run asks for the same lists at every step
def _arcs(allowed_: bytes, types_: bytes, shape: tuple[int, int, int]) -> tuple[NDArray, NDArray, NDArray]:
    """Return the changes with their places in the flat transitions for scores."""
    P, C, M = shape
    allowed = np.frombuffer(allowed_, bool).reshape(P, C, C)
    types = np.frombuffer(types_, np.int64).reshape(M, C, C)
    place = np.arange(P * C * C).reshape(P, C, C)
    back = -np.arange(P) % P
    ways = [(allowed, place, types), tuple(a.transpose(0, 2, 1) for a in (allowed[back], place[back], types))]
    most = max(int(may.sum(1).max(initial=1)) for may, _, _ in ways)
    D = 1 << (most - 1).bit_length() if most > 1 else 1
    source = np.full((2, P, D, C), -1, np.int32)
    entry = np.zeros((2, P, D, C), np.int64)
    kind = np.full((2, P, D, C, M), -1, np.int32)
    for way, (may, places, kinds) in enumerate(ways):
        order = np.argsort(~may, axis=1, kind="stable")[:, :D]  # allowed ones first, in their order
        n = order.shape[1]
        entry[way, :, :n] = np.take_along_axis(places, order, 1)
        source[way, :, :n] = np.where(np.take_along_axis(may, order, 1), order, -1)
        kind[way, :, :n] = np.moveaxis(kinds[:, order, np.arange(C)], 0, -1)
    return source, entry, kind


@lru_cache(64)  # a training run asks for the same lists at every step
def items_of(blocks_: tuple[int, ...], threads: int) -> tuple[int, NDArray, NDArray, NDArray, NDArray]:
    """Return the fields of Items: every label's blocks of durations, dealt out so that the longest share is short."""
    blocks = np.array(blocks_)
    best = None
    for width in (1, 2, 4):
        LANES = threads * width
        if LANES < (blocks > 0).sum():
            continue
        reach = 1
        while (-(-blocks // reach)).sum() > LANES:
            reach += 1
        if best is None or reach * width < best[0]:
            best = reach * width, LANES, reach
    assert best is not None
    _, LANES, reach = best
    parts = -(-blocks // reach)
    # the shares of all labels side by side: neighbouring lanes read neighbouring labels
    order = [(c, b) for b in range(int(parts.max(initial=0))) for c in np.flatnonzero(parts > b)]
    label, first, count = np.zeros((3, LANES), np.int32)
    of_label = np.full((max(1, int(parts.max(initial=0))), len(blocks)), -1, np.int32)
    first[:] = 1
    for i, (c, b) in enumerate(order):
        label[i], first[i], count[i] = c, 1 + b * reach, min(reach, blocks[c] - b * reach)
        of_label[b, c] = i
    return int(count.max(initial=0)), label, first, count, of_label
