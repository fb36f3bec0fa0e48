"""The kernels' tables: long enough for whatever is read of them, looked at or not."""

import pytest

pytest.importorskip("triton")

import torch
from larger import long_tail
from models import informative
from where import DEVICE, ON_GPU

from semiseg.kernels.devices import moved
from semiseg.kernels.expansion import expand
from semiseg.kernels.gpu.inputs import law_and_grammar, look
from semiseg.kernels.gpu.model import Model, Numbers, frame_of, model_of
from semiseg.kernels.gpu.tiles import TILE
from semiseg.kernels.potentials import Potentials
from semiseg.kernels.resolve import resolve

if ON_GPU:
    pytestmark = pytest.mark.gpu


def made(potentials: Potentials, threads: int) -> Model:
    """The tables of a model."""
    leaves, layout = resolve(expand(moved(potentials, DEVICE)).potentials)
    frame = frame_of(law_and_grammar(look(leaves, layout).small, layout), threads, DEVICE)
    return model_of(frame, Numbers(leaves.durations, leaves.tail, leaves.transitions, fixed=False))


@pytest.mark.parametrize("threads", [32, 64, 128])
@pytest.mark.parametrize("C", [1, 7, 12, 20, 31])
@pytest.mark.parametrize("K", [1, 15, 16, 17, 33, 64, 129, 255, 256, 257])
def test_every_step_of_every_item_has_a_window(threads, C, K):
    """Items shorter than the longest take its steps too: what they read there once was the next table."""
    model = made(informative(40, C, K, seed=1), threads)
    farthest = int(model.items.first.max()) + model.items.reach - 1
    assert farthest < len(model.window) == len(model.window_top) == len(model.window_span)
    needed = model.items.blocks.sum() if C == 1 else model.items.blocks[model.items.label == 0].sum()
    assert int(needed) * TILE + TILE > K  # and the items reach all durations


def test_windows_beyond_the_longest_duration_are_finite():
    model = made(long_tail(60), 64)
    assert bool(torch.isfinite(model.window).all())
