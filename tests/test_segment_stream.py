"""A stream's segments and what is known about them: those of the whole, to the last bit wherever blocks end."""

import gc
import weakref
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from genes import random_genome
from larger import forced_cycle, larger, long_tail
from models import frame_grammar, informative
from test_stream import blocks as parts_of

from semiseg import kernels, segment_stream
from semiseg.kernels.cpu.marginals import Part, Smoother
from semiseg.kernels.cpu.posteriors import Wanted
from semiseg.kernels.potentials import Potentials
from semiseg.kernels.views import forgets
from semiseg.segment_stream import Block, Found, certain, views

SIZES = (1, 37, 1000, 10_000)
VIEW, LOOK = 500, 200
SAME = 1e-5  # a view's posteriors against those of the whole: what seams may be off by, and roundings
CLOSE = 1e-6
LARGER = {f"larger {seed}": larger(seed, T=2500) for seed in range(8)}
MODELS = LARGER | {
    "informative": informative(4000, 4, 50, 1, "censored"),
    "forced cycle": forced_cycle(),
    "long tail": long_tail(4000),
    "frame grammar": frame_grammar(random_genome(6000, 2, 500, 200), edge="censored"),
}


def cut(p: Potentials, size: int) -> Iterator[Block]:
    """The scores in blocks."""
    T = len(p.emissions)
    for a in range(0, T, size):
        b = min(T, a + size)
        yield Block(p.emissions[a:b], tuple(m.scores[a : b + (b == T)] for m in p.boundaries))


def positions(part: Part) -> np.ndarray:
    """Posteriors of labels, and of boundary types."""
    assert part.kinds is not None
    return np.concatenate([part.position, part.kinds], 1)


def streamed(p: Potentials, asked: np.ndarray, size: int, view: int = VIEW, look: int = LOOK) -> list[Found]:
    """What the stream says."""
    ready = views(cut(p, size), p, asked, view, look)
    return list(certain(ready, concepts(p), positions, Wanted(changes=True)))


def concepts(p: Potentials) -> np.ndarray:
    """Two labels mean the same."""
    return np.maximum(np.arange(p.emissions.shape[1]), 1)


def labels(p: Potentials, some: str) -> np.ndarray:
    """Which are asked about."""
    C = p.emissions.shape[1]
    return {"all": np.ones(C, bool), "none": np.zeros(C, bool), "some": np.arange(C) % 2 == 1}[some]


def numbers(found: list[Found]) -> list[np.ndarray]:
    """Everything there is, as arrays."""
    out = []
    for one in found:
        out += [np.array([one.first, one.last]), one.segments, one.asked]
        out += [x.numpy() for x in one.calls or ()] + ([] if one.tracks is None else [one.tracks])
    return out


def compare(p: Potentials, found: list[Found]) -> int:
    """Check what a stream says against the whole; return how many segments were told about."""
    edges = [one.first for one in found] + [found[-1].last]
    assert edges[0] == 0
    assert edges[1:] == [one.last for one in found]
    assert edges[-1] == len(p.emissions)
    best = kernels.viterbi(p).segments
    np.testing.assert_array_equal(np.concatenate([one.segments for one in found]), torch.stack(best[1:], 1))
    asked = torch.from_numpy(np.concatenate([one.asked for one in found]))
    some = kernels.Segments(*(x[asked] for x in best))
    want = ("position", "boundaries")
    whole = kernels.marginals(p, want=want, segments=some, concepts=torch.from_numpy(concepts(p)))
    expected = torch.cat([whole.position, *(x[:-1] for x in whole.boundaries)], 1)
    np.testing.assert_allclose(np.concatenate([one.tracks for one in found]), expected, atol=SAME)
    if asked.any():
        compare_calls(found, whole.calls)
    return int(asked.sum())


def compare_calls(found: list[Found], whole: kernels.Calls) -> None:
    """Check what is said about segments; of an interval that reaches out of its view, the stream knows a part."""
    told = [one for one in found if one.calls is not None]
    calls = kernels.Calls(*map(torch.cat, zip(*(one.calls for one in told), strict=True)))
    for name in ("start", "end", "segment", "label"):
        np.testing.assert_allclose(getattr(calls, name), getattr(whole, name), atol=SAME, err_msg=name)
    first, last = (
        torch.cat([torch.full((len(one.calls.start),), getattr(one, name)) for one in told])
        for name in ("first", "last")
    )
    for side in ("start", "end"):
        got, right = ([getattr(x, f"{side}_{name}") for name in ("low", "high")] for x in (calls, whole))
        inside = (first <= right[0]) & (right[1] <= last)
        different = inside & ((got[0] != right[0]) | (got[1] != right[1]))
        assert different.sum() <= 0.02 * inside.sum(), side  # where two are as short, rounding decides


@pytest.mark.parametrize("some", ["all", "none", "some"])
@pytest.mark.parametrize("name", MODELS)
def test_a_stream_says_what_the_whole_says(name: str, some: str) -> None:
    p = MODELS[name]
    asked = labels(p, some)
    found = streamed(p, asked, 1000)
    told = compare(p, found)
    rows = np.concatenate([one.segments for one in found])
    if some != "all":  # nothing that is asked about is cut
        assert told == asked[rows[:, 2]].sum()
    if name not in ("long tail", "forced cycle"):
        assert len(found) > 3


@pytest.mark.parametrize("some", ["all", "none", "some"])
@pytest.mark.parametrize("name", [*LARGER, "frame grammar"])
def test_blocks_change_nothing(name: str, some: str) -> None:
    p = MODELS[name]._replace(emissions=MODELS[name].emissions[:1500])
    p = p._replace(boundaries=tuple(m._replace(scores=m.scores[:1501]) for m in p.boundaries))
    first, *others = (numbers(streamed(p, labels(p, some), size)) for size in SIZES)
    for other in others:
        for x, y in zip(first, other, strict=True):
            np.testing.assert_array_equal(x, y, strict=True)


@pytest.mark.parametrize("view", [150, 500])
def test_views_that_do_not_look_far_are_worked_out_again(view: int, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[kernels.Views] = []

    class Seen(kernels.Views):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            made.append(self)

    monkeypatch.setattr(segment_stream, "Views", Seen)
    p = frame_grammar(random_genome(3000, seed=2), edge="censored", contrast=0.0)
    asked = labels(p, "some")
    compare(p, streamed(p, asked, 1000, view, 5))
    compare(p, streamed(p, asked, 1000, view, 2000))
    short, far = made
    assert short.repaired > far.repaired
    assert short.repaired > len(p.emissions) // view  # and some more than once
    assert max(short.certificate, far.certificate) <= CLOSE


def test_a_short_stream_is_one_view() -> None:
    p = MODELS["informative"]
    p = p._replace(emissions=p.emissions[:3])
    (found,) = streamed(p, labels(p, "all"), 1)
    compare(p, [found])


def concatenated(p: Potentials, size: int, look: int) -> tuple[np.ndarray, kernels.Views]:
    """Posteriors of views of one size, and what made them."""

    def work(smoother: Smoother, note: object) -> np.ndarray:
        return np.concatenate([np.concatenate([x.start, x.end, x.position], 1) for x in smoother.parts(Wanted())])

    made = kernels.Views(work, 2)
    parts = parts_of(p, size)
    out = []
    for i, part in enumerate(parts):
        beyond = None if i + 1 == len(parts) else parts_of(parts[i + 1], look)[0]
        out += made.add(part._replace(left="censored" if i else p.left), beyond, i)
    return np.concatenate([*out, *made.close()]), made


@pytest.mark.parametrize("look", [20, 300])
@pytest.mark.parametrize("name", [*LARGER, "forced cycle", "frame grammar"])
def test_views_side_by_side_are_the_whole(name: str, look: int) -> None:
    p = MODELS[name]
    found, _ = concatenated(p, 400, look)
    whole = kernels.marginals(p, want=("start", "end", "position"))
    expected = [whole.start[:-1].clone(), whole.end[1:].clone(), whole.position]
    C, rows = found.shape[1] // 3, slice(None)
    if p.left == "censored":  # a first segment may have begun before
        rows = slice(1, None)
    np.testing.assert_allclose(found[rows, :C], expected[0][rows], atol=CLOSE)
    np.testing.assert_allclose(found[:-1, C : 2 * C], expected[1][:-1], atol=CLOSE)
    np.testing.assert_allclose(found[:, 2 * C :], expected[2], atol=CLOSE)


def thirds(p: Potentials) -> list[Potentials]:
    """Three parts, of which the first two are as a stream has them."""
    return parts_of(p, -(-len(p.emissions) // 3))[:3]


def test_what_is_far_is_forgotten_or_not() -> None:
    assert forgets(*thirds(frame_grammar(random_genome(12_000, 2, 500, 200), edge="censored", contrast=0.5)))
    assert not forgets(*thirds(forced_cycle()._replace(right="censored")))


def test_what_is_done_is_let_go_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """The passes of a view end with it: in a cycle, they would stay until a collector comes by, views later."""
    seen: list[weakref.ref] = []
    settled = Smoother.__init__

    def noted(self: Smoother, *arguments, **options) -> None:
        settled(self, *arguments, **options)
        seen.append(weakref.ref(self))

    monkeypatch.setattr(Smoother, "__init__", noted)
    p = MODELS["informative"]
    gc.disable()
    try:
        for _ in certain(views(cut(p, 1000), p, labels(p, "all"), VIEW, LOOK), concepts(p)):
            assert sum(ref() is not None for ref in seen) <= 2
    finally:
        gc.enable()
    assert len(seen) > 4
