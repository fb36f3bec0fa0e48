"""Trained models of signals, from their files: every channel is decoded on its own, at the model's rate.

Where a wave begins is seldom sure to a sample. So the posterior of an end is that of one of its kind near the called
one, and a wave's own is the mean of its label's over it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import calibration, model_file
from .encoder import STRIDE
from .errors import SemisegError
from .kernels import Potentials
from .segment_stream import LOOK, VIEW, Block
from .signal_model import SignalNet, config_of
from .signal_scoring import blocks, part_of, template
from .signals import Source, Strip, alone

KIND = "waves"
SIDES = ("start", "end")
OWN: dict[str, Any] = {"near": 0.0, "least": {}, "calibration": {}}  # stored beside the net's configuration
BETWEEN, GREY = "background", "153,153,153"


class Segmenter(NamedTuple):
    """A model and what goes with it."""

    net: SignalNet
    near: float  # seconds, or positions of a model without a rate: ends that are so far apart count as the same
    least: dict[str, float]  # posterior of a label below which no segment of it is called
    calibration: dict[str, calibration.Calibration]  # of the posteriors of ends, by "<name> start" and "<name> end"
    about: dict[str, Any]

    @property
    def look(self) -> int:
        """Positions that the backward pass begins beyond a view."""
        return LOOK

    @property
    def view(self) -> int:
        """Positions of a view."""
        return VIEW

    @property
    def labels(self) -> tuple[str, ...]:
        """Names, and one for what lies between, whatever it is behind."""
        names = self.net.config.names
        return (*names, *(BETWEEN for _ in names))

    @property
    def colours(self) -> tuple[str, ...]:
        """Of labels."""
        return (*self.net.config.colours, *(GREY for _ in self.net.config.names))

    @property
    def asked(self) -> NDArray[np.bool_]:
        """Whether a label is a name."""
        return np.arange(len(self.labels)) < len(self.net.config.names)

    @property
    def reach(self) -> int:
        """Positions to either side of one that its scores look at."""
        return self.net.encoder.reach + STRIDE

    @property
    def slack(self) -> int:
        """Positions to either side of a called end where one of its kind counts as the same."""
        return round(self.near * (self.net.config.rate or 1.0))

    @property
    def meaning(self) -> str:
        """What its posteriors are."""
        unit = "positions" if self.net.config.rate is None else "seconds"
        return (
            "score: mean posterior of the label over the segment; start_posterior and end_posterior: that a segment "
            f"of the label starts, or ends, within {self.near:g} {unit}"
        )

    def parts(self, source: Source) -> Iterator[tuple[Strip, float]]:
        """Yield every channel, scaled and at the model's rate, and how many samples a position takes."""
        for strip in alone(source):
            part, samples = part_of(strip, strip.rate, self.net.config.rate)
            yield part, float(samples)

    def template(self) -> Potentials:
        """Return the potentials of one position."""
        return template(self.net)

    def blocks(self, strip: Strip) -> Iterator[Block]:
        """Yield the scores of a channel's positions."""
        return blocks(self.net, strip)

    def calibrated(self, labels: NDArray, starts: NDArray, ends: NDArray) -> tuple[NDArray, NDArray]:
        """Return (n,) posteriors of both ends of segments as often as they turn out right."""
        out = starts.copy(), ends.copy()
        for label in np.unique(labels).tolist():
            of = labels == label
            for side, x in zip(SIDES, out, strict=True):
                known = self.calibration.get(f"{self.labels[label]} {side}")
                if known is not None:
                    x[of] = known.apply(x[of])
        return out

    def is_called(self, label: int, posterior: float) -> bool:
        """Return whether a segment is sure enough to be called, by its own posterior."""
        return posterior >= self.least.get(self.labels[label], 0.0)


def save(path: Path, segmenter: Segmenter) -> None:
    """Write a segmenter, weights as bfloat16."""
    own = {name: getattr(segmenter, name) for name in OWN}
    config = {**segmenter.net.config.as_json(), **own}
    model_file.save(path, model_file.Stored(KIND, config, segmenter.about, model_file.shrunk(segmenter.net)))


def load(path: Path) -> Segmenter:
    """Return the segmenter of a file."""
    stored = model_file.load(path)
    if stored.kind != KIND:
        raise SemisegError(f"{path}: a {stored.kind} file, expected a model of {KIND}")
    config = dict(stored.config)
    near, least, maps = (config.pop(name, otherwise) for name, otherwise in OWN.items())
    if not isinstance(near, float) or not isinstance(least, dict) or not isinstance(maps, dict):
        raise SemisegError(f"{path}: expected near as a number, least and calibration by name")
    fitted = {key: found for key, value in maps.items() if (found := calibration.from_json(value)) is not None}
    net = SignalNet(config_of(config))
    model_file.fill(net, stored, path)
    return Segmenter(net.eval(), near, least, fitted, stored.about)
