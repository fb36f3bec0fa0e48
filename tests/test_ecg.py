"""The model of electrocardiograms, decoded and judged through the command line, on a simulated recording with truth."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import resample

from semiseg.cli import console
from semiseg.cli.main import group
from semiseg.intervals import Segment, compare
from semiseg.near_ends import NearEnds

FOLDER = Path(__file__).resolve().parents[1] / "example_data"


def run(*arguments) -> int:
    return console.run(group, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def decoded(tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("ecg") / "waves.bed"
    assert run("decode", FOLDER / "ecg.csv", "--rate", 250, "--model", "ecg", "--threads", 1, "-o", output) == 0
    return output


def judged(calls: Path, truth: Path, rate: float, capsys) -> dict:
    capsys.readouterr()
    assert run("evaluate", calls, truth, "--kind", "intervals", "--rate", rate, "--json") == 0
    return json.loads(capsys.readouterr().out)


def test_the_example_is_what_its_script_writes(tmp_path):
    runpy.run_path(str(FOLDER / "make_ecg.py"))["write_example"](tmp_path)
    for name in ("ecg.csv", "ecg_truth.bed"):
        assert (tmp_path / name).read_text() == (FOLDER / name).read_text()


def test_simulated_waves_are_found(decoded, capsys):
    found = judged(decoded, FOLDER / "ecg_truth.bed", 250, capsys)
    assert found["mean_end_f1"]["40"] > 0.95
    assert found["names"]["QRS"]["ends"]["onset"]["40"]["f1"] > 0.99
    assert found["ece"] < 0.1
    header = [line for line in decoded.read_text().splitlines() if line.startswith("# score")]
    assert "within 0.02 seconds" in header[0]


def test_waves_do_not_overlap_and_lie_within_their_intervals(decoded):
    rows = [line.split("\t") for line in decoded.read_text().splitlines() if not line.startswith("#")]
    ends = np.array([[int(row[1]), int(row[2])] for row in rows])
    assert (ends[:, 0] < ends[:, 1]).all()
    assert (ends[1:, 0] >= ends[:-1, 1]).all()
    assert all(0 <= float(x) <= 1 for row in rows for x in row[9:13])


@pytest.mark.parametrize(("rate", "form"), [(1000, ".npy")])
def test_another_rate_is_answered_in_the_files_own_samples(rate, form, tmp_path, capsys):
    signal = np.loadtxt(FOLDER / "ecg.csv", skiprows=1)[: 20 * 250]
    np.save(tmp_path / f"ecg{form}", resample(signal, len(signal) * rate // 250).astype(np.float32))
    output, truth = tmp_path / "waves.bed", tmp_path / "truth.bed"
    assert run("decode", tmp_path / f"ecg{form}", "--rate", rate, "--model", "ecg", "--threads", 1, "-o", output) == 0
    rows = [line.split("\t") for line in (FOLDER / "ecg_truth.bed").read_text().splitlines()]
    kept = [(n, int(a) * rate // 250, int(b) * rate // 250, name) for n, a, b, name in rows if int(b) < len(signal)]
    truth.write_text("".join("\t".join(map(str, row)) + "\n" for row in kept))
    assert judged(output, truth, rate, capsys)["mean_end_f1"]["40"] > 0.95


@pytest.mark.parametrize(
    ("signal", "options", "message"),
    [
        (np.random.default_rng(0).normal(size=1000), [], "no sampling rate is known: give --rate"),
        (np.arange(1000) % 7, ["--rate", 10], "10 samples a second: the model knows 37.5 to 10000"),
        (np.zeros(1000), ["--rate", 250], "the channel is constant"),
        (np.zeros((0, 2)), ["--rate", 250], "the recording is empty"),
        (np.full(1000, np.nan), ["--rate", 250], "constant, or nothing in it is known"),
    ],
)  # fmt: skip
def test_what_cannot_be_decoded_is_said_in_one_line(signal, options, message, tmp_path, capsys):
    np.save(tmp_path / "a.npy", signal)
    assert run("decode", tmp_path / "a.npy", "--model", "ecg", "-o", tmp_path / "a.bed", *options) == 1
    said = capsys.readouterr().err
    assert message in said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "a.bed").exists()


def test_ends_settle_where_they_lie_in_the_mean():
    ends = np.zeros((100, 4))
    ends[[40, 44], 0] = 0.5  # a start of name 0
    ends[59, 2] = 1.0  # an end of it, seen at the position before
    there, rows, names = NearEnds(ends), np.array([[40, 60, 0]]), np.array([0])
    assert there.settled(rows, names, 2)[0, :2].tolist() == [42, 60]
    starts, stops = there.near(rows, names, 2)
    assert (starts[0], stops[0]) == (0.5, 1.0)
    ends[43, 0] = 0.5  # they lie between positions, too
    assert NearEnds(ends).settled(rows, names, 2)[0, 0] == pytest.approx(127 / 3)
    ends[43, 0] = 0.0
    assert there.near(rows, names, 4)[0][0] == 1.0
    apart = there.settled(np.array([[40, 60, 0], [60, 62, 1]]), np.array([0, 1]), 2)
    assert apart[1].tolist() == [60, 62, 1]  # nothing is known about it: it stays


def test_calls_of_other_recordings_are_not_scored(decoded, tmp_path, capsys):
    (tmp_path / "truth.bed").write_text("other\t10\t20\tP\n")
    assert run("evaluate", decoded, tmp_path / "truth.bed", "--kind", "intervals") == 1
    assert capsys.readouterr().err.endswith(f"of other sequences than {tmp_path / 'truth.bed'}: ecg, and there other\n")


def test_calls_and_truth_are_paired_closest_first():
    truth = {"a": [Segment(0, 10, "x"), Segment(100, 120, "x")]}
    calls = {"a": [Segment(2, 10, "x"), Segment(104, 121, "x"), Segment(50, 60, "x"), Segment(500, 510, "x")]}
    level = compare(truth, calls, [3.0], 2.0).names["x"]
    assert level.ends["onset", 3.0] == (2, 3, 1)
    assert level.ends["offset", 3.0] == (2, 3, 2)
    assert level.interval == (2, 3, 2)
