"""What a signal model learns from: channels of recordings with their annotation, and what is set aside."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .errors import SemisegError
from .formats.labels import SILENT, read_segments
from .formats.recordings import open_recordings
from .gene_model import LawConfig
from .intervals import Segment
from .signal_grammar import SignalGrammar, grammar_of
from .signal_windows import Lead
from .signals import Source, Strip, alone
from .training import UNKNOWN

FEW = 20  # lengths too few to say anything about a law
NARROWEST = 0.1  # spread of the log of durations, at least
NAMED = 3  # that a message lists


class Corpus(NamedTuple):
    """Channels by role."""

    grammar: SignalGrammar
    training: list[Lead]
    validation: list[Lead]
    truth: dict[str, list[Segment]]  # of what is set aside, without what is unknown
    notes: list[str]


def gather(recordings: Path, labels: Path, validation: Sequence[str], rate: float | None = None) -> Corpus:
    """Return the channels of recordings that have labels; those of records named for validation are not learnt from."""
    source = open_recordings(recordings, rate=rate)
    annotated = read_segments(labels)
    strips = {strip.name: (record, strip) for record in source.strips for strip in alone(one(source, record))}
    unknown = [name for name in annotated if name not in strips]
    if unknown:
        there = ", ".join(list(strips)[:NAMED])
        raise SemisegError(f"{labels}: {', '.join(unknown[:NAMED])}: no such recording; there are {there}, ...")
    names = tuple(sorted({s.name for found in annotated.values() for s in found} - {SILENT}))
    if not names:
        raise SemisegError(f"{labels}: no labels")
    records = [strip.name for strip in source.strips]
    aside = set(validation or records[:: max(2, min(8, len(records)))])
    if aside - set(records):
        raise SemisegError(f"--val: no recording named {', '.join(sorted(aside - set(records))[:NAMED])}")
    leads: dict[bool, list[Lead]] = {True: [], False: []}
    truth = {}
    for name, found in annotated.items():
        record, strip = strips[name]
        check(labels, name, found, strip)
        rows = np.array([(s.start, s.end, UNKNOWN if s.name == SILENT else names.index(s.name)) for s in found])
        lead = Lead(name, record.name, strip.read(0, strip.length)[:, 0].astype(np.float32), strip.rate, rows)
        leads[record.name in aside].append(lead)
        if record.name in aside:
            truth[name] = [s for s in found if s.name != SILENT]
    if not leads[False]:
        raise SemisegError(f"{labels}: no labels outside of the recordings to validate on")
    if len({lead.rate for lead in leads[True]}) > 1:
        raise SemisegError("--val: recordings of several sampling rates; validate on those of one")
    without = len(strips) - len(annotated)
    notes = [f"{without} channels have no labels and are left out"] if without else []
    return Corpus(grammar_of(names), leads[False], leads[True], truth, notes)


def one(source: Source, strip: Strip) -> Source:
    """Return a source of one of its sequences."""
    return source._replace(strips=(strip,))


def check(path: Path, name: str, found: Sequence[Segment], strip: Strip) -> None:
    """Raise where labels lie outside of their recording, or over each other."""
    for s in found:
        if s.end > strip.length:
            where = f"{s.name} {s.start}-{s.end} lies outside: the recording has {strip.length} samples"
            raise SemisegError(f"{path}: {name}: {where}")
    for a, b in pairwise(found):
        if b.start < a.end:
            raise SemisegError(f"{path}: {name}: {a.name} {a.start}-{a.end} and {b.name} {b.start}-{b.end} overlap")


def laws(corpus: Corpus, rate: float | None, most: int) -> tuple[LawConfig, ...]:
    """Return the lognormal law of every label, in the model's positions, with at most so many explicit lengths."""
    n = len(corpus.grammar.names)
    lengths: list[list[float]] = [[] for _ in range(2 * n)]
    for lead in corpus.training:
        samples = (lead.rate or 1.0) / (rate or lead.rate or 1.0)
        for start, end, name in lead.rows:
            if name != UNKNOWN:
                lengths[name].append((end - start) / samples)
        for (_, end, name), (start, _, after) in pairwise(lead.rows):
            if UNKNOWN not in (name, after) and start > end:
                lengths[n + name].append((start - end) / samples)
    every = [x for found in lengths for x in found]
    return tuple(law(np.array(found if len(found) >= FEW else every), most) for found in lengths)


def law(seen: NDArray, most: int) -> LawConfig:
    """Return the law of lengths that were seen."""
    logs = np.log(np.maximum(seen, 1.0))
    longest = max(2, min(int(np.quantile(seen, 0.995)), most))
    shape = {"mean": float(logs.mean()), "deviation": float(max(NARROWEST, logs.std()))}
    return LawConfig("lognormal", longest, 1, shape)
