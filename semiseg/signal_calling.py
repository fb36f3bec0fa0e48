"""From signals to files: segments as BED or CSV, posteriors as tracks, in one pass."""

import shlex
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import __version__, bundled
from .asked import Asked
from .calling import chosen, followed
from .errors import SemisegError, UsageError
from .formats.bed import EXTRA, write_bed
from .formats.output import writing
from .formats.segments import Segment, bed_rows, write_csv
from .formats.source import open_source
from .formats.tracks import form_of, open_tracks
from .genome import Result
from .parts import Region
from .signal_models import load
from .signal_stream import Called, Stretch, Wanted, segment, segment_isolated, segment_region, track_names
from .signals import Lenient, SignalModel, Source, Strip

FORMS = ("bed9", "bed", "csv")
MEANING = "score: posterior of exactly this segment; start_ and end_ columns: of its ends, 95 % credible intervals"


class Place(NamedTuple):
    """A sequence that is decoded on its own."""

    strip: Strip
    scale: float  # coordinates of a position

    def coordinate(self, position: int) -> int:
        """Return where a boundary lies; the last position may be cut short."""
        return min(round(position * self.scale), self.strip.end)


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


def call(asked: Asked, say: Callable[[str], None], report: Callable[[int, int | None], None]) -> dict[str, Any]:
    """Write what is asked for and return a summary; `report` gets positions done, and how many there are."""
    path = bundled.find(asked.model)
    model, census = load(path), Census()
    source = open_source(asked.input, **asked.reading._asdict() | {"channels": asked.reading.channels or None})
    asked = sensible(asked, model, source)
    watched = source._replace(strips=tuple(map(census.watched, source.strips)))
    places = {strip.name: Place(strip, scale) for strip, scale in model.parts(watched)}
    regions = chosen(asked, lambda: {name: place.strip.end for name, place in places.items()})
    unit = "seconds" if asked.seconds else "samples" if source.rate is not None else "bases"
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
            sink = open_tracks(asked.posteriors, form, names, contigs, comments, bins_of(places))
            stack.callback(sink.abort)
        total = sum(b - a for _, a, b in regions) or sum(place.strip.length for place in places.values())
        found = results(model, places, regions, asked)
        found = followed(found, sink, lambda n: report(n, total))
        segments = (x for result in found for x in told(result, places[result.name], model, asked.least, census))
        if asked.calls:
            write(segments, asked, source, comments)
        else:
            for _ in segments:
                pass
        if not any(census.known.values()):
            raise SemisegError(f"{asked.input}: nothing is known anywhere in it: all values are NaN")
        for name, known in census.known.items():
            if not known and not regions:
                say(f"nothing is known about {name}: its segments are what the model expects of anything")
        if sink is not None:
            sink.close()
    return {"segments": census.segments, "positions": census.positions, "model": path.stem}


def sensible(asked: Asked, model: SignalModel, source: Source) -> Asked:
    """Return what is asked of signals, with what was left to be chosen; refuse what makes no sense there."""
    form = asked.form or ("csv" if asked.output is not None and asked.output.suffix == ".csv" else FORMS[0])
    unknown = set(asked.labels) - set(model.labels)
    if form not in FORMS:
        raise UsageError(f"--format: expected one of {', '.join(FORMS)} of a model of signals, got {form}")
    if unknown:
        raise UsageError(f"--labels: the model has no {', '.join(unknown)}; there are {', '.join(told_about(model))}")
    if asked.resume:
        raise UsageError("--resume is for models that find genes, and this one is of signals")
    if asked.seconds and source.rate is None:
        raise SemisegError(f"--unit: {asked.input} is not in time: only bases and samples are known")
    if asked.settings.isolated and source.rate is not None:
        raise UsageError("--isolated is for regions of chromosomes: cut the recording instead")
    return asked._replace(form=form, labels=asked.labels or told_about(model))


def told_about(model: SignalModel) -> tuple[str, ...]:
    """Return the names of the labels whose segments are written."""
    return tuple(dict.fromkeys(name for name, is_asked in zip(model.labels, model.asked, strict=True) if is_asked))


def bins_of(places: dict[str, Place]) -> int:
    """Return how many coordinates a position of tracks takes."""
    scale = next(iter(places.values())).scale
    return int(scale) if scale == int(scale) else 1


def results(model: SignalModel, places: dict[str, Place], regions: list[Region], asked: Asked) -> Iterator[Result]:
    """Yield what is found in every sequence, or in regions of them."""
    named = np.array([name in asked.labels for name in model.labels])
    wanted = Wanted(named, asked.posteriors is not None, asked.settings.accurate, asked.raw)
    if not regions:
        for name, place in places.items():
            yield Result(name, place.strip.end, segment(model, place.strip, wanted))
        return
    within = segment_isolated if asked.settings.isolated else segment_region
    before: Region | None = None
    for region in regions:
        strip, scale = places[region.name]
        first, last = int(region.start // scale), min(strip.length, int(-(-region.end // scale)))
        done = int(-(-before.end // scale)) if before is not None and before.name == region.name else 0
        yield Result(region.name, strip.end, without(within(model, strip, (first, last), wanted), done))
        before = region


def without(found: Iterator[Stretch], done: int) -> Iterator[Stretch]:
    """Yield stretches without the segments that begin before a position: those were in the region before."""
    for stretch in found:
        yield stretch._replace(calls=[call for call in stretch.calls if call.start >= done])


def told(result: Result, place: Place, model: SignalModel, least: float, census: Census) -> Iterator[Segment]:
    """Yield the segments of a sequence in its coordinates."""
    for stretch in result.stretches:
        census.positions += stretch.last - stretch.first
        for call in stretch.calls:
            segment = placed(call, result.name, place, model)
            if segment.posterior is None or segment.posterior >= least:
                census.segments += 1
                yield segment


def placed(call: Called, name: str, place: Place, model: SignalModel) -> Segment:
    """Return a segment in the coordinates of its sequence."""
    at, sure, posterior = place.coordinate, call.certainty, None
    if sure is not None:
        (a, b), (c, d) = sure.start_ci, sure.end_ci
        sure = sure._replace(start_ci=(at(a), at(b)), end_ci=(at(c), at(d)))
        posterior = sure.label if isinstance(model, Lenient) else sure.segment
    label, colour = model.labels[call.label], model.colours[call.label]
    return Segment(name, at(call.start), at(call.end), label, colour, sure, posterior)


def write(segments: Iterator[Segment], asked: Asked, source: Source, comments: list[str]) -> None:
    """Write segments; nothing stands under the output's name before all of them are there."""
    rate = source.rate if asked.seconds else None
    first = next(segments, None)  # what is wrong with the input is often said before a stream is begun
    segments = segments if first is None else chain([first], segments)
    with writing(asked.output, "bed" if asked.form != "csv" and rate is None else None) as stream:
        if asked.form == "csv":
            write_csv(segments, stream, comments, rate)
        else:
            assert asked.form is not None
            write_bed(bed_rows(segments, asked.form == "bed9", rate), stream, EXTRA[asked.form], comments)
