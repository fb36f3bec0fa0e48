"""Segments, and tracks of posteriors, of a sequence that is read from left to right, or of a region of it."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from .accuracy import most_accurate
from .ahead import in_stages
from .assembly import certainties
from .flanks import NEAR, flank
from .genes import Certainty
from .kernels import Potentials
from .kernels.cpu.marginals import Part
from .near_ends import NearEnds, ends_of
from .segment_stream import Block, Found, certain, views
from .signals import Lenient, SignalModel, Strip

SHORT = 1 << 14  # positions of a sequence whose stages are not worth threads of their own
ALIGNED = 1 << 6  # positions: a model that sees coarsely in places sees the same in a stretch that begins at a multiple


class Called(NamedTuple):
    """A segment, in positions; where one lies in the mean may be between them."""

    start: float
    end: float
    label: int
    certainty: Certainty | None


class Stretch(NamedTuple):
    """What is certain about the next positions."""

    first: int
    last: int
    calls: list[Called]  # those that end in it
    tracks: NDArray | None  # (last - first, tracks)
    complete: int = 0  # no segment that is told later begins left of it


class Wanted(NamedTuple):
    """What is asked for."""

    asked: NDArray  # (C,) bool: labels whose segments are told
    tracks: bool = False
    accurate: bool = False  # the segments that are expected to have most positions right
    raw: bool = False  # what comes out of the potentials: without calibration, nor what a model makes of it


def concepts(labels: Sequence[str]) -> NDArray:
    """Return (C,) numbers, the same for labels of one name."""
    return np.array([labels.index(name) for name in labels])


def track_names(labels: Sequence[str]) -> list[str]:
    """Return what the columns of tracks are: labels, and entropy in bits."""
    return [*dict.fromkeys(labels), "entropy"]


def tracks_of(gather: NDArray, part: Part) -> NDArray:
    """Return (n, tracks) posteriors of a stretch; `gather` (C, names) sums labels of one name."""
    labels = (part.position @ gather).clip(0, 1)
    entropy = -np.where(labels > 0, labels * np.log2(np.where(labels > 0, labels, 1)), 0).sum(1, keepdims=True)
    return np.concatenate([labels, entropy], 1).astype(np.float32)


def segment(model: SignalModel, strip: Strip, wanted: Wanted) -> Iterator[Stretch]:
    """Yield what is found in a sequence, as it becomes certain."""
    return stretches(model, model.blocks(strip), wanted, 0, model.view, model.look, strip.length > SHORT)


def segment_region(model: SignalModel, strip: Strip, region: tuple[int, int], wanted: Wanted) -> Iterator[Stretch]:
    """Yield what `segment` gives of the whole there: segments that overlap the region, and tracks inside it.

    It reads on beyond the region until what is in it is certain, and begins so far left of it that nothing further
    left matters.
    """
    start = flank(lambda a, b: between(model, strip, a, b), strip.length, region[0])
    yield from within(stretches(model, blocks_from(model, strip, start), wanted, start, NEAR, NEAR, True), region)


def within(found: Iterator[Stretch], region: tuple[int, int]) -> Iterator[Stretch]:
    """Yield what overlaps a region, and tracks inside it, as far as that is needed."""
    first, last = region
    for x in found:
        a, b = max(x.first, first), min(x.last, last)
        calls = [call for call in x.calls if call.start < last and call.end > first]
        inside = None if x.tracks is None else x.tracks[max(0, a - x.first) : max(0, b - x.first)]
        yield Stretch(min(a, last), max(min(a, last), b), calls, inside)
        if x.last >= last and x.complete >= last:
            return


def segment_isolated(model: SignalModel, strip: Strip, region: tuple[int, int], wanted: Wanted) -> Iterator[Stretch]:
    """Yield what is found in a region as if nothing lay around it."""
    part = part_of(strip, *region)
    return stretches(model, model.blocks(part), wanted, region[0], model.view, model.look, part.length > SHORT)


def stretches(
    model: SignalModel, blocks: Iterator[Block], wanted: Wanted, start: int, view: int, look: int, threaded: bool
) -> Iterator[Stretch]:
    """Yield what is found in scores that begin at `start`."""
    laws = model.template()._replace(origin=start)
    beside = in_stages(laws.emissions.device) if threaded else iter
    cut = beside(views(beside(blocks), laws, wanted.asked, view, look))
    if wanted.accurate:
        shortest = torch.isfinite(laws.durations[1:]).double().argmax(0) + 1
        cut = beside(most_accurate(cut, laws, wanted.asked, shortest.numpy()))
    same = concepts(model.labels)
    names, column = np.unique(same, return_inverse=True)
    gather = (same[:, None] == names).astype(float)
    lenient = model if isinstance(model, Lenient) else None
    asked = ([partial(tracks_of, gather)] if wanted.tracks else []) + ([partial(ends_of, gather)] if lenient else [])
    reduce = (lambda part: np.concatenate([of(part) for of in asked], 1)) if asked else None
    for found in certain(cut, same, reduce):
        if lenient is not None:
            found = leniently(found, lenient, column, wanted.raw)
        stretch = told(found, wanted.asked, start)
        if lenient is not None and not wanted.raw:
            stretch = stretch._replace(calls=sure_enough(lenient, stretch.calls))
        yield stretch if wanted.tracks else stretch._replace(tracks=None)


def leniently(found: Found, model: Lenient, column: NDArray, raw: bool) -> Found:
    """Return what was found with ends where they lie in the mean, and posteriors that one lies near.

    The last columns of its tracks are of ends.
    """
    assert found.tracks is not None
    width = 2 * (int(column.max()) + 1)
    ends, tracks = found.tracks[:, -width:], found.tracks[:, :-width]
    if found.calls is None:
        return found._replace(tracks=tracks)
    there, segments = NearEnds(ends), found.segments.astype(np.float64)
    labels = found.segments[found.asked, 2]
    names, offset = column[labels], np.array([found.first, found.first, 0])
    rows = there.settled(found.segments[found.asked] - offset, names, model.slack)
    starts, stops = there.near(np.round(rows).astype(np.int64), names, model.slack)
    if not raw:
        starts, stops = model.calibrated(labels, starts, stops)
    segments[found.asked] = rows + offset
    calls = found.calls._replace(start=torch.from_numpy(starts), end=torch.from_numpy(stops))
    return found._replace(segments=segments, calls=calls, tracks=tracks)


def sure_enough(model: Lenient, calls: list[Called]) -> list[Called]:
    """Return those calls that a model stands by."""
    return [x for x in calls if x.certainty is not None and model.is_called(x.label, x.certainty.label)]


def told(found: Found, asked: NDArray, start: int) -> Stretch:
    """Return the segments that are asked about, with what is known about them, where they are."""
    known = {} if found.calls is None else dict(certainties(found, None))
    calls = []
    labels = found.segments[:, 2].astype(np.int64)
    for (a, b, _), label in zip(found.segments[asked[labels]].tolist(), labels[asked[labels]].tolist(), strict=True):
        sure = known.get(a)
        if sure is not None and start:
            low, high = ((x + start, y + start) for x, y in (sure.start_ci, sure.end_ci))
            sure = sure._replace(start_ci=low, end_ci=high)
        calls.append(Called(start + a, start + b, label, sure))
    complete = int(found.segments[-1, 1]) if len(found.segments) else 0
    return Stretch(start + found.first, start + found.last, calls, found.tracks, start + complete)


def part_of(strip: Strip, first: int, last: int) -> Strip:
    """Return a stretch of a sequence as a sequence of its own."""
    return strip._replace(length=last - first, read=lambda a, b: strip.read(first + a, first + b))


def blocks_from(model: SignalModel, strip: Strip, first: int) -> Iterator[Block]:
    """Yield the scores of a sequence from a position on, as they are in the whole."""
    low = max(0, first - model.reach) // ALIGNED * ALIGNED
    before = first - low
    for block in model.blocks(part_of(strip, low, strip.length)):
        n = len(block.emissions)
        if before < n:
            yield Block(block.emissions[before:], tuple(x[before:] for x in block.scores))
        before = max(0, before - n)


def between(model: SignalModel, strip: Strip, first: int, last: int) -> Potentials:
    """Return the potentials of a stretch of a sequence."""
    low, high = max(0, first - model.reach) // ALIGNED * ALIGNED, min(strip.length, last + model.reach + 1)
    parts = list(model.blocks(part_of(strip, low, high)))
    laws = model.template()
    maps = []
    for m, *rows in zip(laws.boundaries, *(x.scores for x in parts), strict=True):
        maps.append(m._replace(scores=torch.cat(rows)[first - low : last - low + 1]))
    emissions = torch.cat([x.emissions for x in parts])[first - low : last - low]
    return laws._replace(emissions=emissions, boundaries=tuple(maps), origin=first)
