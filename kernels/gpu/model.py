"""What the kernels read besides the input: the duration law cut into windows, items and lists of allowed changes."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..lasting import lasting, sent
from ..resolve import Sequence
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


class Numbers(NamedTuple):
    """The scores that tables are made of: float64 in nats, or whole fixed-point units with the tails' slopes gone."""

    durations: Tensor  # (K + 1, C)
    tail: Tensor  # (C,)
    transitions: Tensor  # (P, C, C)
    fixed: bool


class Frame(NamedTuple):
    """What tables look like whatever the scores are: it is in sizes, and in what is forbidden. Rows name durations."""

    sizes: Sizes
    items: Items
    span: Tensor  # the `window_span` of a model
    longest: Tensor
    period: Tensor
    source: Tensor
    kind: Tensor
    law_row: Tensor  # (., C) int64 the explicit duration that a length is taken from, 0: none
    law_steps: Tensor  # (., C) float64 periods of the tail between the two
    window: Tensor  # (steps, WINDOW) int64 rows of the law
    near: Tensor  # (32,) int64 rows of the law
    fold: Tensor  # (folds, 16, C) int64 rows of the law
    entry: Tensor  # (2, P, D, C) int64 places in the flat transitions
    tailed: Tensor  # (C,) bool
    arcs: tuple[NDArray, NDArray]


def frame_of(x: Sequence, threads: int, device: torch.device | str) -> Frame:
    """Return the frame of a sequence's law and grammar."""
    allowed = tuple((a > -np.inf).tobytes() for a in (x.durations, x.tail, x.transitions))
    whole = tuple(np.ascontiguousarray(a, np.int64).tobytes() for a in (x.longest, x.period, x.types))
    shape = len(x.durations), len(x.transitions), len(x.longest), len(x.types)
    return _frame(allowed, whole, shape, threads, torch.device(device))


@lasting(16)  # a training run asks for the same one at every step
def _frame(
    allowed: tuple[bytes, ...],
    whole: tuple[bytes, ...],
    shape: tuple[int, int, int, int],
    threads: int,
    device: torch.device,
) -> Frame:
    rows, P, C, M = shape
    given, tailed, changes = (np.frombuffer(a, bool) for a in allowed)
    longest, period, types = (np.frombuffer(a, np.int64) for a in whole)
    source, entry, kind = arcs_of(changes.reshape(P, C, C), types.reshape(M, C, C))
    K = int(longest.max())
    period = np.where(tailed, period, 0)
    folds = int(period.max())
    reach = -(-(K + TILE - 1) // TILE)
    # as long as two windows side by side, each up to 64 or 32 rows longer than it need be where states meet
    length = np.arange(2 * (K + folds) + 6 * TILE + 1)[:, None]
    law_steps = np.where(tailed & (length > longest), -(-(length - longest) // np.maximum(period, 1)), 0)
    law_row = np.maximum(length - law_steps * period, 0)
    law_row[law_row >= rows] = 0
    finite = np.take_along_axis(given.reshape(rows, C), law_row, 0)
    share, *dealt = items_of(tuple(((longest + TILE - 2 + (period > 0)) // TILE).tolist()), threads)
    first = dealt[1]
    # all items take as many steps as the longest: what lies beyond a shorter one is read, and not looked at
    steps = max(reach, int(first.max(initial=0)) + share - 1)
    window = np.clip(TILE * np.arange(steps + 1)[:, None] + 1 + np.arange(WINDOW) - (TILE - 1), 0, len(length) - 1)
    window[:, -1] = 0  # no pair has it
    inside = finite[window]
    nearest, farthest = inside.argmax(1), WINDOW - 1 - inside[:, ::-1].argmax(1)
    j = np.arange(TILE)[:, None, None]  # row r goes from source i to output r + i - 15
    reached = (nearest - (TILE - 1) <= j) & (j <= farthest)
    span = span_of(nearest, farthest) | (reached << j).sum(0) << FULL
    i = np.arange(folds)[:, None, None]
    behind = longest + period - i + 1 + np.arange(TILE)[:, None]  # the row behind the window that is p - i behind K
    fold = np.where(i < period, np.minimum(behind, len(length) - 1), 0)
    near = np.concatenate([np.zeros(TILE - 1), np.arange(TILE + 1)])
    narrow = [a.astype(np.int32) for a in (span, longest, period, source, kind)]
    wide = [a.astype(np.int64) for a in (window, near, fold, entry)]
    arrays = [*dealt, *narrow, law_row, law_steps.astype(np.float64), *wide, tailed]
    there = packed(arrays, device)
    sizes = Sizes(C, K, folds, reach + 1, source.shape[1], source.shape[2], M)
    return Frame._make([sizes, Items(share, *there[:4]), *there[4:], (source[0], kind[0])])


def model_of(frame: Frame, numbers: Numbers, enter: NDArray | None = None) -> Model:
    """Return the kernels' tables for the scores of a frame; nothing waits for the device.

    `enter`: the edge table of a censored left end, in fixed point.
    """
    integer, C = numbers.fixed, frame.sizes.labels
    scale = 1.0 if integer else LOG2E
    slope = torch.where(frame.tailed, numbers.tail, 0.0)
    whole = (numbers.durations.gather(0, frame.law_row) + frame.law_steps * slope) * scale
    window = whole[frame.window]
    top = window.amax(1)
    relative = window - torch.where(top > -torch.inf, top, 0.0)[:, None]
    change = torch.where(frame.source >= 0, numbers.transitions.reshape(-1)[frame.entry] * scale, -torch.inf)

    def score(a: Tensor) -> Tensor:
        a = a.clamp(min=float(NEVER))
        return a.long() if integer else a

    def light(a: Tensor) -> Tensor:  # among 32-bit differences
        return score(a) if integer else a.clamp(min=DARK).float()

    narrow = relative.clamp(min=DEEP).int() if integer else relative.exp2().float()
    narrow = narrow.reshape(len(window), WINDOW // QUAD, QUAD, C).transpose(2, 3).contiguous()
    fold = whole.gather(0, frame.fold.reshape(-1, C)).view(frame.fold.shape)
    forward = score(change[0].reshape(-1))
    return Model(
        sizes=frame.sizes,
        items=frame.items,
        near=light(whole[frame.near]),
        window=narrow,
        window_top=score(top),
        window_span=frame.span,
        law=score(whole),
        fold_law=score(fold),
        tail=score(slope * scale),
        longest=frame.longest,
        period=frame.period,
        enter=forward.new_full((1, C), NEVER) if enter is None else score(sent(enter, whole.device)),
        law_rows=light(whole.T).contiguous(),
        arc_source=frame.source,
        arc_score=light(change),
        arc_type=frame.kind,
        change=forward[:0] if integer else torch.nn.functional.pad(forward, (0, 1), value=float(NEVER)),
        arcs=frame.arcs,
        fixed=integer,
    )


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


def arcs_of(allowed: NDArray, types: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """Return (source, place in the flat transitions, types) of the changes into each label, both ways.

    All are (2, P, D, C), types with an axis M. Backwards, row m serves the boundaries whose phase is -m.
    """
    (P, C), M = allowed.shape[:2], len(types)
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
