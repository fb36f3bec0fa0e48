"""From signals to files: segments as BED or CSV, posteriors as tracks, in one pass."""

import math
import shlex
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import __version__, bundled
from .asked import Asked
from .calling import chosen
from .errors import SemisegError, UsageError
from .following import Result, followed
from .formats.bed import EXTRA, write_bed
from .formats.output import format_of, writing
from .formats.segments import Segment, bed_rows, write_csv
from .formats.source import open_source
from .formats.tracks import form_of, open_tracks
from .formats.wfdb_annotations import write_annotations
from .kernels.cpu.threads import pool
from .parts import Region
from .signal_models import load
from .signal_stream import (
    SHORT,
    Called,
    Stretch,
    Wanted,
    segment,
    segment_isolated,
    segment_region,
    track_names,
    within,
)
from .signals import Lenient, SignalModel, Source, Strip

FORMS = ("bed9", "bed", "csv", "wfdb")
ENDINGS = {".bed": "bed9", ".csv": "csv"}
AHEAD = 8  # short sequences that are worked on before they are used
MEANING = "score: posterior of exactly this segment; start_..., end_...: of its ends, and 95 % credible intervals"


class Place(NamedTuple):
    """A sequence that is decoded on its own."""

    strip: Strip
    scale: float  # coordinates of a position
    rate: float | None  # coordinates a second

    def coordinate(self, position: float) -> int:
        """Return where a boundary lies; the last position may be cut short."""
        return min(round(position * self.scale), self.strip.end)

    def positions(self, start: int, end: int) -> tuple[int, int]:
        """Return the positions that cover some coordinates."""
        return int(start // self.scale), min(self.strip.length, math.ceil(end / self.scale))


class Census:
    """Counts what summaries and warnings are about."""

    def __init__(self) -> None:
        self.segments = self.positions = 0
        self.known: dict[str, int] = {}  # numbers read of each sequence that are not NaN

    def watched(self, strip: Strip) -> Strip:
        """Return a sequence whose numbers are counted as they are read."""
        self.known[strip.name] = 0

        def read(first: int, last: int) -> NDArray:
            values = strip.read(first, last)
            self.known[strip.name] += values.size - int(np.isnan(values).sum())
            return values

        return strip._replace(read=read)

    def sure(self, segments: Iterator[Segment], asked: Asked) -> Iterator[Segment]:
        """Yield segments; in the end something has to be known where they lie."""
        yield from segments
        if not any(self.known.values()):
            raise SemisegError(f"{asked.input}: nothing is known anywhere in it: all values are NaN")


def call(asked: Asked, say: Callable[[str], None], report: Callable[[int, int | None], None]) -> dict[str, Any]:
    """Write what is asked for and return a summary; `report` gets positions done, and how many there are."""
    path = bundled.find(asked.model)
    model, census = load(path), Census()
    dataset, rate, channels = asked.reading
    source = open_source(asked.input, dataset=dataset, rate=rate, channels=channels or None)
    watched = source._replace(strips=tuple(map(census.watched, source.strips)))
    places = {strip.name: placed(strip, scale, source) for strip, scale in model.parts(watched)}
    is_timed = any(place.rate is not None for place in places.values())
    asked = sensible(asked, model, is_timed)
    regions = chosen(asked, lambda: {name: place.strip.end for name, place in places.items()}, say)
    unit = "seconds" if asked.seconds else "samples" if is_timed else "bases"
    meaning = model.meaning if isinstance(model, Lenient) else MEANING
    comments = [
        f"semiseg {__version__}", *([f"command: {shlex.join(asked.command)}"] if asked.command else []),
        f"model: {path.name}, sha256 {bundled.digest(path)}", f"{meaning}; in {unit}",
    ]  # fmt: skip
    with ExitStack() as stack:
        sink = None
        if asked.posteriors is not None:
            form = asked.track_form or form_of(asked.posteriors)
            contigs = [(name, place.strip.end) for name, place in places.items()]
            names = track_names(model.labels)
            size = bins_of(places)
            sink = open_tracks(asked.posteriors, form, names, contigs, comments, size or 1)
            stack.callback(sink.abort)
        total = sum(b - a for _, a, b in regions) or sum(place.strip.length for place in places.values())
        found = results(model, places, regions, asked, is_timed)
        if sink is not None and size is None:
            found = (spread(result, places[result.name]) for result in found)
        found = followed(found, sink, lambda n: report(n, total))
        segments = census.sure((x for r in found for x in told(r, places[r.name], model, asked, census)), asked)
        if asked.calls:
            write(segments, asked, comments)
        else:
            for _ in segments:
                pass
        for name, known in census.known.items():
            if not known and not regions:
                say(f"nothing is known about {name}: its segments are what the model expects of anything")
        if sink is not None:
            sink.close()
    return {"segments": census.segments, "positions": census.positions, "model": path.stem}


def sensible(asked: Asked, model: SignalModel, is_timed: bool) -> Asked:
    """Return what is asked of signals, with what was left to be chosen; refuse what makes no sense there."""
    form = asked.form or format_of(asked.output, ENDINGS, FORMS[0])
    unknown = set(asked.labels) - set(model.labels)
    if form not in FORMS:
        raise UsageError(f"--format: expected one of {', '.join(FORMS)} of a model of signals, got {form}")
    if unknown:
        raise UsageError(f"--labels: the model has no {', '.join(unknown)}; there are {', '.join(told_about(model))}")
    if form == "wfdb" and (asked.output is None or str(asked.output) == "-" or asked.seconds):
        raise UsageError("--format: wfdb needs --output, a folder of a file a recording, and is in samples")
    if asked.resume:
        raise UsageError("--resume is for models that find genes, and this one is of signals")
    if asked.seconds and not is_timed:
        raise SemisegError(f"--unit: {asked.input} is not in time: only bases and samples are known")
    if asked.settings.isolated and is_timed:
        raise UsageError("--isolated is for regions of chromosomes: cut the recording instead")
    return asked._replace(form=form, labels=asked.labels or told_about(model))


def told_about(model: SignalModel) -> tuple[str, ...]:
    """Return the names of the labels whose segments are written."""
    return tuple(dict.fromkeys(name for name, is_asked in zip(model.labels, model.asked, strict=True) if is_asked))


def placed(strip: Strip, scale: float, source: Source) -> Place:
    """Return a sequence with what its coordinates are; its own rate is that of its positions."""
    return Place(strip, scale, source.rate if strip.rate is None else strip.rate * scale)


def bins_of(places: dict[str, Place]) -> int | None:
    """Return how many coordinates a position of tracks takes, if that is a whole number and the same everywhere."""
    scales = {place.scale for place in places.values()}
    scale = min(scales, default=1)
    return int(scale) if len(scales) < 2 and scale == int(scale) else None


def spread(result: Result[Stretch], place: Place) -> Result[Stretch]:
    """Return what is found with tracks that have a row a coordinate."""

    def stretches() -> Iterator[Stretch]:
        for x in result.stretches:
            assert x.tracks is not None
            first, last = place.coordinate(x.first), place.coordinate(x.last)
            rows = ((np.arange(first, last) + 0.5) / place.scale).astype(int).clip(x.first, x.last - 1)
            yield x._replace(first=first, last=last, tracks=x.tracks[rows - x.first])

    return result._replace(stretches=stretches())


def results(
    model: SignalModel, places: dict[str, Place], regions: list[Region], asked: Asked, is_timed: bool
) -> Iterator[Result[Stretch]]:
    """Yield what is found in every sequence, or in regions of them."""
    named = np.array([name in asked.labels for name in model.labels])
    wanted = Wanted(named, asked.posteriors is not None, asked.settings.accurate, asked.raw)
    if not regions:
        yield from every(model, places, wanted)
        return
    before: Region | None = None
    for region in regions:
        place = places[region.name]
        where = place.positions(region.start, region.end)
        if asked.settings.isolated:
            found = segment_isolated(model, place.strip, where, wanted)
        elif is_timed:  # recordings are short, and scaled as a whole
            found = within(segment(model, place.strip, wanted), where)
        else:
            found = segment_region(model, place.strip, where, wanted)
        is_next = before is not None and before.name == region.name
        done = place.positions(0, before.end)[1] if before is not None and is_next else 0
        yield Result(region.name, place.strip.end, without(found, done))
        before = region


def every(model: SignalModel, places: dict[str, Place], wanted: Wanted) -> Iterator[Result[Stretch]]:
    """Yield what is found in every sequence; short ones are worked on side by side, ahead of what is used."""
    workers = pool(role="sequences")
    waiting: deque[tuple[str, int, Future[list[Stretch]]]] = deque()

    def waited(most: int) -> Iterator[Result[Stretch]]:
        while len(waiting) > most:
            name, length, found = waiting.popleft()
            yield Result(name, length, iter(found.result()))

    for name, (strip, _, _) in places.items():
        if strip.length > SHORT:
            yield from waited(0)
            yield Result(name, strip.end, segment(model, strip, wanted))
            continue
        waiting.append((name, strip.end, workers.submit(list, segment(model, strip, wanted))))
        yield from waited(AHEAD)
    yield from waited(0)


def without(found: Iterator[Stretch], done: int) -> Iterator[Stretch]:
    """Yield stretches without the segments that begin before a position: those were in the region before."""
    for stretch in found:
        yield stretch._replace(calls=[call for call in stretch.calls if call.start >= done])


def told(result: Result[Stretch], place: Place, model: SignalModel, asked: Asked, census: Census) -> Iterator[Segment]:
    """Yield the segments of a sequence in its coordinates."""
    rate = place.rate if asked.seconds else None
    is_lenient = isinstance(model, Lenient)  # asking takes as long as telling a segment
    for stretch in result.stretches:
        census.positions += stretch.last - stretch.first
        for call in stretch.calls:
            here = at_home(call, result.name, place, model, is_lenient)._replace(rate=rate)
            if here.posterior is None or here.posterior >= asked.least:
                census.segments += 1
                yield here


def at_home(call: Called, name: str, place: Place, model: SignalModel, is_lenient: bool) -> Segment:
    """Return a segment in the coordinates of its sequence."""
    at, sure, posterior = place.coordinate, call.certainty, None
    if sure is not None:
        (a, b), (c, d) = sure.start_ci, sure.end_ci
        sure = sure._replace(start_ci=(at(a), at(b)), end_ci=(at(c), at(d)))
        posterior = sure.label if is_lenient else sure.segment
    label, colour = model.labels[call.label], model.colours[call.label]
    return Segment(name, at(call.start), at(call.end), label, colour, sure, posterior=posterior)


def write(segments: Iterator[Segment], asked: Asked, comments: list[str]) -> None:
    """Write segments; nothing stands under the output's name before all of them are there."""
    first = next(segments, None)  # what is wrong with the input is often said before a stream is begun
    segments = segments if first is None else chain([first], segments)
    if asked.form == "wfdb":
        assert asked.output is not None
        write_annotations(asked.output, segments)
        return
    with writing(asked.output, "bed" if asked.form != "csv" and not asked.seconds else None) as stream:
        if asked.form == "csv":
            write_csv(segments, stream, comments)
        else:
            assert asked.form is not None
            write_bed(bed_rows(segments, asked.form == "bed9"), stream, EXTRA[asked.form], comments)
