"""Semirings by name against enumeration, and numbers of segmentations against closed forms."""

import math

import cases
import enumeration
import pytest
import torch
from tolerances import EXACT

from semiseg import Potentials, SemiMarkov, SemisegError, expected_segments, semiring

GRID = {case.name: case.potentials for case in list(cases.grid())[::3] if len(case.potentials.emissions) < 8}


@pytest.mark.parametrize("name", GRID)
def test_numbers_are_those_of_every_segmentation(name):
    p = GRID[name]
    found = enumeration.enumerate_segmentations(enumeration.from_potentials(p))
    assert semiring(p, "count") == [len(found.paths)]
    assert float(semiring(p, "log-count")[0]) == pytest.approx(math.log(len(found.paths)), abs=EXACT)
    assert float(semiring(p, "log")) == pytest.approx(found.log_partition, abs=EXACT)
    best = sorted(found.scores.tolist(), reverse=True)[:3]
    assert semiring(p, "k-max", k=3).tolist() == pytest.approx([*best, *[-math.inf] * (3 - len(best))], abs=1e-3)
    assert float(semiring(p, "max")) == pytest.approx(best[0], abs=1e-3)
    assert float(semiring(p, "entropy")) == pytest.approx(enumeration.entropy(found), abs=10 * EXACT)
    expected = torch.zeros(p.emissions.shape[-1], dtype=torch.float64)
    for path, share in enumeration.probabilities(found).items():
        for *_, c in path:
            expected[c] += share
    torch.testing.assert_close(expected_segments(p), expected, rtol=0, atol=1e-6)


def test_a_batch_is_its_items():
    for _, p in cases.ragged():
        every = [
            len(enumeration.enumerate_segmentations(enumeration.from_potentials(p, item)).paths)
            for item in range(len(p.emissions))
        ]
        assert semiring(p, "count") == every
        assert SemiMarkov(p).count.tolist() == every
        assert SemiMarkov(p).segments.shape == (len(every), p.emissions.shape[-1])


def test_two_models():
    torch.manual_seed(0)
    wide = torch.float64
    p, q = (
        Potentials(torch.randn(5, 2, dtype=wide), torch.randn(4, 2, dtype=wide), torch.zeros(2, 2).double())
        for _ in range(2)
    )
    a, b = (enumeration.enumerate_segmentations(enumeration.from_potentials(x)) for x in (p, q))
    assert float(semiring(p, "kl", other=q)) == pytest.approx(enumeration.kl(a, b), abs=EXACT)
    assert float(semiring(p, "cross-entropy", other=q)) == pytest.approx(enumeration.cross_entropy(a, b), abs=EXACT)


def test_long_ones():
    """Segments of any length and label: C (C + 1) ^ (T - 1) of them."""
    law, changes, tail = torch.zeros(2, 3), torch.zeros(3, 3), torch.zeros(3)
    p = Potentials(torch.randn(300, 3), law, changes, tail=tail)
    assert semiring(p, "count") == [3 * 4**299]
    assert SemiMarkov(p).count.tolist() == pytest.approx([3 * 4**299], rel=1e-11)
    long = p._replace(emissions=torch.randn(100_000, 3))
    assert float(semiring(long, "log-count")[0]) == pytest.approx(math.log(3) + 99_999 * math.log(4), rel=1e-12)
    assert SemiMarkov(long).count.tolist() == [math.inf]
    some = p._replace(emissions=torch.randn(18, 3))
    assert SemiMarkov(some).count.tolist() == [3 * 4**17]


def test_nothing_possible():
    p = Potentials(torch.full((3, 2), -torch.inf), torch.zeros(2, 2), torch.zeros(2, 2))
    assert semiring(p, "count") == [0]
    assert semiring(p, "log-count").tolist() == [-math.inf]
    assert SemiMarkov(p).count.tolist() == [0]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("sum", {}, "semiring: expected one of log, max, k-max, entropy, .*, got 'sum'"),
        ("kl", {}, "other: expected the model to compare with for 'kl'"),
        ("k-max", {}, "k: expected a number for 'k-max'"),
        ("max", {"k": 3}, "k: expected none for 'max'"),
    ],
)
def test_what_makes_no_sense(name, options, message):
    p = Potentials(torch.zeros(3, 2), torch.zeros(2, 2), torch.zeros(2, 2))
    with pytest.raises(SemisegError, match=message):
        semiring(p, name, **options)
