"""The recipe of a training run, from a small TOML file: what a model is made of, and how it is trained."""

import math
import re
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

from .augmentation import Augment
from .encoder import SHAPES
from .errors import SemisegError
from .grammar import SIZES
from .signal_model import SHAPES as SIGNAL_SHAPES
from .training import Recipe, Schedule


class Plan(NamedTuple):
    """A whole recipe file."""

    labels: int = 37
    shape: str = "full"
    soft_masking: bool = False
    family: str = "lognormal"  # of all duration laws
    longest: int = 256  # explicit durations, at most: every one costs time, and a tail none
    backbone: str = ""  # folder of a language model in place of the encoder
    training: Recipe = Recipe()
    schedule: Schedule = Schedule()
    about: dict[str, Any] = {}  # noqa: RUF012 - never changed


class SignalPlan(NamedTuple):
    """A whole recipe file for signals."""

    shape: str = "small"
    rate: float = 0.0  # positions a second that recordings are brought to; 0: they are taken as they are
    longest: int = 160  # explicit durations, at most
    tolerance: float = 0.04  # seconds that an end may be off by, where it is validated
    near: float = 0.02  # seconds: posteriors of ends are those of an end within so much
    colours: dict[str, str] = {}  # noqa: RUF012
    least: dict[str, float] = {}  # noqa: RUF012 - mean posterior of a label over a segment that is called, at least
    training: Recipe = Recipe()
    schedule: Schedule = Schedule()
    augment: Augment = Augment()
    about: dict[str, Any] = {}  # noqa: RUF012 - never changed


SECTIONS = {"training": Recipe, "schedule": Schedule, "augment": Augment}


class Range(NamedTuple):
    """What a number of a section may be."""

    least: float = 0.0
    most: float = math.inf
    but: tuple[float, ...] = ()  # ends that are not in it


COUNTED, ABOVE, SHARE, PART = Range(1), Range(but=(0.0,)), Range(most=1), Range(most=1, but=(1.0,))
RANGES = {
    **dict.fromkeys(("window", "batch", "steps", "validate", "patience", "bases"), COUNTED),
    **dict.fromkeys(("rate", "clip", "lowest", "highest"), ABOVE),
    **dict.fromkeys(("genes", "mutate", "flip", "coarse", "lost", "mix", "most", "turned"), SHARE),
    **dict.fromkeys(("average", "dropout"), PART),
}
OF_GENES = ("genes", "mutate", "composition")  # in [training]


def read_signals(path: Path | None) -> SignalPlan:
    """Return the recipe of a file for signals; what it leaves out is as it is without one."""
    if path is None:
        return SignalPlan()
    plan = SignalPlan(**values_of(path, SignalPlan))
    if plan.shape not in SIGNAL_SHAPES:
        raise SemisegError(f"{path}: shape: expected one of {', '.join(SIGNAL_SHAPES)}, got {plan.shape!r}")
    for name in OF_GENES:
        if getattr(plan.training, name) != Recipe._field_defaults[name]:
            raise SemisegError(f"{path}: training: {name} is about genes")
    for name in ("rate", "tolerance", "near"):
        in_range(path, name, getattr(plan, name), Range())
    in_range(path, "longest", plan.longest, Range(2))
    for name, least in plan.least.items():
        if not (isinstance(least, int | float) and 0 <= least <= 1):
            raise SemisegError(f"{path}: least.{name}: expected a posterior from 0 to 1, got {least!r}")
    for name, colour in plan.colours.items():
        if not (isinstance(colour, str) and re.fullmatch(r"\d{1,3},\d{1,3},\d{1,3}", colour)):
            raise SemisegError(f"{path}: colours.{name}: expected 'red,green,blue', got {colour!r}")
    return plan


def read(path: Path | None) -> Plan:
    """Return the recipe of a file; what it leaves out is as it is without one."""
    if path is None:
        return Plan()
    plan = Plan(**values_of(path, Plan))
    if plan.labels not in SIZES:
        raise SemisegError(f"{path}: labels: expected one of {', '.join(map(str, SIZES))}, got {plan.labels!r}")
    if plan.shape not in SHAPES:
        raise SemisegError(f"{path}: shape: expected one of {', '.join(SHAPES)}, got {plan.shape!r}")
    if plan.family != "lognormal" and not plan.training.fit_laws:
        raise SemisegError(f"{path}: family: {plan.family} laws begin flat: set fit_laws = true in [training]")
    in_range(path, "longest", plan.longest, Range(1))
    return plan


def values_of(path: Path, kind: Any) -> dict[str, Any]:
    """Return the values in a file, which must be those of a kind of plan."""
    try:
        values = tomllib.loads(path.read_text())
    except OSError as error:
        raise SemisegError(f"{path}: cannot read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SemisegError(f"{path}: not TOML: {error}") from None
    fields: dict[str, Any] = {}
    for name, value in values.items():
        if name not in kind._fields:
            raise SemisegError(f"{path}: unknown {name!r}; there are {', '.join(kind._fields)}")
        if name in SECTIONS:
            fields[name] = filled(path, name, SECTIONS[name], value)
        else:
            fields[name] = fitting(path, name, value, kind._field_defaults[name])
    return fields


def in_range(path: Path, name: str, value: float, r: Range) -> None:
    """Refuse a number that a run cannot go by."""
    if not (r.least <= value <= r.most and value not in r.but and math.isfinite(value)):
        low = f"above {r.least:g}" if r.least in r.but else f"at least {r.least:g}"
        high = "" if r.most == math.inf else f" and {'below' if r.most in r.but else 'at most'} {r.most:g}"
        raise SemisegError(f"{path}: {name}: expected {low}{high}, got {value}")


def filled(path: Path, section: str, kind: Any, values: Any) -> Any:
    """Return a section's record; every value must be of the kind of its default."""
    if not isinstance(values, dict):
        raise SemisegError(f"{path}: {section}: expected a table")
    for name, value in values.items():
        if name not in kind._fields:
            raise SemisegError(f"{path}: {section}: unknown {name!r}; there are {', '.join(kind._fields)}")
        fitting(path, f"{section}.{name}", value, kind._field_defaults[name])
        if not isinstance(value, bool):
            in_range(path, f"{section}.{name}", value, RANGES.get(name, Range()))
    return kind(**values)


def fitting(path: Path, name: str, value: Any, default: Any) -> Any:
    """Return a value of the kind of its default."""
    fits = isinstance(value, int | float) if type(default) is float else type(value) is type(default)
    if not fits or (type(default) is not bool and isinstance(value, bool)):
        raise SemisegError(f"{path}: {name}: expected {type(default).__name__}, got {value!r}")
    return value
