"""Regimes of series whose shape changes and whose level does not, from functions and from the command line."""

import csv
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from semiseg import contrasts
from semiseg.cli import console, main
from semiseg.errors import SemisegError
from semiseg.regimes import find_regimes, sizes
from semiseg.shapes import Shapes, period

PERIOD = 30
CHANGES = [600, 1020]
LENGTH = 1500


def wave(kind: int, length: int) -> NDArray:
    """A periodic shape: a sine, or a triangle of the same spread about the same level."""
    phase = np.arange(length) / PERIOD % 1
    triangle = 4 * np.abs(phase - 0.5) - 1
    return np.sqrt(2) * np.sin(2 * np.pi * phase) if kind == 0 else np.sqrt(3) * triangle


def planted(seed: int = 0) -> NDArray:
    """(T, 1): a sine, then triangles, then the sine again, in noise."""
    edges = [0, *CHANGES, LENGTH]
    parts = [wave(i % 2, b - a) for i, (a, b) in enumerate(pairwise(edges))]
    return (np.concatenate(parts) + 0.1 * np.random.default_rng(seed).standard_normal(LENGTH))[:, None]


def test_a_change_of_shape_is_found_and_what_comes_back_is_known() -> None:
    x = planted()
    found = find_regimes(x, "planted")
    assert found.period == PERIOD
    assert [s.state for s in found.stretches] == [0, 1, 0]
    assert [s.start for s in found.stretches[1:]] == pytest.approx(CHANGES, abs=PERIOD)
    assert [s.end for s in found.stretches] == [*(s.start for s in found.stretches[1:]), LENGTH]
    for s, at in zip(found.stretches[1:], CHANGES, strict=True):
        assert s.start_ci[0] <= at <= s.start_ci[1]
        assert s.start_ci[1] - s.start_ci[0] < 5 * PERIOD
        assert s.change > 0.2  # windows share their samples, so their scores count for a quarter
        assert s.sure > 0.9


def test_neither_unit_nor_offset_matters() -> None:
    x = planted()
    other = find_regimes(1000 - 5 * x, "planted").stretches
    # upside down the questions are others, but not what they tell apart
    assert [s.start for s in other] == pytest.approx(
        [s.start for s in find_regimes(x, "planted").stretches], abs=PERIOD
    )


def test_a_series_that_does_not_change_is_one_regime() -> None:
    x = wave(1, LENGTH) + 0.1 * np.random.default_rng(1).standard_normal(LENGTH)
    found = find_regimes(x[:, None], "one")
    assert [(s.start, s.end, s.state) for s in found.stretches] == [(0, LENGTH, 0)]
    assert found.stretches[0].sure == pytest.approx(1)


def test_any_channel_may_tell() -> None:
    flat = np.random.default_rng(2).standard_normal((LENGTH, 1))
    found = find_regimes(np.concatenate([flat, planted()], 1), "two")
    assert [s.start for s in found.stretches[1:]] == pytest.approx(CHANGES, abs=PERIOD)


def test_a_change_of_level_is_found_without_a_period() -> None:
    draw = np.random.default_rng(3)
    x = draw.standard_normal(1200) + 3 * (np.arange(1200) >= 500)
    found = find_regimes(x[:, None], "level")
    assert [s.start for s in found.stretches[1:]] == pytest.approx([500], abs=20)


def test_the_period_is_the_first_high_peak() -> None:
    assert period(planted()) == PERIOD
    assert period(np.arange(100.0)[:, None]) is None


def test_answers_do_not_depend_on_how_they_are_asked_for() -> None:
    shapes = Shapes(planted(), PERIOD // 2)
    whole = shapes.answers(0, LENGTH)
    assert whole.shape == (LENGTH, shapes.count)
    pieces = [shapes.answers(a, min(LENGTH, a + 370)) for a in range(0, LENGTH, 370)]
    np.testing.assert_array_equal(np.concatenate(pieces), whole)
    # a threshold is a quantile: a quarter, a half and three quarters of the answers are yes
    assert np.abs(whole.mean(0)[:, None] - [0.25, 0.5, 0.75]).min(1).max() < 0.01


def test_the_partition_is_the_best_of_all() -> None:
    draw = np.random.default_rng(4)
    points = draw.standard_normal((18, 2)) + 4.0 * ((np.arange(18) >= 5) ^ (np.arange(18) >= 11))[:, None]
    shortest = 3
    found = contrasts.partition(points, 1, shortest)
    worth = contrasts.contrast(points, 1, shortest)

    def total(edges: list[int]) -> float:
        return sum(worth[a, b] for a, b in pairwise(edges)) - found.price * (len(edges) - 2)

    ways: list[list[int]] = [[0]]
    best = -np.inf
    while ways:
        way = ways.pop()
        if way[-1] == 18:
            best = max(best, total(way))
        ways += [[*way, end] for end in range(way[-1] + shortest, 19)]
    assert total(found.edges) == pytest.approx(best)
    assert found.edges == [0, 5, 11, 18]


@pytest.mark.parametrize(("length", "repeat"), [(40, None), (300, 70), (16_000, 5), (1_000_000, 400)])
def test_sizes_fit_the_series(length: int, repeat: int | None) -> None:
    size = sizes(length, repeat)
    assert size.block % size.cell == 0
    assert size.shortest % size.cell == 0
    assert 2 * size.shortest <= length
    assert length // size.cell <= 2500


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((39, 1)), "39 values are too few"),
        (np.full((100, 1), 7.0), "channel 0 is 7 everywhere"),
        (np.where(np.arange(100) == 5, np.nan, 1.0)[:, None], "the first at position 5"),
        (np.where(np.arange(100) == 99, np.inf, 1.0)[:, None], "1 values are not finite"),
    ],
)
def test_bad_series_are_refused_in_one_line(values: NDArray, message: str) -> None:
    with pytest.raises(SemisegError, match=message):
        find_regimes(values, "bad")


def run(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, str, str]:
    status = console.run(main.group, [str(a) for a in args])
    out, err = capsys.readouterr()
    return status, out, err


def test_fit_writes_regimes_that_evaluate_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savetxt(tmp_path / "planted.csv", planted(), fmt="%.5f")
    bed = tmp_path / "regimes.bed"
    status, out, err = run(capsys, "fit", tmp_path / "planted.csv", "--states", "auto", "--calls")
    assert (status, err) == (0, "")
    bed.write_text(out)
    rows = [line.split("\t") for line in bed.read_text().splitlines() if not line.startswith("#")]
    assert [(r[0], r[3]) for r in rows] == [("planted", "1"), ("planted", "2"), ("planted", "1")]
    assert all(int(r[10]) <= int(r[1]) <= int(r[11]) for r in rows)
    truth = tmp_path / "truth.csv"
    truth.write_text(f"planted,10,{','.join(map(str, CHANGES))}\n")
    status, out, _ = run(capsys, "evaluate", bed, truth, "--kind", "changepoints")
    assert status == 0
    table = list(csv.DictReader(out.splitlines(), delimiter="\t"))
    assert [(row["series"], row["true"], row["called"]) for row in table] == [("planted", "2", "2"), ("mean", "", "")]
    assert float(table[0]["covering"]) > 0.9


def test_fit_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savetxt(tmp_path / "short.csv", np.arange(10.0))
    status, out, err = run(capsys, "fit", tmp_path / "short.csv", "--calls")
    assert (status, out) == (1, "")
    assert err.count("\n") == 1
    assert "short: 10 values are too few" in err
