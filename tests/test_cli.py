"""Exit statuses and error lines of the command line."""

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.shell_completion import BashComplete

from semiseg import SemisegError
from semiseg.cli import console
from semiseg.cli.main import group

PROGRAM = [sys.executable, "-c", "from semiseg.cli.main import main; main()"]


def failing(error: Exception) -> click.Command:
    """A command that raises an error."""

    @click.command()
    def command() -> None:
        raise error

    return command


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert console.run(group, ["--version"]) == 0
    assert capsys.readouterr().out.startswith("semiseg, version ")


@pytest.mark.parametrize("args", [["no-such-command"], ["--no-such-option"], ["demo", "--no-such-option"]])
def test_wrong_usage_exits_2(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert console.run(group, args) == 2
    assert "Usage:" in capsys.readouterr().err


@pytest.mark.parametrize("batch", ["0", "many"])
def test_a_batch_is_a_number(batch: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert console.run(group, ["decode", "genome.fa", "--batch", batch]) == 2
    assert f"expected auto or a number of bases, got '{batch}'" in capsys.readouterr().err


def test_an_error_of_the_user_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert console.run(failing(SemisegError("expected this,\n found that")), []) == 1
    assert capsys.readouterr().err == "semiseg: expected this, found that\n"


def test_an_error_of_the_kernels_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    from semiseg.kernels.errors import PotentialsError

    assert console.run(failing(PotentialsError("emissions: NaN")), []) == 1
    assert capsys.readouterr().err == "semiseg: emissions: NaN\n"


def test_an_error_of_the_program_keeps_its_traceback() -> None:
    with pytest.raises(ValueError, match="a bug"):
        console.run(failing(ValueError("a bug")), [])


def test_an_interruption_exits_130() -> None:
    @click.command()
    def command() -> None:
        raise KeyboardInterrupt

    assert console.run(command, []) == 130


@pytest.mark.parametrize(
    "output",
    [
        "console.show_table(['a'], ([i] for i in range(100_000)))",  # more than a pipe holds
        "print('a', flush=True), time.sleep(0.5), print('b')",  # less than a buffer: fails when the program ends
    ],
)
def test_a_closed_pipe_is_quiet(output: str, tmp_path: Path) -> None:
    code = (
        "import sys, time, click\n"
        "from semiseg.cli import console\n"
        f"sys.exit(console.run(click.command()(lambda: ({output}) and None), []))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "a\n"
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1


def test_the_program_reports_a_missing_file(tmp_path: Path) -> None:
    done = subprocess.run([*PROGRAM, "demo", "absent.csv"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert "absent.csv" in done.stderr


def test_a_shell_completes_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMP_WORDS", "semiseg decode --model plas")
    monkeypatch.setenv("COMP_CWORD", "3")
    assert BashComplete(group, {}, "semiseg", "_SEMISEG_COMPLETE").complete().splitlines() == [
        "plain,plasmodium", "plain,plasmodium-compact", "file,plas",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "args",
    [
        ["decode", "in.fa", "-o", "in.fa"], ["posteriors", "in.fa", "-o", "./in.fa"], ["fit", "in.fa", "-o", "in.fa"],
        ["train", "in.fa", "labels.gff3", "-o", "labels.gff3"],
        ["decode", "in.fa", "--model", "m.safetensors", "-o", "m.safetensors"],
        ["evaluate", "in.fa", "labels.gff3", "--plot", "in.fa"], ["decode", "in.fa", "--log-file", "in.fa"],
    ],
)  # fmt: skip
def test_what_is_read_is_not_written(
    args: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("in.fa", "labels.gff3", "m.safetensors"):
        Path(name).write_text("kept")
    assert console.run(group, args) == 2
    assert f"{Path(args[-1])} is read: give what is written another name" in capsys.readouterr().err
    assert {path.read_text() for path in tmp_path.iterdir()} == {"kept"}
