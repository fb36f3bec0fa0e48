"""`semiseg bench`: nothing is timed behind a red gate, and figures stand beside the recorded ones of the same shape."""

import csv
import shutil

import pytest

from semiseg.bench import drawn, gate, library, run
from semiseg.bench.record import RESULTS
from semiseg.cli import console
from semiseg.cli.main import group


@pytest.fixture
def green(monkeypatch):
    monkeypatch.setattr(gate, "red", list)


def recorded(name):
    with (RESULTS / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def fast(name, **changes):
    """The benchmark's recorded rows, each in half the time."""
    for row in recorded(name):
        yield {**row, "median_s": float(row["median_s"]) / 2, **changes}


def test_a_red_gate(monkeypatch, capsys):
    monkeypatch.setattr(gate, "red", lambda: ["7-T3: viterbi", "informative: start in chunks"])
    assert console.run(group, ["bench", "per_core"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        "semiseg: bench: nothing is timed, 2 answers are wrong: 7-T3: viterbi; informative: start in chunks\n"
    )


@pytest.mark.usefixtures("green")
def test_quick_ones_run_and_are_not_kept(tmp_path, capsys):
    assert console.run(group, ["bench", "per_core", "--quick", "--into", str(tmp_path)]) == 0
    header, *rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert header[:3] == ["benchmark", "measured", "seconds"]
    assert [row[1] for row in rows][:2] == [f"operation=viterbi threads={n} T=20000 K=256 C=16" for n in (1, 2)]
    assert all(float(row[2]) > 0 and row[3:] == ["-"] * 3 for row in rows)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("green")
@pytest.mark.parametrize("name", ["per_core", "frame_grammar", "linear_in_length"])
def test_beside_the_record(name, tmp_path, monkeypatch, capsys):
    module = pytest.importorskip(f"semiseg.bench.{name}")
    monkeypatch.setattr(module, "run", lambda quick: fast(name))
    assert console.run(group, ["bench", name, "--into", str(tmp_path)]) == 0
    _, *rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert len(rows) == len(recorded(name))
    assert {row[4] for row in rows} == {"2"}
    assert all("AMD EPYC" in row[5] and "2026-11-20" in row[5] for row in rows)
    with (tmp_path / f"{name}.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == len(rows)


@pytest.mark.usefixtures("green")
@pytest.mark.filterwarnings("ignore")
def test_one_that_fails_does_not_take_the_others_along(monkeypatch, capsys):
    from semiseg.bench import frame_grammar, per_core

    def broken(quick):
        raise RuntimeError("no room")

    monkeypatch.setattr(per_core, "run", broken)
    monkeypatch.setattr(frame_grammar, "run", lambda quick: fast("frame_grammar"))
    assert console.run(group, ["bench", "per_core", "frame_grammar"]) == 1
    out, err = capsys.readouterr()
    assert "per_core\t\tRuntimeError: no room\t-\t-\t-" in out
    assert "frame_grammar\toperation=viterbi" in out
    assert err.endswith("semiseg: bench: failed: per_core\n")


@pytest.mark.parametrize("name", ["gpu_scaling", "gpu_library"])
def test_pictures_are_the_same_for_the_same_figures(name, tmp_path):
    pytest.importorskip("matplotlib")
    assert drawn.draw("per_core", RESULTS) is None
    assert drawn.draw(name, tmp_path) is None
    shutil.copy(RESULTS / f"{name}.csv", tmp_path)
    pictures = []
    for _ in range(2):
        path = drawn.draw(name, tmp_path)
        assert path == tmp_path / f"{name}.svg"
        pictures.append(path.read_bytes())
    assert pictures[0] == pictures[1]
    assert b"</svg>" in pictures[0]


@pytest.mark.filterwarnings("ignore")
def test_libraries_agree_before_they_are_timed():
    for package in ("torchcrf", "torch_struct", "flash_semicrf"):
        pytest.importorskip(package)
    rows = list(library.run(quick=True))
    assert [row["library"] for row in rows[::3]] == ["semiseg"] * 2
    assert {row["library"] for row in rows} == {"semiseg", "pytorch-crf", "torch-struct", "flash-semicrf"}
    assert {row["times_slower_than_semiseg"] for row in rows[::3]} == {1.0}


def test_names(monkeypatch, capsys):
    assert console.run(group, ["bench", "ecg"]) == 2
    assert "bench: expected any of per_core, frame_grammar" in capsys.readouterr().err
    from semiseg.bench import device

    monkeypatch.setattr(device, "present", lambda: False)
    assert console.run(group, ["bench", "gpu_batch"]) == 1
    assert capsys.readouterr().err == "semiseg: bench: gpu_batch needs a CUDA device, and there is none\n"
    assert run.choose([]) == list(run.CPU)


def test_help_names_every_one(capsys):
    assert console.run(group, ["bench", "--help"]) == 0
    words = capsys.readouterr().out.replace(",", " ").replace(";", " ").replace(".", " ").split()
    assert {*run.CPU, *run.GPU} <= set(words)
