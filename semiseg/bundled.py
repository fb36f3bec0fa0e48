"""The models that come with the package, by name; nothing here imports torch."""

import hashlib
from pathlib import Path
from typing import NamedTuple

from .errors import SemisegError
from .model_file import read_about

FOLDER = Path(__file__).parent / "weights"
SUFFIX = ".safetensors"
DEFAULT = "compact-eukaryote"


class Listed(NamedTuple):
    """What is known about a model; None where its file does not say."""

    name: str
    bytes: int
    sha256: str
    clade: str | None  # this and what follows as the header's `about` has it
    data: str | None  # learnt from
    genome: str | None
    validated_on: list[str] | None  # sequences
    validation: dict[str, float] | None  # F1 by level, and errors of calibration
    licence: str | None
    step: int | None


def names() -> list[str]:
    """Return the names there are."""
    return sorted(path.stem for path in FOLDER.glob(f"*{SUFFIX}"))


def find(model: str | Path, option: str = "--model") -> Path:
    """Return the file of a model: a path, known by a separator or an ending, or else a name."""
    path = Path(model)
    if path.suffix or path.name != str(model):
        return path  # whoever reads it says what is wrong with it
    if str(model) in names():
        return FOLDER / f"{model}{SUFFIX}"
    if not names():
        raise SemisegError(
            f"{option}: no model comes with this copy of semiseg: give a file that `semiseg train` wrote"
        )
    raise SemisegError(
        f"{option}: no model named {model}; there are {', '.join(names())}; a file is given as ./{model}"
    )


def listing() -> list[Listed]:
    """Return what is known about every model, from the headers of the files."""
    return [describe(name) for name in names()]


def describe(name: str) -> Listed:
    """Return what is known about one model."""
    path = FOLDER / f"{name}{SUFFIX}"
    about = read_about(path)
    return Listed(name, path.stat().st_size, digest(path), *(about.get(field) for field in Listed._fields[3:]))


def digest(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
