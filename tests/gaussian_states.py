"""A small model of signals: labels with a mean in every channel, unit variance, lengths of a law with a tail."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from semiseg import model_file
from semiseg.durations import Lognormal, tabulate
from semiseg.errors import SemisegError
from semiseg.kernels import Potentials
from semiseg.segment_stream import Block
from semiseg.signals import Source, Strip

KIND = "gaussian"


class Gaussian:
    """What decoding wants of a model."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.labels, self.colours = tuple(config["labels"]), tuple(config["colours"])
        self.asked = np.array(config["asked"])
        self.view, self.look, self.reach, self.block = config["view"], config["look"], 0, config["block"]
        self.means = torch.tensor(config["means"])  # (C, channels)

    def parts(self, source: Source) -> Iterator[tuple[Strip, float]]:
        if len(source.channels) != self.means.shape[1]:
            raise SemisegError(f"{source.name}: expected {self.means.shape[1]} channels, found {len(source.channels)}")
        yield from ((strip, source.bin) for strip in source.strips)

    def template(self) -> Potentials:
        C = len(self.labels)
        laws = tabulate([Lognormal(40) for _ in range(C)])
        change = torch.full((C, C), -np.log(C - 1)).fill_diagonal_(-torch.inf)
        return Potentials(
            torch.zeros(1, C), laws.durations.detach(), change, laws.longest, laws.tail.detach(),
            first=torch.full((C,), -np.log(C)), left="censored", right="censored",
        )  # fmt: skip

    def blocks(self, strip: Strip) -> Iterator[Block]:
        for a in range(0, strip.length, self.block):
            x = torch.from_numpy(strip.read(a, min(a + self.block, strip.length)))
            score = -0.5 * (x[:, None] - self.means) ** 2
            yield Block(torch.where(torch.isnan(score), 0.0, score).sum(-1), ())


def config(C: int = 3, channels: int = 2, seed: int = 0, view: int = 1 << 16, look: int = 1 << 13) -> dict[str, Any]:
    """What builds a model; the last two labels have one name."""
    means = np.random.default_rng(seed).normal(0, 1.5, (C, channels)).round(3).tolist()
    labels = [f"E{min(i, C - 2) + 1}" for i in range(C)]
    colours = [f"{i * 20},0,{255 - i * 20}" for i in range(C)]
    return {
        "labels": labels, "colours": colours, "asked": [True] * C, "means": means, "view": view, "look": look,
        "block": 1 << 12,
    }  # fmt: skip


def save(path: Path, config: dict[str, Any]) -> None:
    """Write a model."""
    model_file.save(path, model_file.Stored(KIND, config, {}, {}))


def load(path: Path) -> Gaussian:
    """Return the model of a file."""
    return Gaussian(model_file.load(path).config)
