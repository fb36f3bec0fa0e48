"""The recipe of a training run, from a small TOML file: what a model is made of, and how it is trained."""

import tomllib
from pathlib import Path
from typing import Any, NamedTuple

from .encoder import SHAPES
from .errors import SemisegError
from .grammar import SIZES
from .training import Recipe, Schedule


class Plan(NamedTuple):
    """A whole recipe file."""

    labels: int = 37
    shape: str = "full"
    soft_masking: bool = False
    family: str = "lognormal"  # of all duration laws
    training: Recipe = Recipe()
    schedule: Schedule = Schedule()
    about: dict[str, Any] = {}  # noqa: RUF012 - never changed


SECTIONS = {"training": Recipe, "schedule": Schedule}


def read(path: Path | None) -> Plan:
    """Return the recipe of a file; what it leaves out is as it is without one."""
    if path is None:
        return Plan()
    try:
        values = tomllib.loads(path.read_text())
    except OSError as error:
        raise SemisegError(f"{path}: cannot read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SemisegError(f"{path}: not TOML: {error}") from None
    fields: dict[str, Any] = {}
    for name, value in values.items():
        if name not in Plan._fields:
            raise SemisegError(f"{path}: unknown {name!r}; there are {', '.join(Plan._fields)}")
        fields[name] = filled(path, name, SECTIONS[name], value) if name in SECTIONS else value
    plan = Plan(**fields)
    if plan.labels not in SIZES:
        raise SemisegError(f"{path}: labels: expected one of {', '.join(map(str, SIZES))}, got {plan.labels!r}")
    if plan.shape not in SHAPES:
        raise SemisegError(f"{path}: shape: expected one of {', '.join(SHAPES)}, got {plan.shape!r}")
    return plan


def filled(path: Path, section: str, kind: Any, values: Any) -> Any:
    """Return a section's record; every value must be of the kind of its default."""
    if not isinstance(values, dict):
        raise SemisegError(f"{path}: {section}: expected a table")
    for name, value in values.items():
        if name not in kind._fields:
            raise SemisegError(f"{path}: {section}: unknown {name!r}; there are {', '.join(kind._fields)}")
        default = kind._field_defaults[name]
        fits = isinstance(value, int | float) if type(default) is float else type(value) is type(default)
        if not fits or (type(default) is not bool and isinstance(value, bool)):
            raise SemisegError(f"{path}: {section}.{name}: expected {type(default).__name__}, got {value!r}")
    return kind(**values)
