"""Trained gene finders: from a file or by name, ready to decode."""

from pathlib import Path
from typing import Any, NamedTuple

from . import calibration, model_file
from .errors import SemisegError
from .gene_model import GeneModel, config_of

KIND = "genes"


class Finder(NamedTuple):
    """A model and what goes with it."""

    model: GeneModel
    calibration: calibration.Calibration | None
    about: dict[str, Any]


def save(path: Path, finder: Finder) -> None:
    """Write a finder, weights as bfloat16."""
    config = {**finder.model.config.as_json(), "calibration": finder.calibration}
    model_file.save(path, model_file.Stored(KIND, config, finder.about, model_file.shrunk(finder.model)))


def load(path: Path) -> Finder:
    """Return the finder of a file."""
    stored = model_file.load(path)
    if stored.kind != KIND:
        raise SemisegError(f"{path}: a {stored.kind} file, expected a gene model")
    config = dict(stored.config)
    calibrated = calibration.from_json(config.pop("calibration", None))
    model = GeneModel(config_of(config))
    model_file.fill(model, stored, path)
    return Finder(model.eval(), calibrated, stored.about)
