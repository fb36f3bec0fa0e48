"""A fitted model of states as decoding wants it, and on disk."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from . import model_file
from .emissions import family
from .errors import SemisegError
from .hsmm import Hsmm
from .hsmm_data import Reader, Stretch
from .hsmm_durations import make
from .hsmm_names import colours, in_order, names
from .kernels import Potentials
from .segment_stream import LOOK, VIEW, Block
from .signals import Source, Strip, channel_names
from .survey import Survey, survey_of

KIND = "states"
BLOCK = 1 << 15  # positions scored at a time


class StatesModel:
    """What decoding asks of a model, of a hidden semi-Markov model."""

    look, view = LOOK, VIEW

    def __init__(self, hsmm: Hsmm, survey: Survey, config: dict[str, Any], about: dict[str, Any]):
        self.hsmm, self.survey, self.config, self.about = hsmm, survey, config, about
        self.labels: tuple[str, ...] = tuple(config["names"])
        self.colours: tuple[str, ...] = tuple(config["colours"])
        self.asked = np.ones(len(self.labels), bool)
        self.read = Reader(hsmm.family.context)

    def parts(self, source: Source) -> Iterator[tuple[Strip, float]]:
        bin, rate = self.config["bin"], self.config["rate"]
        if source.bin != bin:
            raise SemisegError(f"{source.name}: its positions are of {source.bin}, those of the model of {bin}")
        for strip in source.strips:
            found = strip.rate or source.rate
            if rate is not None and found is not None and found != rate:
                raise SemisegError(
                    f"{source.name}: {strip.name} has {found:g} positions a second, the model is of {rate:g}:"
                    " fit one to signals of this rate"
                )
            yield picked(source, strip, self.survey.channels), float(bin)

    def template(self) -> Potentials:
        return self.hsmm.potentials(torch.zeros(1, self.hsmm.states, dtype=torch.float64))

    def blocks(self, strip: Strip) -> Iterator[Block]:
        for first in range(0, strip.length, BLOCK):
            x, _ = self.read.values((Stretch(strip, first, min(strip.length, first + BLOCK)),))
            self.check(strip, x[0])
            with torch.no_grad():
                yield Block(self.hsmm.density(x)[0], ())

    def check(self, strip: Strip, x: torch.Tensor) -> None:
        """Refuse values of another kind than those that the model learnt from."""
        foreign = self.hsmm.family.foreign(x)
        if foreign.any():
            row, column = foreign.nonzero()[0].tolist()
            where = f"{strip.name}: channel {self.survey.channels[column]}"
            kind = f"which is none of a {self.config['family']} model"
            raise SemisegError(f"{where}: a value of {float(x[row, column]):g}, {kind}")


def picked(source: Source, strip: Strip, channels: Sequence[str]) -> Strip:
    """Return a strip with the channels of a model, in its order; refuse one that lacks some or has others."""
    there = channel_names(source, strip)
    if len(channels) == len(there) == 1 or tuple(channels) == tuple(there):
        return strip
    missing, foreign = [c for c in channels if c not in there], [c for c in there if c not in channels]
    if missing:
        raise SemisegError(f"{source.name}: no channel {', '.join(missing)}, which the model knows")
    if foreign:
        raise SemisegError(
            f"{source.name}: the model does not know channel {', '.join(foreign)}: choose with --channels"
        )
    order = [there.index(c) for c in channels]
    return strip._replace(read=lambda first, last: strip.read(first, last)[:, order], channels=tuple(channels))


def build(
    hsmm: Hsmm, survey: Survey, source: Source, kind: str, options: dict[str, Any], durations: str, longest: int,
    about: dict[str, Any],
) -> StatesModel:  # fmt: skip
    """Return a fitted model with its states in order and named; `source` is like those it was fitted to."""
    hsmm = in_order(hsmm, survey)
    config = {
        "family": kind, "options": options, "durations": durations, "longest": longest, "states": hsmm.states,
        "bin": source.bin, "rate": source.rate, "survey": survey.as_json(),
        "names": names(hsmm.states), "colours": colours(hsmm.states, len(survey.channels)),
    }  # fmt: skip
    return StatesModel(hsmm, survey, config, about)


def save(path: Path, model: StatesModel) -> None:
    """Write a model."""
    model_file.save(path, model_file.Stored(KIND, model.config, model.about, model.hsmm.state()))


def load(path: Path) -> StatesModel:
    """Return the model of a file."""
    stored = model_file.load(path)
    if stored.kind != KIND:
        raise SemisegError(f"{path}: a {stored.kind} file, expected a model of states, as `semiseg fit` writes")
    c = stored.config
    try:
        survey = survey_of(c["survey"])
        kind = family(c["family"], survey, **c["options"])
        law = make(c["durations"], c["states"], c["longest"])
        nothing = torch.zeros(c["states"], dtype=torch.float64)
        hsmm = Hsmm(kind, law, nothing, nothing, {})
        hsmm.load(stored.tensors)
        for name, x in {"occupancy": hsmm.occupancy, "changes": hsmm.changes, **hsmm.emissions}.items():
            if len(x) != c["states"]:
                raise ValueError(f"{name} has shape {tuple(x.shape)}, for {c['states']} states")
        return StatesModel(hsmm, survey, c, stored.about)
    except SemisegError:
        raise
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        why = " ".join(str(error).split())  # torch tells it in several lines
        raise SemisegError(f"{path}: its tensors are not those of its configuration: {why}") from None
