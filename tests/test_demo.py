"""The example signal and its segmentation."""

import math
import runpy
from pathlib import Path

import pytest
import torch

from semiseg import SemisegError, demo
from semiseg.cli import console
from semiseg.cli.main import group

FOLDER = Path(__file__).resolve().parents[1] / "example_data"
SIGNAL = FOLDER / "demo_signal.csv"


def read_truth() -> list[tuple[int, int, str]]:
    """(start, end, label) of the simulated segments."""
    lines = (FOLDER / "demo_truth.bed").read_text().splitlines()
    return [(int(start), int(end), label) for _, start, end, label in (line.split("\t") for line in lines)]


def test_the_script_writes_the_committed_files(tmp_path: Path) -> None:
    runpy.run_path(str(FOLDER / "make_demo_signal.py"))["write_example"](tmp_path)
    for name in (SIGNAL.name, "demo_truth.bed"):
        assert (tmp_path / name).read_text() == (FOLDER / name).read_text()


def test_the_laws_are_normalised() -> None:
    for state in demo.STATES:
        durations, tail = demo.duration_law(state)
        beyond = durations[-1].exp().item() * math.exp(tail) / (1 - math.exp(tail))
        assert durations.exp().sum().item() + beyond == pytest.approx(1, abs=1e-12)
    follows = torch.tensor([state.follows for state in demo.STATES])
    law = demo.stationary_law(follows)
    torch.testing.assert_close(law @ follows, law)
    assert law.sum().item() == pytest.approx(1)


def test_the_segmentation_finds_the_simulated_segments() -> None:
    calls = demo.segment_example(SIGNAL)
    truth = read_truth()
    assert [call.start for call in calls[1:]] == [call.end for call in calls[:-1]]
    assert (calls[0].start, calls[-1].end) == (truth[0][0], truth[-1][1])
    true = [label for start, end, label in truth for _ in range(start, end)]
    called = [call.label for call in calls for _ in range(call.start, call.end)]
    right = sum(a == b for a, b in zip(true, called, strict=True)) / len(true)
    believed = sum((call.end - call.start) * call.posterior for call in calls) / len(true)
    assert right > 0.9
    assert abs(right - believed) < 0.05  # the model is the true one, so it knows how often it is wrong


def test_the_command_prints_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert console.run(group, ["demo", str(SIGNAL)]) == 0
    header, *rows = (line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert header == ["start", "end", "label", "posterior", "start_low", "start_high", "end_low", "end_high"]
    assert len(rows) == len(demo.segment_example(SIGNAL))
    for row in rows[1:-1]:
        assert int(row[4]) <= int(row[0]) <= int(row[5])
        assert int(row[6]) <= int(row[1]) <= int(row[7])


@pytest.mark.parametrize(
    ("text", "message"), [("", "found 0 line"), ("x\n", "found 1 line"), ("x\n1\n?\n", r"line 3.*'\?'")]
)
def test_a_bad_signal_is_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "signal.csv"
    path.write_text(text)
    with pytest.raises(SemisegError, match=message):
        demo.read_signal(path)


def test_bytes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "signal.bin"
    path.write_bytes(b"\xff\x00")
    with pytest.raises(SemisegError, match="expected text"):
        demo.read_signal(path)
