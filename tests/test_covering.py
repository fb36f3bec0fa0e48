"""Scores of change points: figures worked out by hand, and those of an independent scorer where it is at hand."""

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from semiseg.cli import console, main
from semiseg.covering import Changes, covering, f1, score
from semiseg.errors import SemisegError
from semiseg.formats.change_points import read_change_points

SCORER = Path(os.environ.get("SEMISEG_SCORERS", Path(__file__).parents[2] / "shared" / "score"))


@pytest.mark.parametrize(
    ("true", "called", "expected"),
    [
        ([50], [50], 1.0),
        ([50], [], 0.5),
        ([], [50], 0.5),
        ([50], [40], 0.5 * 40 / 50 + 0.5 * 50 / 60),
        ([20, 60], [60], 0.2 * 20 / 60 + 0.4 * 40 / 60 + 0.4),
    ],
)
def test_covering(true: list[int], called: list[int], expected: float) -> None:
    assert covering(true, called, 100) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("true", "called", "expected"),
    [
        ([], [], 1.0),
        ([], [5], 0.0),
        ([50], [51], 1.0),
        ([50], [52], 0.0),
        ([50], [49, 51], 2 / 3),
        ([10, 12], [11], 2 / 3),
    ],
)
def test_f1(true: list[int], called: list[int], expected: float) -> None:
    assert f1(true, called, 1) == pytest.approx(expected)


def test_what_is_not_called_scores_nothing() -> None:
    scores = score({"a": Changes((50,), 100), "b": Changes((), 10)}, {"a": Changes((50,))})
    assert scores.missing == ("b",)
    assert scores.mean("covering") == 0.5
    assert scores.series[0].f1_tcpd == 1


def test_a_length_that_nobody_knows() -> None:
    with pytest.raises(SemisegError, match="how long is it"):
        score({"a": Changes((5,))}, {"a": Changes((5,))})


def test_bed_of_states(tmp_path: Path) -> None:
    path = tmp_path / "calls.bed"
    path.write_text("#chrom\tstart\tend\na\t10\t20\tx\na\t0\t10\tx\na\t20\t30\ty\na\t40\t50\ty\nb\t0\t9\tx\n")
    assert read_change_points(path) == {"a": Changes((20, 30, 40), 50), "b": Changes((), 9)}


def test_lines_of_commas(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("1\n2\n\n3\n")
    path = tmp_path / "desc.txt"
    path.write_text("a,10,1,2\nb,10\n")
    assert read_change_points(path, 1, tmp_path) == {"a": Changes((1, 2), 3), "b": Changes(())}
    path.write_text("a,10,one\n")
    with pytest.raises(SemisegError, match="line 1: expected BED, or a name, a window and change points"):
        read_change_points(path, 1)


@pytest.mark.parametrize("form", ["lines", "bed"])
def test_an_independent_scorer_agrees(form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if not (SCORER / "score_changepoints.py").exists():
        pytest.skip("the scorer is not at hand")
    draw = np.random.default_rng(0)
    truth, calls = [], []
    for i in range(30):
        n = int(draw.integers(20, 2000))
        (tmp_path / f"s{i}.txt").write_text("0\n" * n)
        t, c = (sorted(draw.choice(np.arange(1, n), draw.integers(0, 6), replace=False).tolist()) for _ in range(2))
        c = sorted({int(np.clip(p + draw.integers(-5, 6), 1, n - 1)) for p in t[: draw.integers(0, 6)]} | set(c[:2]))
        truth.append(",".join(map(str, [f"s{i}", 10, *t])))
        if i == 29:
            continue
        edges = [0, *c, n]
        rows = [f"s{i}\t{a}\t{b}\t{j % 3}" for j, (a, b) in enumerate(pairwise(edges))]
        calls += [",".join(map(str, [f"s{i}", *c]))] if form == "lines" else rows
    (tmp_path / "desc.txt").write_text("\n".join(truth))
    (tmp_path / "calls").write_text("\n".join(calls))
    args = ["evaluate", tmp_path / "calls", tmp_path / "desc.txt", "--kind", "changepoints", "--json"]
    assert console.run(main.group, list(map(str, args))) == 0
    ours = json.loads(capsys.readouterr().out)
    theirs = _scorer(tmp_path)
    assert {key: theirs[key] for key in ours} == pytest.approx(ours)
    assert ours["missing"] == 1


def _scorer(folder: Path) -> dict:
    # A process of its own: what another program leaves open is not this suite's to warn about.
    command = [sys.executable, SCORER / "score_changepoints.py", folder / "desc.txt", folder / "calls", "--json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
