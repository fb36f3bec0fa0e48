"""Where boundaries are rare the recursion goes over lists of sources: the same scores as over tiles."""

import numpy as np
import pytest
import torch
from larger import larger

from semiseg.kernels import fixed
from semiseg.kernels.cpu import directions
from semiseg.kernels.cpu.directions import Direction
from semiseg.kernels.potentials import Boundary, Potentials
from semiseg.kernels.resolve import resolve, sequence

WAYS = "forward", "backward", "fixed"


def rarely(seed: int, T: int = 700) -> Potentials:
    """A model whose labels change at one boundary in ten; one label may go on for ever and is never cut."""
    rng = np.random.default_rng(seed)
    while True:
        p = larger(int(rng.integers(1 << 30)), T, C=5)
        if p.tail is not None and p.tail[0] > -torch.inf:
            break
    scores = rng.normal(size=(T + 1, 6))
    scores[1:T][rng.random((T - 1, 6)) < 0.9] = -np.inf
    first = Boundary(torch.from_numpy(scores), torch.from_numpy(rng.integers(0, 6, (5, 5))))
    return p._replace(boundaries=(first, *p.boundaries[:1]))


def direction(p: Potentials, way: str, rare: bool) -> Direction:
    x = sequence(*resolve(p), 0)
    out = Direction(x, reverse=way == "backward")
    if way == "fixed":
        quantised, tables = fixed.quantised(x)
        out = Direction(quantised, tables=tables, source=x)
    assert out.rare
    out.rare = rare
    return out


def travelled(run: Direction, stops: list[int]) -> tuple:
    """Scores at all boundaries, less one constant, and the state at the end."""
    state, rows = run.start(), []
    for stop in stops:
        offset = state.offset
        state, alpha, h = run.step(state, stop)
        rows.append((alpha + offset, h + offset))
    alpha, h = (np.concatenate(x) for x in zip(*rows, strict=True))
    return alpha, h, *(x + state.offset for x in state[2:])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("seed", range(6))
def test_lists_give_what_tiles_give(seed, way, monkeypatch):
    p = rarely(seed)
    T = len(p.emissions)
    stops = [1, 66, 300, 301, T] if seed % 2 else [T]
    monkeypatch.setattr(directions, "FEW", 1e-9)  # as many steps as it takes
    monkeypatch.setattr(directions, "advance", None)  # and no tiles
    got = travelled(direction(p, way, True), stops)
    monkeypatch.undo()
    want = travelled(direction(p, way, False), stops)
    floor = fixed.FLOOR if way == "fixed" else -np.inf
    assert 0.005 < (want[1] > floor).mean() < 0.5
    names = ("alpha", "h", "alpha at the end", "entry", "ring", "folded", "first")
    for name, a, b in zip(names, got, want, strict=True):
        live = a > floor
        if name == "alpha":  # elsewhere nothing could follow
            assert not (live & ~(b > floor)).any()
        else:
            np.testing.assert_array_equal(live, b > floor, err_msg=name)
        if way == "fixed":
            np.testing.assert_array_equal(a[live], b[live], err_msg=name)
        else:
            np.testing.assert_allclose(a[live], b[live], rtol=0, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("way", WAYS)
def test_gives_up_where_too_much_is_alive(way, monkeypatch):
    """Nothing of the state has changed by then: tiles go on from it."""
    p = rarely(1)
    want = travelled(direction(p, way, False), [len(p.emissions)])
    run = direction(p, way, True)
    monkeypatch.setattr(directions, "FEW", 1 << 40)  # no steps but a few
    got = travelled(run, [len(p.emissions)])
    for a, b in zip(got, want, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("seed", range(4))
def test_what_a_start_folds_into_may_be_known_ahead(seed, way, monkeypatch):
    """Sequences of one model share it: the same bits, whatever is cut on the way."""
    monkeypatch.setattr(directions, "FEW", 1e-9)
    monkeypatch.setattr(directions, "advance", None)
    p = rarely(seed)
    run, found = direction(p, way, True), []
    for alive in (None, run.alive()):
        state = run.start()
        T, C = len(p.emissions), len(state.alpha)
        rows = [np.full((1, T, C), run.never, run.dtype) for _ in range(2)]
        arrays = [x[None].copy() for x in state[2:]] + rows
        bases = run.advance(run.emissions(0, T)[None], run.scores(0, T)[None], [run.phase(0)], 0, [T], arrays, alive)
        found.append([bases, *arrays])
    for one, other in zip(*found, strict=True):
        assert np.array_equal(one, other)
