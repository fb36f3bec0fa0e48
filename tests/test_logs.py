"""What a training run leaves behind of its figures, and what it shows."""

import io
import sys
from pathlib import Path

import pytest
from planted import planted, tiny, write_files  # noqa: F401 - a fixture
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from semiseg.cli import console
from semiseg.cli.main import group
from semiseg.cli.train_progress import Bar, reporting
from semiseg.errors import SemisegError
from semiseg.logs import TensorBoard
from semiseg.trainer import Progress

FIGURES = {"nucleotide": 0.75, "exon": 0.5, "gene": 0.25}
REPORTS = [
    Progress(step, 4, 1 / step, FIGURES if step % 2 == 0 else None, 0.25 if step > 1 else -1) for step in (1, 2, 3, 4)
]


def read_back(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Steps and values of every scalar in a folder."""
    events = EventAccumulator(str(folder))
    events.Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_figures_can_be_read_back(tmp_path):
    with TensorBoard(tmp_path / "a" / "b") as report:
        for progress in REPORTS:
            report(progress)
    found = read_back(tmp_path / "a" / "b")
    assert found.pop("loss") == [(p.step, pytest.approx(p.loss)) for p in REPORTS]
    assert found == {f"F1/{level}": [(2, value), (4, value)] for level, value in FIGURES.items()}


def test_a_resumed_run_has_one_curve(tmp_path):
    for begin in (0, 2):  # the second goes on from a checkpoint of step 2
        with TensorBoard(tmp_path) as report:
            for progress in REPORTS[begin:]:
                report(progress)
    assert {tag: [step for step, _ in points] for tag, points in read_back(tmp_path).items()} == {
        "loss": [1, 2, 3, 4],
        **{f"F1/{level}": [2, 4] for level in FIGURES},
    }


def test_a_run_without_reports_leaves_no_file(tmp_path):
    with TensorBoard(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_logs_without_tensorboard_are_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    monkeypatch.delattr("torch.utils.tensorboard", raising=False)
    with pytest.raises(SemisegError, match=r"pip install 'semiseg\[train\]'"):
        TensorBoard(tmp_path)


def test_a_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SemisegError, match=r"cannot write logs to .*file: File exists"):
        TensorBoard(tmp_path / "file")


@pytest.mark.parametrize("width", [80, 40])
def test_a_terminal_shows_a_bar(width, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    drawn = io.StringIO()
    with Bar(Console(force_terminal=True, file=drawn, width=width)) as bar:
        assert drawn.getvalue() == ""
        for progress in REPORTS:
            bar(progress)
    last = drawn.getvalue().split("\r")[-1]
    assert "loss 0.2500 F1 exon 0.500 gene 0.250" in last  # the rest gives way where there is no room
    assert ("4/4" in last and "best 0.250" in last) == (width == 80)


def test_a_bar_ends_with_a_run_that_fails(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    drawn = io.StringIO()

    def fail() -> None:
        with Bar(Console(force_terminal=True, file=drawn)) as bar:
            bar(REPORTS[0])
            raise SemisegError("the loss is not finite")

    with pytest.raises(SemisegError):
        fail()
    assert drawn.getvalue().endswith("\x1b[?25h")  # the cursor is back


def test_lines_elsewhere(capsys):
    with reporting(None) as report:
        for progress in (*REPORTS, Progress(50, 60, 0.125, None, 0.25)):
            report(progress)
    assert capsys.readouterr().err.splitlines() == [
        "step 2/4  loss 0.5000  nucleotide F1 0.750  exon F1 0.500  gene F1 0.250  best 0.250",
        "step 4/4  loss 0.2500  nucleotide F1 0.750  exon F1 0.500  gene F1 0.250  best 0.250",
        "step 50/60  loss 0.1250",
    ]


@pytest.mark.usefixtures("tiny")
def test_train_writes_logs(tmp_path, capsys):
    (tmp_path / "recipe.toml").write_text(
        "shape = 'tiny'\n[training]\nwindow = 600\nbatch = 2\nsteps = 4\n[schedule]\nvalidate = 2\n"
    )
    files = write_files(tmp_path, planted(6000, 1, "one"), planted(4000, 2, "two"))
    asked = ["train", *files, "-o", tmp_path / "m", "--config", tmp_path / "recipe.toml", "--val", "two"]
    asked += ["--device", "cpu", "--logs", tmp_path / "logs"]
    assert console.run(group, [str(x) for x in asked]) == 0
    assert "step 4/4" in capsys.readouterr().err
    found = read_back(tmp_path / "logs")
    assert [step for step, _ in found["loss"]] == [1, 2, 3, 4]
    assert [step for step, _ in found["F1/gene"]] == [2, 4]
