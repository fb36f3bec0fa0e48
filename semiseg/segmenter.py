"""Trained models of signals: from a file or by name, ready to decode."""

from pathlib import Path
from typing import Any, NamedTuple

from . import calibration, model_file
from .errors import SemisegError
from .signal_model import SignalNet, config_of

KIND = "signals"
SIDES = ("start", "end")


class Segmenter(NamedTuple):
    """A model and what goes with it."""

    net: SignalNet
    calibration: dict[str, calibration.Calibration]  # of the posteriors of ends, by "<name> start" and "<name> end"
    about: dict[str, Any]


def save(path: Path, segmenter: Segmenter) -> None:
    """Write a segmenter, weights as bfloat16."""
    config = {**segmenter.net.config.as_json(), "calibration": segmenter.calibration}
    model_file.save(path, model_file.Stored(KIND, config, segmenter.about, model_file.shrunk(segmenter.net)))


def load(path: Path) -> Segmenter:
    """Return the segmenter of a file."""
    stored = model_file.load(path)
    if stored.kind != KIND:
        raise SemisegError(f"{path}: a {stored.kind} file, expected a model of signals")
    config = dict(stored.config)
    maps = config.pop("calibration", {})
    if not isinstance(maps, dict):
        raise SemisegError(f"{path}: calibration: expected a map by name")
    fitted = {key: found for key, value in maps.items() if (found := calibration.from_json(value)) is not None}
    net = SignalNet(config_of(config))
    model_file.fill(net, stored, path)
    return Segmenter(net.eval(), fitted, stored.about)
