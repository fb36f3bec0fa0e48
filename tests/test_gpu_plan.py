"""How a batch is cut and dealt out to a GPU: a function of sizes and free memory, and of nothing else."""

import math
from itertools import pairwise

import pytest

from semiseg.kernels.gpu.plan import FARTHEST, LEGS, SHORTEST, Plan, plan, run_bytes, state_bytes

H200 = 132  # multiprocessors
GIB = 1 << 30
CHROMOSOME = (300_000_000,)
BATCH = (10_000,) * 64
RAGGED = (1, 7, 100_000, 65_536, 3, 999_999)
BATCHES = {"one position": (1,), "chromosome": CHROMOSOME, "training": BATCH, "ragged": RAGGED, "tiny": (5,) * 1000}


def schedule(lengths=BATCH, C=13, K=300, folds=1, slope=0.001, ways=2, multiprocessors=H200, free=130 * GIB, **how):
    return plan(lengths, C, K, folds, slope, ways, multiprocessors, free, **how)


def held(p: Plan, lengths: tuple[int, ...], C: int, K: int, folds: int, ways: int) -> int:
    """Count the bytes a plan holds, from what it says alone."""
    # per chunk and way: where it began, where each of its legs ended, what lies ahead of it
    states = sum(p.parts) * ways * (2 + p.legs) * state_bytes(C, K, folds)
    rows = -(-sum(lengths) // p.waves) * 16 * C * ways
    return states + p.runs * run_bytes(C, K, folds) + rows


@pytest.mark.parametrize("ways", [1, 2])
@pytest.mark.parametrize("name", BATCHES)
def test_every_plan_is_sound(name, ways):
    lengths = BATCHES[name]
    for C, K, folds, slope in ((1, 1, 0, 0.0), (3, 5, 3, 1e-9), (13, 300, 1, 5e-4), (64, 1000, 7, 0.0)):
        for free in (0, 1 << 20, GIB, 130 * GIB):
            p = schedule(lengths, C, K, folds, slope, ways, free=free)
            assert p == schedule(lengths, C, K, folds, slope, ways, free=free)
            assert len(p.parts) == len(lengths)
            assert all(1 <= part <= n for part, n in zip(p.parts, lengths, strict=True))
            assert p.warps in (1, 2, 4)
            assert 1 <= p.waves <= sum(p.parts)
            assert ways <= p.runs <= ways * sum(p.parts)
            assert 1 <= p.legs <= LEGS
            assert p.warm_up >= max(256, 1.5 * K)
            assert p.bytes >= held(p, lengths, C, K, folds, ways)


def test_one_sequence_fills_the_device():
    p = schedule(CHROMOSOME, free=60 * GIB)
    assert p.parts[0] * 2 >= H200  # two ways: at least a program a multiprocessor
    assert CHROMOSOME[0] / p.parts[0] >= max(SHORTEST, p.warm_up)
    assert p.waves > 1  # 300 million rows of two ways do not fit
    assert p.bytes <= 60 * GIB


def test_one_short_sequence_is_worth_one_chunk():
    assert schedule((SHORTEST,)).parts == (1,)
    assert schedule((1,)).parts == (1,)


def test_a_training_batch_is_not_cut_more_than_needed():
    p = schedule(BATCH)
    assert p.waves == 1
    assert all(10_000 / part >= SHORTEST for part in p.parts)
    crowd = schedule((10_000,) * 5000)
    assert set(crowd.parts) == {1}  # more sequences than the device runs at once
    assert crowd.runs < 2 * 5000


def test_items_are_cut_by_their_length():
    assert sorted(schedule(RAGGED).parts) == list(schedule(tuple(sorted(RAGGED))).parts)


@pytest.mark.parametrize("lengths", [CHROMOSOME, BATCH, RAGGED])
def test_less_memory_takes_more_waves_and_fewer_bytes(lengths):
    plans = [schedule(lengths, free=int(2**x)) for x in range(42, 18, -1)]
    for more, less in pairwise(plans):
        assert less.waves >= more.waves
        assert less.bytes <= more.bytes
    assert plans[0].waves == 1
    assert plans[-1].waves > 1


@pytest.mark.parametrize("lengths", [CHROMOSOME, BATCH, RAGGED])
def test_no_plan_is_larger_than_the_memory_where_one_fits(lengths):
    smallest = schedule(lengths, free=0).bytes
    for x in range(18, 42):
        free = 1 << x
        assert schedule(lengths, free=free).bytes <= max(free, smallest)


@pytest.mark.parametrize("slope", [0.1, 0.001, 1e-9])
def test_scarce_memory_does_not_go_to_states(slope):
    assert schedule(CHROMOSOME, slope=slope, free=0).bytes <= schedule(CHROMOSOME, slope=slope, free=8 * GIB).bytes


def test_a_leg_is_worth_its_state():
    assert schedule(CHROMOSOME).legs == LEGS
    for free in (0, GIB, 10 * GIB, 130 * GIB):
        for slope in (0.01, 0.001, 1e-4, 1e-9):
            p = schedule(CHROMOSOME, slope=slope, free=free)
            assert p.legs == 1 or CHROMOSOME[0] / p.parts[0] / p.legs >= 0.99 * SHORTEST
    assert schedule(CHROMOSOME, slope=0.0).legs == 1  # seams hold
    assert schedule(CHROMOSOME, slope=0.1).legs == 1
    assert schedule(BATCH).legs == 1  # nothing is cut into less than it is worth


def test_bytes_grow_with_everything():
    base = {"lengths": (50_000,), "C": 13, "K": 300, "folds": 1, "ways": 1, "chunks": 8, "warm_up": 600}
    larger = {"lengths": (60_000,), "C": 14, "K": 301, "folds": 2, "ways": 2, "chunks": 9}
    for name, value in larger.items():
        assert schedule(**(base | {name: value})).bytes > schedule(**base).bytes, name


def test_what_is_asked_for_is_kept():
    p = schedule((100, 3, 50), chunks=7, warm_up=2)
    assert p.parts == (7, 3, 7)
    assert p.warm_up == 2
    assert schedule((100, 3, 50), chunks=1).parts == (1, 1, 1)


def test_the_warm_up_follows_the_flattest_tail():
    assert schedule(slope=1.0).warm_up == 450  # the longest duration and half of it
    assert schedule(slope=0.001).warm_up == 4000
    assert schedule(slope=1e-9).warm_up == FARTHEST
    assert schedule(K=1, slope=0.0).warm_up == 256


def test_many_labels_take_more_warps():
    many = (1000,) * 5000
    assert [schedule(many, C=C).warps for C in (1, 16, 17, 32, 33)] == [1, 1, 2, 2, 4]
    assert schedule((1000,), C=3).warps == 4  # few runs


@pytest.mark.parametrize(("C", "runs"), [(16, 16), (32, 4), (64, 2)])
def test_a_multiprocessor_is_full(C, runs):
    assert schedule((1000,) * 5000, C=C).runs == runs * H200


def test_a_plan_prints_itself():
    p = schedule((100, 50), chunks=4, warm_up=9)
    assert str(p) == (
        f"8 chunks of 2 sequences, warm-up 9, 16 runs at once of 4 warps, scores kept, {p.bytes / 2**20:.0f} MiB"
    )
    waves = schedule((100, 50), chunks=4, warm_up=9, free=0)
    assert f"scores computed again in {waves.waves} waves" in str(waves)
    assert math.isfinite(waves.bytes)
