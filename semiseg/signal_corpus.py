"""What a signal model learns from: channels of recordings with their annotation, and what is set aside."""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .errors import SemisegError, show_names
from .formats.labels import SILENT, read_segments
from .formats.recordings import open_recordings
from .gene_model import LawConfig
from .intervals import Segment
from .scaling import scale_of
from .signal_grammar import SignalGrammar, grammar_of
from .signal_windows import Lead, stretch
from .signals import Source, Strip, alone
from .training import UNKNOWN

FEW = 20  # lengths too few to say anything about a law
NARROWEST = 0.1  # spread of the log of durations, at least


class Annotated(NamedTuple):
    """Channels that have labels."""

    grammar: SignalGrammar
    leads: list[Lead]
    truth: dict[str, list[Segment]]  # without what is unknown
    records: list[str]  # all that there are, those without labels too
    notes: list[str]


class Corpus(NamedTuple):
    """Channels by role."""

    grammar: SignalGrammar
    training: list[Lead]
    validation: list[Lead]
    truth: dict[str, list[Segment]]  # of what is set aside
    notes: list[str]

    @property
    def aside(self) -> list[str]:
        """Names of the recordings that are set aside."""
        return sorted({lead.record for lead in self.validation})


def set_aside(found: Annotated, validation: Sequence[str] = ()) -> Corpus:
    """Return what there is with the records named for validation set aside, or with a few."""
    aside = set(validation or found.records[:: max(2, min(8, len(found.records)))])
    if aside - set(found.records):
        unknown = show_names(sorted(aside - set(found.records)))
        raise SemisegError(f"--val: no recording named {unknown}; there are {show_names(found.records)}")
    corpus = apart(found, aside)
    if not corpus.training:
        raise SemisegError("--val: no labels outside of the recordings to validate on")
    check_rates(corpus.validation, "--val", "validate on those of one")
    return corpus


def dealt(found: Annotated, folds: int) -> list[Corpus]:
    """Return as many splits, each with other recordings set aside, and all of them once."""
    records = list(dict.fromkeys(lead.record for lead in found.leads))
    if folds > len(records):
        raise SemisegError(f"--folds {folds}: only {len(records)} recordings have labels")
    check_rates(found.leads, "--folds", "set some of one aside with --val")
    return [apart(found, set(records[i::folds])) for i in range(folds)]


def whole(found: Annotated) -> Corpus:
    """Return all of it to learn from, and all of it to validate on."""
    return Corpus(found.grammar, found.leads, found.leads, found.truth, found.notes)


def apart(found: Annotated, aside: set[str]) -> Corpus:
    """Return what there is with some recordings set aside."""
    training, validation = ([x for x in found.leads if (x.record in aside) is role] for role in (False, True))
    truth = {lead.name: found.truth[lead.name] for lead in validation}
    return Corpus(found.grammar, training, validation, truth, found.notes)


def read(recordings: Path, labels: Path, rate: float | None = None) -> Annotated:
    """Return the channels of recordings that have labels."""
    source = open_recordings(recordings, rate=rate)
    annotated = read_segments(labels)
    strips = {strip.name: (record, strip) for record in source.strips for strip in alone(one(source, record))}
    unknown = [name for name in annotated if name not in strips]
    if unknown:
        raise SemisegError(f"{labels}: {show_names(unknown)}: no such recording; there are {show_names(strips)}")
    names = tuple(sorted({s.name for found in annotated.values() for s in found} - {SILENT}))
    if not names:
        raise SemisegError(f"{labels}: no labels")
    leads = []
    for name, found in annotated.items():
        record, strip = strips[name]
        check(labels, name, found, strip)
        rows = np.array([(s.start, s.end, UNKNOWN if s.name == SILENT else names.index(s.name)) for s in found])
        values = strip.read(0, strip.length)[:, 0].astype(np.float32)
        if not scale_of(partial(stretch, values), len(values), strip.rate or 1.0).spread > 0:
            raise SemisegError(
                f"{labels}: {name}: the channel is constant, or nothing in it is known: leave its rows out"
            )
        leads.append(Lead(name, record.name, values, strip.rate, rows))
    truth = {name: [s for s in found if s.name != SILENT] for name, found in annotated.items()}
    without = len(strips) - len(annotated)
    notes = [f"{without} channels have no labels and are left out"] if without else []
    return Annotated(grammar_of(names), leads, truth, [strip.name for strip in source.strips], notes)


def labelled(names: Sequence[str], leads: Sequence[Lead]) -> str:
    """Return how much is known about the names in channels."""
    return f"{', '.join(names)}: {counted(leads)} channels"


def counted(leads: Sequence[Lead]) -> str:
    """Return how many labels there are in how many channels."""
    return f"{sum(int((lead.rows[:, 2] != UNKNOWN).sum()) for lead in leads)} in {len(leads)}"


def check_rates(leads: Sequence[Lead], option: str, instead: str) -> None:
    """Raise where what is to be judged together counts other samples."""
    if len({lead.rate for lead in leads}) > 1:
        raise SemisegError(f"{option}: recordings of several sampling rates; {instead}")


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
