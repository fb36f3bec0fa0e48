"""Small hidden semi-Markov models, data drawn from them, and sources of arrays."""

import numpy as np
import torch
from numpy.typing import NDArray

from semiseg.emissions import family
from semiseg.hsmm import Hsmm, no_self, sample
from semiseg.hsmm_durations import make
from semiseg.signals import Source, Strip
from semiseg.survey import Survey

EMISSIONS = {
    "bernoulli": {"p": [[0.9, 0.1, 0.5], [0.1, 0.8, 0.1], [0.05, 0.05, 0.9]]},
    "gaussian": {"mean": [[0.0, 0.0], [3.0, 0.0], [0.0, 3.0]], "variance": [[1.0, 1.0], [0.5, 1.0], [1.0, 2.0]]},
    "negative-binomial": {"mean": [[1.0, 5.0], [9.0, 5.0], [2.0, 400.0]], "size": [[2.0, 2.0], [3.0, 1.0], [2.0, 5.0]]},
    "zero-inflated": {
        "mean": [[1.0, 5.0], [9.0, 5.0], [2.0, 30.0]], "size": [[2.0, 2.0], [3.0, 2.0], [2.0, 5.0]],
        "zero": [[0.1, 0.6], [0.3, 0.1], [0.1, 0.2]],
    },
    "autoregressive": {
        "weights": [[[0.9, 0.0, 0.0]], [[-0.7, 0.0, 0.0]], [[0.2, -0.8, 0.0]]], "variance": [[0.2], [0.4], [0.2]],
    },
}  # fmt: skip


def planted(name: str, mean: float = 30.0) -> Hsmm:
    """A model of three states."""
    values = {key: torch.tensor(x, dtype=torch.float64) for key, x in EMISSIONS[name].items()}
    D = next(iter(values.values())).shape[1]
    column = np.ones(D)
    survey = Survey(tuple(f"c{d}" for d in range(D)), column, 0 * column, column, 0 * column, 1000 * column, column > 0)
    if name == "bernoulli":
        survey = survey._replace(most=column)
    options = {"order": 2} if name == "autoregressive" else {}
    law = make("negative-binomial", 3, 64)
    law.around(torch.full((3,), mean, dtype=torch.float64))
    even = torch.full((3,), 1 / 3, dtype=torch.float64)
    return Hsmm(family(name, survey, **options), law, even, no_self(torch.ones(3, 3, dtype=torch.float64)), values)


def drawn(name: str, length: int, seed: int = 0, mean: float = 30.0) -> tuple[NDArray, NDArray]:
    """Values (T, D) of a planted model, and the states (T,) behind them."""
    x, segments = sample(planted(name, mean), length, seed)
    return x.numpy(), torch.repeat_interleave(segments.label, segments.end - segments.start).numpy()


def source(*arrays: NDArray, name: str = "signals", channels: tuple[str, ...] | None = None) -> Source:
    """A source of arrays (T, D)."""
    names = channels or tuple(f"c{d}" for d in range(arrays[0].shape[1]))
    strips = tuple(
        Strip(f"s{i}", len(x), lambda first, last, x=x: x[first:last].astype(np.float32), len(x))
        for i, x in enumerate(arrays)
    )
    return Source(name, names, strips)


def agreement(found: NDArray, true: NDArray) -> float:
    """Share of positions that agree when each found state stands for the true one that it meets most."""
    table = np.zeros((found.max() + 1, true.max() + 1))
    np.add.at(table, (found, true), 1)
    return float(table.max(1).sum() / len(true))
