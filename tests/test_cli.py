"""Exit statuses and error lines of the command line."""

import subprocess
import sys
from pathlib import Path

import click
import pytest
import torch
from click.shell_completion import BashComplete

from semiseg import SemisegError
from semiseg.cli import console
from semiseg.cli.main import group
from semiseg.interruption import keeping, resumable

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


WRONG = {
    "no-such-command": "No such command 'no-such-command' (semiseg --help)",
    "--no-such-option": "No such option '--no-such-option' (semiseg --help)",
    "demo --no-such-option": "No such option '--no-such-option' (semiseg demo --help)",
    "decode": "Missing argument 'INPUT' (semiseg decode --help)",
    "tracks build a.bw": "Missing option '-g' / '--genome' (semiseg tracks build --help)",
    "decode a.fa --device tpu": "--device: expected auto, cpu, cuda or cuda:N, got 'tpu'",
    "evaluate a b --kind genes --kind none": "Invalid value for '--kind': 'none' is not one of 'genes', 'intervals',"
    " 'changepoints' (semiseg evaluate --help)",
}


@pytest.mark.parametrize("args", WRONG)
def test_wrong_usage_is_one_line_and_exits_2(args: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert console.run(group, args.split()) == 2
    assert capsys.readouterr().err == f"semiseg: {WRONG[args]}\n"


def test_nothing_asked_is_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert console.run(group, []) == 2
    assert "Commands:" in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="here is one")
@pytest.mark.parametrize("args", ["decode a.fa", "train a.fa a.gff3 -o m", "fit a.csv -o m"])
def test_no_gpu_is_no_wrong_usage(
    args: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert console.run(group, [*args.split(), "--device", "cuda"]) == 1
    assert "this machine has no CUDA device: choose cpu" in capsys.readouterr().err


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


def test_a_full_disk_is_told_with_what_to_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "silence", lambda: None)
    assert console.run(failing(OSError(28, "No space left on device")), []) == 1
    said = "semiseg: cannot write: No space left on device: free some space or write elsewhere\n"
    assert capsys.readouterr().err == said


@pytest.mark.parametrize("kept", [False, True])
def test_what_cannot_be_written_goes_on_from_what_is_kept(kept: bool) -> None:
    with pytest.raises(SemisegError) as told, keeping(kept):
        raise SemisegError("the disk is full")
    assert str(told.value) == "the disk is full" + "; --resume continues" * kept


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), SystemExit(130), SystemExit(143)])
@pytest.mark.parametrize("kept", [False, True])
def test_an_interruption_is_one_line(stop: BaseException, kept: bool, capsys: pytest.CaptureFixture[str]) -> None:
    @click.command()
    def command() -> None:
        with resumable(lambda: kept):
            raise stop

    stop.__notes__ = []
    assert console.run(command, []) == getattr(stop, "code", 130)
    assert capsys.readouterr().err.lstrip() == f"semiseg: interrupted{'; --resume continues' if kept else ''}\n"


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
        ["evaluate", "in.png", "labels.gff3", "--plot", "in.png"], ["decode", "in.fa", "--log-file", "in.fa"],
    ],
)  # fmt: skip
def test_what_is_read_is_not_written(
    args: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("in.fa", "in.png", "labels.gff3", "m.safetensors"):
        Path(name).write_text("kept")
    assert console.run(group, args) == 2
    assert f"{Path(args[-1])} is read: give what is written another name" in capsys.readouterr().err
    assert {path.read_text() for path in tmp_path.iterdir()} == {"kept"}
