"""A grammar of labels from a small text: which may follow which, where, for how long, and with what kind of boundary.

    period = 3                                    # of `phases`; 1 where it is left out

    [labels.outside]
    then = { exon = "start" }                     # what may follow, and the type of the boundary between
    [labels.exon]
    then = { outside = { boundary = "stop", phases = [0] } }    # only at positions that are 0 modulo 3
    shortest = 3                                  # positions; `longest` too, or `duration` for both
    first = false                                 # may not open a sequence; `last` likewise

`then` may be a list where boundaries have no types; a label without it may be followed by every other. What can never
be used is an error: a label that cannot be reached, one without a way to the end, lengths that do not fit the phases.
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import SemisegError

KEYS = ("then", "first", "last", "shortest", "longest", "duration")
UNTYPED = -1  # a boundary without a type


@dataclass(frozen=True, eq=False)
class LabelGrammar:
    """What segmentations of labelled segments there are."""

    labels: tuple[str, ...]
    allowed: NDArray[np.bool_]  # (P, C, C) source first: may follow at positions that are this modulo P
    boundaries: tuple[str, ...]  # names of the types
    types: NDArray[np.int64]  # (C, C) index in boundaries of every change, UNTYPED: none
    shortest: tuple[int, ...]  # positions, of each label
    longest: tuple[int | None, ...]  # None: no limit
    first: NDArray[np.bool_]  # (C,) may open a sequence
    last: NDArray[np.bool_]  # (C,) may close one

    def rules(self) -> dict[str, list[Any]]:
        """Return what a layer's labels and durations do not say, by what it is about."""
        return {
            "what may follow what": self.allowed.tolist(),
            "what types of boundaries there are": list(self.boundaries),
            "which type a boundary has": self.types.tolist(),
            "what may open a sequence": self.first.tolist(),
            "what may close one": self.last.tolist(),
        }

    @classmethod
    def every(cls, labels: tuple[str, ...], repeats: bool) -> "LabelGrammar":
        """Return the grammar where any label may follow any other, and itself with `repeats`."""
        C = len(labels)
        allowed, free = (np.ones((C, C), bool) if repeats else ~np.eye(C, dtype=bool))[None], np.ones(C, bool)
        return cls(labels, allowed, (), np.full((C, C), UNTYPED), (1,) * C, (None,) * C, free, free)

    @classmethod
    def read(cls, path: str | Path) -> "LabelGrammar":
        """Return the grammar of a TOML file."""
        try:
            text = Path(path).read_text()
        except OSError as error:
            raise SemisegError(f"{path}: cannot read: {error.strerror}") from None
        except UnicodeDecodeError as error:
            raise SemisegError(f"{path}: not TOML: {error}") from None
        return cls.parse(text, str(path))

    @classmethod
    def parse(cls, text: str, name: str = "grammar") -> "LabelGrammar":
        """Return the grammar of a TOML text; `name` stands in front of what is wrong with it.

        >>> rest_or_beat = LabelGrammar.parse('''
        ... [labels.rest]
        ... [labels.beat]
        ... shortest = 5
        ... longest = 12
        ... ''')
        >>> rest_or_beat.labels, rest_or_beat.shortest, rest_or_beat.longest
        (('rest', 'beat'), (1, 5), (None, 12))
        """
        try:
            return _built(tomllib.loads(text))
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise SemisegError(f"{name}: not TOML: {error}") from None
        except SemisegError as error:
            raise SemisegError(f"{name}: {error}") from None


def _built(values: dict[str, Any]) -> LabelGrammar:
    _known("", values, ("period", "labels"))
    period = _integer("period", values.get("period", 1), 1)
    tables = _table("labels", values.get("labels", {}))
    if not tables:
        raise SemisegError("labels: expected a table [labels.NAME] for each label, got none")
    labels, C = tuple(tables), len(tables)
    allowed, types = np.zeros((period, C, C), bool), np.full((C, C), UNTYPED)
    boundaries: dict[str, int] = {}
    shortest, longest, first, last = [], [], [], []
    for c, (label, entry) in enumerate(tables.items()):
        where = f"labels.{label}"
        entry = _table(where, entry)
        _known(where, entry, KEYS)
        low, high = _lengths(where, entry)
        shortest.append(low)
        longest.append(high)
        first.append(_truth(f"{where}.first", entry.get("first", True)))
        last.append(_truth(f"{where}.last", entry.get("last", True)))
        then = entry.get("then", [other for other in labels if other != label])
        for other, boundary, phases in _changes(f"{where}.then", then, labels, period):
            d = labels.index(other)
            allowed[list(phases), c, d] = True
            if boundary is not None:
                types[c, d] = boundaries.setdefault(boundary, len(boundaries))
    grammar = LabelGrammar(
        labels, allowed, tuple(boundaries), types, tuple(shortest), tuple(longest), np.array(first), np.array(last)
    )
    _check(grammar)
    return grammar


def _lengths(where: str, entry: Mapping[str, Any]) -> tuple[int, int | None]:
    """Return the shortest and the longest duration of a label."""
    if "duration" in entry:
        if "shortest" in entry or "longest" in entry:
            raise SemisegError(f"{where}: expected duration, or shortest and longest, got both")
        fixed = _integer(f"{where}.duration", entry["duration"], 1)
        return fixed, fixed
    low = _integer(f"{where}.shortest", entry.get("shortest", 1), 1)
    if "longest" not in entry:
        return low, None
    high = _integer(f"{where}.longest", entry["longest"], 1)
    if high < low:
        raise SemisegError(f"{where}: no length is possible: shortest is {low}, longest {high}")
    return low, high


def _changes(
    where: str, then: Any, labels: tuple[str, ...], period: int
) -> Iterable[tuple[str, str | None, tuple[int, ...]]]:
    """Yield what may follow a label, the type of the boundary and its phases."""
    if not isinstance(then, list | dict):
        raise SemisegError(f"{where}: expected a list of labels or a table, got {then!r}")
    for other in then:
        if other not in labels:
            raise SemisegError(f"{where}: expected any of {', '.join(labels)}, got {other!r}")
        about = then[other] if isinstance(then, dict) else {}
        about = {"boundary": about} if isinstance(about, str) else _table(f"{where}.{other}", about)
        _known(f"{where}.{other}", about, ("boundary", "phases"))
        boundary = about.get("boundary")
        if boundary is not None and not (isinstance(boundary, str) and boundary):
            raise SemisegError(f"{where}.{other}.boundary: expected a name, got {boundary!r}")
        phases = about.get("phases", list(range(period)))
        if not isinstance(phases, list) or not phases:
            raise SemisegError(f"{where}.{other}.phases: expected a list of integers, got {phases!r}")
        yield other, boundary, tuple(_integer(f"{where}.{other}.phases", x, 0, period - 1) for x in phases)


def _check(g: LabelGrammar) -> None:
    """Raise at labels that no segmentation of any length has, from any position on."""
    if not g.first.any():
        raise SemisegError("no label may open a sequence: every one has first = false")
    if not g.last.any():
        raise SemisegError("no label may close a sequence: every one has last = false")
    starts = _reachable(g, np.tile(g.first, (len(g.allowed), 1)), onwards=True)
    for c, label in enumerate(g.labels):
        if not starts[:, c].any():
            raise SemisegError(
                f"labels.{label}: unreachable: nothing that may open a sequence leads to it{_why(g, True)}"
            )
    ends = _reachable(g, np.tile(g.last, (len(g.allowed), 1)), onwards=False)
    for c, label in enumerate(g.labels):
        if not ends[:, c].any():
            raise SemisegError(
                f"labels.{label}: no way out: nothing that may close a sequence comes after it{_why(g, False)}"
            )
        # a segment from a start that is reached to an end that leads out
        if not (starts[:, c] @ _spans(g, c) & ends[:, c]).any():
            lengths = f"{g.shortest[c]}" if g.shortest[c] == g.longest[c] else f"{g.shortest[c]} to {g.longest[c]}"
            raise SemisegError(
                f"labels.{label}: impossible lengths: none of {lengths} leads from where it may start to where it may "
                f"end, modulo {len(g.allowed)}"
            )


def _why(g: LabelGrammar, onwards: bool) -> str:
    """Return a hint where labels alone would lead there, and lengths and phases do not."""
    labels = (g.first if onwards else g.last).copy()
    change = g.allowed.any(0)
    for _ in g.labels:
        labels |= labels @ change if onwards else change @ labels
    return f" with these lengths and phases modulo {len(g.allowed)}" if labels.all() and len(g.allowed) > 1 else ""


def _spans(g: LabelGrammar, c: int) -> NDArray[np.bool_]:
    """Return (P, P): whether a segment of a label may go from one phase to another."""
    P = len(g.allowed)
    longest = g.longest[c]
    lengths = range(g.shortest[c], g.shortest[c] + P) if longest is None else range(g.shortest[c], longest + 1)
    out = np.zeros((P, P), bool)
    for k in lengths[:P]:
        out[np.arange(P), (np.arange(P) + k) % P] = True
    return out


def _reachable(g: LabelGrammar, begun: NDArray[np.bool_], onwards: bool) -> NDArray[np.bool_]:
    """Return (P, C) the phases and labels that segments start in (onwards), or end in (backwards to the end)."""
    spans = [_spans(g, c) for c in range(len(g.labels))]
    found = begun.copy()
    while True:
        beyond = found.copy()
        for c, span in enumerate(spans):
            through = found[:, c] @ span if onwards else span @ found[:, c]  # ends it gets to, or starts it comes from
            for phase in np.flatnonzero(through):
                beyond[phase] |= g.allowed[phase, c] if onwards else g.allowed[phase, :, c]
        if (beyond == found).all():
            return found
        found = beyond


def _known(where: str, values: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for name in values:
        if name not in known:
            raise SemisegError(f"{where + ': ' if where else ''}unknown {name!r}; there are {', '.join(known)}")


def _table(where: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise SemisegError(f"{where}: expected a table, got {value!r}")
    return value


def _integer(where: str, value: Any, low: int, high: int | None = None) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < low or (high is not None and value > high):
        wanted = f"an integer >= {low}" if high is None else f"integers in {low}..{high}"
        raise SemisegError(f"{where}: expected {wanted}, got {value!r}")
    return value


def _truth(where: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise SemisegError(f"{where}: expected true or false, got {value!r}")
    return value
