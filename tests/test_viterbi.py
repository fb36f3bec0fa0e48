"""Viterbi: enumeration = naive = compiled = chunked = streamed, score and path, to the last bit."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import enumeration
import numpy as np
import pytest
import torch
from cases import Named, grid, ragged, tied
from larger import forced_cycle, larger, long_tail

from semiseg.kernels import fixed, viterbi
from semiseg.kernels.cpu.stream import LOOK, ViterbiStream
from semiseg.kernels.cpu.viterbi import Path, viterbi_item
from semiseg.kernels.errors import InfeasibleError, PotentialsError, UndecidedError
from semiseg.kernels.naive import naive_viterbi
from semiseg.kernels.plan import Plan
from semiseg.kernels.potentials import Boundary, Potentials
from semiseg.kernels.resolve import Sequence, resolve, sequence

POOLS = {threads: ThreadPoolExecutor(threads) for threads in (1, 2)}


def items(potentials: Potentials) -> Iterator[tuple[int, Sequence]]:
    leaves, layout = resolve(potentials)
    yield from ((b, sequence(leaves, layout, b)) for b in range(len(layout.lengths)))


def without_by_duration(cases: Iterable[Named]) -> list:
    return [pytest.param(p, id=name) for name, p in cases if not p.transitions_by_duration]


SMALL = without_by_duration([*grid(), *ragged()])
LARGE = {f"{seed}": larger(seed, 250 + 31 * seed) for seed in range(4)}
LARGE |= {f"{seed}-flat": larger(seed, 250 + 31 * seed, flat=True) for seed in range(4)}
LARGE |= {"tail": long_tail(500), "cycle": forced_cycle(300), "short": larger(9, 400, 3, 3), "wide": larger(10, 300, 9)}


def whole(T: int) -> Plan:
    return Plan(1, 0, T, T, True, 0)


def segments(path: Path) -> list[tuple[int, int, int]]:
    return list(zip(path.starts.tolist(), path.ends.tolist(), path.labels.tolist(), strict=True))


def naive(x: Sequence) -> tuple[float, list[tuple[int, int, int]]]:
    """The oracle on the quantised sequence."""
    xq, tables = fixed.quantised(x)
    e = fixed.quantised_emissions(x, 0, len(x.emissions)).astype(np.float64)
    return naive_viterbi(xq._replace(emissions=np.where(e < fixed.NEVER / 2, -np.inf, e)), tables)


def streamed(p: Potentials, size: int, cap: int | None = None) -> tuple[float | None, list[tuple[int, int, int]]]:
    """Score and segments from blocks of one size."""
    T = len(p.emissions)
    stream = ViterbiStream(p) if cap is None else ViterbiStream(p, cap)
    stream.wait = min(stream.wait, 64)  # look early: these sequences are short
    found = [
        stream.push(p.emissions[a : a + size], [b.scores[a : min(T, a + size)] for b in p.boundaries])
        for a in range(0, T, size)
    ]
    found.append(stream.finish([b.scores[T] for b in p.boundaries]))
    return stream.score, [row for s in found for row in zip(*(v.tolist() for v in s[1:]), strict=True)]


@pytest.mark.parametrize("potentials", SMALL)
def test_equals_naive_on_the_grid(potentials):
    for _, x in items(potentials):
        T = len(x.emissions)
        score, path = naive(x)
        for plan in (whole(T), Plan(min(2, T), 3, 2, 1, False, 0), Plan(T, 0, 1, 1, True, 0)):
            found = viterbi_item(x, plan, POOLS[2])
            assert (found.score, segments(found)) == (score, path)


@pytest.mark.parametrize("potentials", without_by_duration(tied()))
def test_equals_enumeration_where_many_tie(potentials):
    for b, x in items(potentials):
        case = enumeration.from_potentials(potentials, b)
        score, path = enumeration.viterbi(enumeration.enumerate_segmentations(case))
        found = viterbi_item(x, whole(len(x.emissions)), POOLS[1])
        assert found.score * fixed.UNIT == pytest.approx(score, abs=1e-12)
        assert tuple(segments(found)) == tuple(path)


@pytest.mark.parametrize("potentials", SMALL[::5])
def test_score_is_near_the_best_before_rounding(potentials):
    for b, x in items(potentials):
        case = enumeration.from_potentials(potentials, b)
        best, _ = enumeration.viterbi(enumeration.enumerate_segmentations(case))
        assert viterbi_item(x, whole(len(x.emissions)), POOLS[1]).score * fixed.UNIT == pytest.approx(best, abs=1e-3)


@pytest.mark.parametrize("name", LARGE)
def test_chunks_threads_and_blocks_change_nothing(name):
    p = LARGE[name]
    ((_, x),) = items(p)
    T = len(x.emissions)
    expected = naive(x)
    for chunks, warm_up, keep in ((1, 0, True), (2, 0, False), (7, 64, True), (64, 100, False)):
        for threads, pool in POOLS.items():
            found = viterbi_item(x, Plan(chunks, warm_up, 32, 8, keep, 0), pool)
            assert (found.score, segments(found)) == expected, (chunks, threads)
    for size in (7, 64, T):
        assert streamed(p, size) == (expected[0] * fixed.UNIT, expected[1]), size


def test_a_thousand_chunks():
    ((_, x),) = items(larger(6, 1500, K=12))
    expected = viterbi_item(x, whole(1500), POOLS[1])
    found = viterbi_item(x, Plan(1000, 60, 1, 1, True, 0), POOLS[2])
    assert (found.score, segments(found)) == (expected.score, segments(expected))


def test_a_stream_of_single_positions():
    p = larger(2, 300)
    ((_, x),) = items(p)
    found = viterbi_item(x, whole(300), POOLS[1])
    assert streamed(p, 1) == (found.score * fixed.UNIT, segments(found))


def test_a_tail_spans_five_chunks():
    ((_, x),) = items(long_tail(2000))
    found = viterbi_item(x, Plan(10, 20, 50, 10, True, 0), POOLS[2])
    assert segments(found) == [(0, 7, 0), (7, 1991, 1), (1991, 2000, 2)]


def test_a_forced_cycle_is_repaired_to_the_end():
    ((_, x),) = items(forced_cycle(300))
    found = viterbi_item(x, Plan(5, 30, 60, 20, True, 0), POOLS[2])
    assert found.settled.rounds == 4
    assert segments(found) == segments(viterbi_item(x, whole(300), POOLS[1]))


def test_a_censored_start_is_forgotten():
    """Once it cannot matter: otherwise no chunk that has not seen it would ever agree."""
    p = larger(1, 1000, K=5)._replace(emissions=torch.from_numpy(np.random.default_rng(0).normal(size=(1000, 4))))
    ((_, x),) = items(p)
    found = viterbi_item(x, Plan(4, 200, 50, 10, True, 0), POOLS[2])
    assert x.left == "censored"
    assert found.settled.rounds == 0


def test_a_stream_forgets_what_is_decided():
    p = larger(0, 5000, K=8)
    stream = ViterbiStream(p, cap=1000)
    for a in range(0, 5000, 50):
        stream.push(p.emissions[a : a + 50], [b.scores[a : a + 50] for b in p.boundaries])
        assert stream.position - stream.base <= 1000
    assert stream.base > 4000


@pytest.mark.parametrize("kind", ["equal", "clear"])
@pytest.mark.parametrize(("left", "seed"), [("censored", 1), ("exact", 3), ("censored", 5)])
def test_long_segments_come_out_of_a_stream_as_of_the_whole(left, seed, kind):
    p = larger(seed, 3000, K=8)._replace(left=left, right="censored")
    for a, b in ((0, 700), (1200, 2700)):  # nothing but the grammar tells labels apart there, or one label explains it
        p.emissions[a:b] = 0.0 if kind == "equal" else -1.0
        p.emissions[a:b, 1] = 0.0 if kind == "equal" else 0.2
    ((_, x),) = items(p)
    expected = viterbi_item(x, whole(3000), POOLS[1])
    for size in (50, 777):
        assert streamed(p, size) == (expected.score * fixed.UNIT, segments(expected)), size


@pytest.mark.parametrize("contrast", [0.01, 0.0])
def test_a_stream_forgets_the_middle_of_a_long_segment(contrast):
    T = 4 * LOOK
    p = long_tail(T)
    p.emissions[7:-9, 1] = contrast
    stream = ViterbiStream(p)
    found = []
    for a in range(0, T, 100):
        found.append(stream.push(p.emissions[a : a + 100]))
        assert stream.position - stream.base < LOOK + 100
    found.append(stream.finish([]))
    assert [row for s in found for row in zip(*(v.tolist() for v in s[1:]), strict=True)] == [
        (0, 7, 0), (7, T - 9, 1), (T - 9, T, 2),
    ]  # fmt: skip


def test_a_stream_that_cannot_decide_says_where():
    with pytest.raises(UndecidedError, match="right of position 0 is decided") as error:
        streamed(forced_cycle(1200), 50, cap=600)
    assert error.value.position == 0


def test_no_segmentation():
    cut = forced_cycle(300)
    cut.emissions[137] = -torch.inf
    ((_, x),) = items(cut)
    for plan in (whole(300), Plan(7, 10, 20, 10, True, 0)):
        with pytest.raises(InfeasibleError) as error:
            viterbi_item(x, plan, POOLS[2])
        assert error.value.position == 138
    with pytest.raises(InfeasibleError) as error:
        streamed(cut, 64)
    assert error.value.position == 138
    odd = Potentials(torch.zeros(5, 1), torch.tensor([[0.0], [-torch.inf], [0.0]]), torch.zeros(1, 1))
    ((_, x),) = items(odd)
    with pytest.raises(InfeasibleError, match="item 0, no state reaches boundary 5"):
        viterbi_item(x, whole(5), POOLS[1])


def test_scores_beyond_fixed_point_are_refused():
    p = larger(0, 50)
    p.emissions[3, 0] = -1e13
    ((_, x),) = items(p)
    with pytest.raises(PotentialsError, match="in fixed point"):
        viterbi_item(x, whole(50), POOLS[1])
    with pytest.raises(PotentialsError, match="in fixed point"):
        streamed(p, 7)
    p.emissions[3, 0] = -1e11
    ((_, x),) = items(p)
    found = viterbi_item(x, whole(50), POOLS[1])
    assert segments(found) == naive(x)[1]


def test_maps_that_forbid_the_same():
    """No sum of forbidden scores wraps around to something likely, and more of them are refused."""
    p = Potentials(torch.ones(4, 2), torch.tensor([[0.0, 0.0], [0.0, -5.0], [-1.0, -5.0]]), torch.zeros(2, 2))
    forbidden = torch.zeros(5, 1)
    forbidden[2] = -torch.inf
    one, free = (Boundary(x, torch.zeros(2, 2, dtype=torch.int64)) for x in (forbidden, torch.zeros(5, 1)))
    best = viterbi(p._replace(boundaries=(one,) * 7 + (free,) * 3))
    assert best.segments.start.tolist() == [0, 1, 3]
    assert float(best.score) == 3.0
    with pytest.raises(PotentialsError, match="boundaries: expected at most 7 maps with -inf, got 8"):
        viterbi(p._replace(boundaries=(one,) * 8))
