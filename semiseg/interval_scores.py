"""Scores of called segments in a file against true ones, as tables of numbers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .errors import SemisegError
from .formats.labels import SILENT, read_segments
from .intervals import Agreement, Segment, compare
from .reliability import Reliability, measure

NEAR = 20.0  # milliseconds, or positions without a rate: posteriors of ends are those of an end so near
CLOSE = 3.0  # positions that an end may be off by, where nothing is said
PATIENT = (150.0, 40.0)  # milliseconds that one of a recording may be off by


class Absent(NamedTuple):
    """What is called by a name in sequences whose truth has none of it."""

    sequences: int
    called: int
    beside: dict[str, int]  # true segments of other names there


class Scores(NamedTuple):
    """How well calls agree with the truth."""

    tolerances: tuple[float, ...]  # milliseconds where there is a rate, positions elsewhere
    rate: float | None
    agreement: Agreement
    reliability: Reliability | None  # of ends that came with a posterior
    absent: dict[str, Absent]
    without_calls: int  # sequences of the truth

    def mean_end(self, tolerance: float) -> float:
        """Return the mean F1 of ends of all names and sides."""
        positions = in_positions(tolerance, self.rate)
        levels = self.agreement.names.values()
        return float(np.mean([x.f1 for level in levels for (_, t), x in level.ends.items() if t == positions]))

    @property
    def mean_interval(self) -> float:
        """Mean F1 of intervals of all names."""
        return float(np.mean([level.interval.f1 for level in self.agreement.names.values()]))


def in_positions(length: float, rate: float | None) -> float:
    """Return a length in positions that is in milliseconds where there is a rate."""
    return length if rate is None else length * rate / 1000


def score_files(truth: Path, calls: Path, tolerances: Sequence[float] = (), rate: float | None = None) -> Scores:
    """Score BED against BED; `rate` is that of the samples that both count in."""
    true = {name: [s for s in found if s.name != SILENT] for name, found in read_segments(truth).items()}
    if not any(true.values()):
        raise SemisegError(f"{truth}: there is nothing in it to find")
    found = read_segments(calls)
    if found and not found.keys() & true.keys():
        raise SemisegError(
            f"{calls}: of other sequences than {truth}: {next(iter(found))}, and there {next(iter(true))}"
        )
    allowed = tuple(tolerances) or ((CLOSE,) if rate is None else PATIENT)
    agreement = compare(true, found, [in_positions(x, rate) for x in allowed], in_positions(NEAR, rate))
    judged = agreement.judged
    belief, right = np.array([j.posterior for j in judged]), np.array([j.right for j in judged])
    ends = 2 * sum(len(x) for x in true.values())
    return Scores(
        allowed, rate, agreement, measure(belief, right, ends) if judged else None,
        {name: absent(name, true, found) for name in agreement.names}, sum(name not in found for name in true),
    )  # fmt: skip


def absent(name: str, truth: dict[str, list[Segment]], calls: dict[str, list[Segment]]) -> Absent:
    """Return what is called by a name where truth has none, between the first and the last true segment."""
    where = [sequence for sequence, found in truth.items() if found and all(s.name != name for s in found)]
    called, beside = 0, dict.fromkeys(sorted({s.name for found in truth.values() for s in found} - {name}), 0)
    for sequence in where:
        first, last = min(s.start for s in truth[sequence]), max(s.end for s in truth[sequence])
        called += sum(c.name == name and c.start < last and c.end > first for c in calls.get(sequence, ()))
        for s in truth[sequence]:
            beside[s.name] += 1
    return Absent(len(where), called, beside)


def as_dict(scores: Scores) -> dict[str, Any]:
    """Return scores as plain values."""
    factor = 1.0 if scores.rate is None else 1000 / scores.rate
    names = {
        name: {
            "ends": {
                side: {f"{t * factor:g}": figures(x) for (s, t), x in level.ends.items() if s == side}
                | {"errors": {key: value * factor for key, value in level.errors[side]._asdict().items()}}
                for side in level.errors
            },
            "interval": figures(level.interval),
            "absent": scores.absent[name]._asdict(),
        }
        for name, level in scores.agreement.names.items()
    }
    return {
        "unit": "positions" if scores.rate is None else "ms",
        "names": names,
        "mean_end_f1": {f"{t:g}": scores.mean_end(t) for t in scores.tolerances},
        "mean_interval_f1": scores.mean_interval,
        "calls_outside": scores.agreement.outside,
        "sequences_without_calls": scores.without_calls,
        "ends_with_posterior": 0 if scores.reliability is None else scores.reliability.exons,
        "ece": None if scores.reliability is None else scores.reliability.ece,
        "brier": None if scores.reliability is None else scores.reliability.brier,
    }


def figures(accuracy: Any) -> dict[str, float]:
    """Return counts and figures of an accuracy."""
    return {**accuracy._asdict(), "precision": accuracy.precision, "recall": accuracy.recall, "f1": accuracy.f1}
