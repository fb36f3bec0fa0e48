"""`semiseg fit` on the command line: the example's states are found, a killed run goes on, what is wrong is said."""

import runpy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from planted_states import agreement, drawn

from semiseg import hsmm_model, model_file
from semiseg.cli import console, fit_progress
from semiseg.cli.main import group
from semiseg.formats.track_store import CODINGS, Layout, StoreFile
from semiseg.hsmm_fit import Progress

FOLDER = Path(__file__).resolve().parents[1] / "example_data"
TRACKS, TRUTH = FOLDER / "tracks.h5", FOLDER / "tracks_truth.bed"
BIN = 200
QUICK = ("--restarts", "2", "--threads", "1")
FULL = ("--restarts", "3", "--passes", "2", "--threads", "1")


def run(*words: object) -> int:
    """Exit status of a command."""
    return console.run(group, [str(word) for word in words])


def store(path: Path, x: NDArray, names: tuple[str, ...] = ("a", "b", "c")) -> Path:
    """A track store of (T, D) values."""
    file = StoreFile(path, Layout(names[: x.shape[1]], [("one", len(x) * BIN)], BIN), CODINGS["float32"], x.shape[1])
    file.values("one")[:] = x
    file.close()
    return path


def same(one: Path, two: Path) -> bool:
    """Whether two files hold the same model; bytes of headers come in any order."""
    a, b = model_file.load(one), model_file.load(two)
    tensors = all(torch.equal(x, b.tensors[name]) for name, x in a.tensors.items())
    return tensors and a.tensors.keys() == b.tensors.keys() and (a.config, a.about) == (b.config, b.about)


def rows(bed: Path) -> list[list[str]]:
    return [line.split("\t") for line in bed.read_text().splitlines() if not line.startswith("#")]


def states(bed: Path) -> NDArray:
    """Names of all bins."""
    return np.concatenate([np.full(-(-int(r[2]) // BIN) - int(r[1]) // BIN, r[3]) for r in rows(bed)])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("fit") / "states.safetensors"
    assert run("fit", TRACKS, "--states", 5, "-o", output, *FULL, "-q") == 0
    return output


def test_the_example_is_what_its_script_writes(tmp_path: Path) -> None:
    runpy.run_path(str(FOLDER / "make_tracks.py"))["write_example"](tmp_path)
    assert (tmp_path / TRUTH.name).read_text() == TRUTH.read_text()
    with h5py.File(tmp_path / TRACKS.name) as new, h5py.File(TRACKS) as old:  # libraries pack differently
        assert dict(new["values"]).keys() == dict(old["values"]).keys()
        assert all(np.array_equal(new["values"][name][()], old["values"][name][()]) for name in new["values"])
    assert TRACKS.stat().st_size < 100_000


def test_states_of_the_example_are_found(model: Path, tmp_path: Path) -> None:
    bed = tmp_path / "states.bed"
    assert run("decode", TRACKS, "--model", model, "-o", bed, "--threads", 1) == 0
    true, found = states(TRUTH), states(bed)
    codes = [np.unique(names, return_inverse=True)[1] for names in (found, true)]
    assert agreement(*codes) > 0.98
    assert set(found) == {f"E{i}" for i in range(1, 6)}
    colours = {row[3]: row[8] for row in rows(bed)}
    assert len(set(colours.values())) == 5
    assert all(0 <= int(x) < 256 for colour in colours.values() for x in colour.split(","))
    assert all(0 <= float(row[11]) <= 1 for row in rows(bed))


def test_fit_and_decode_in_one_go(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, output = store(tmp_path / "x.h5", drawn("gaussian", 500)[0]), tmp_path / "m.safetensors"
    assert run("fit", file, "--states", 2, "-o", output, *QUICK, "-q", "--calls") == 0
    out = capsys.readouterr().out
    assert run("decode", file, "--model", output, "--threads", 1) == 0
    body = [[line for line in text.splitlines() if line[0] != "#"] for text in (out, capsys.readouterr().out)]
    assert body[0] == body[1] != []


def test_how_many_states_there_are(tmp_path: Path) -> None:
    file, output = store(tmp_path / "x.h5", drawn("gaussian", 1000, seed=2)[0]), tmp_path / "m.safetensors"
    assert run("fit", file, "--states", "auto", "-o", output, "--passes", 2, *QUICK, "-q") == 0
    model = hsmm_model.load(output)
    assert len(model.labels) == 3
    assert [states for states, *_ in model.about["candidates"]] == [1, 2, 3, 4, 5]  # two more, neither of them better


def stopping(after: int, stage: str) -> Callable[[bool], object]:
    """What shows progress, and interrupts a run."""

    @contextmanager
    def reporting(quiet: bool) -> Iterator[Callable[[Progress], None]]:
        def report(progress: Progress) -> None:
            if progress.stage == stage and progress.done == after:
                raise KeyboardInterrupt

        yield report

    return reporting


def test_a_stopped_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = store(tmp_path / "x.h5", drawn("bernoulli", 300)[0])
    whole, output = tmp_path / "whole.safetensors", tmp_path / "m.safetensors"
    command = ("fit", file, "--states", "2-3", "--tolerance", -1, "--passes", 4, *QUICK, "-q")
    assert run(*command, "-o", whole) == 0
    for after, stage in ((2, "start 2"), (3, "all data")):
        with monkeypatch.context() as patch:
            patch.setattr(fit_progress, "reporting", stopping(after, stage))
            assert run(*command, "-o", output, "--resume") == 130
        assert not output.exists()
        is_kept = output.with_name("m.safetensors.checkpoint").exists()
        said = "semiseg: interrupted" + "; --resume continues" * is_kept
        assert capsys.readouterr().err.strip() == said
    assert output.with_name("m.safetensors.checkpoint").exists()
    assert run(*command, "-o", output, "--resume") == 0
    assert same(output, whole)
    assert {path.name for path in tmp_path.iterdir()} == {"x.h5", "whole.safetensors", "m.safetensors"}


NAN = np.full((300, 1), np.nan)
NOISE = np.random.default_rng(0).normal(0, 1, (300, 2))
BAD = [
    (np.hstack([NOISE, NAN]), (), "channel c has no value at all"),
    (np.hstack([NOISE, np.ones((300, 1))]), (), "channel c is 1 everywhere and tells nothing"),
    (np.where(np.arange(300)[:, None] == 7, np.inf, NOISE), (), "values must be finite"),
    (NOISE[:0], (), "has no value at all"),
    (NOISE[:3], ("--states", 4), "only 3 positions: ask for fewer states"),
    (NOISE, ("--states", "many"), "--states: expected a number, a range as 4-16, or auto"),
    (NOISE, ("--states", "4-2"), "the smaller number first"),
    (NOISE, ("--states", 0), "expected at least 1"),
    (NOISE, ("--durations", "long"), "durations: expected one of"),
    (NOISE, ("--family", "bernoulli"), "channel a has values other than 0 and 1"),
    (NOISE, ("--family", "long"), "--family: expected auto or one of"),
    (NOISE, ("--channels", "z"), "has no z; there are a, b"),
    (NOISE, ("--rate", 9), "a track store has bins of bases, and no rate"),
    (NOISE, ("-o", "none/m.safetensors"), "there is no folder none: make it first"),
    (NOISE, ("-o", "."), "it is a folder: give the name of a file"),
]


@pytest.mark.parametrize(("x", "options", "said"), BAD)
def test_what_is_wrong_is_one_line(
    x: NDArray, options: tuple[object, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    store(Path("x.h5"), x)
    assert run("fit", "x.h5", "--states", 2, "-o", "m.safetensors", "-q", *options) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert said in err
    assert [path.name for path in tmp_path.iterdir()] == ["x.h5"]


def test_where_a_window_is_not_known(tmp_path: Path) -> None:
    x = drawn("gaussian", 900, seed=2)[0]
    x[300:500] = np.nan
    file, output, bed = store(tmp_path / "x.h5", x), tmp_path / "m.safetensors", tmp_path / "x.bed"
    assert run("fit", file, "--states", 3, "-o", output, *QUICK, "-q") == 0
    assert run("decode", file, "--model", output, "-o", bed, "--threads", 1) == 0
    assert len(states(bed)) == 900


WRONG = [
    (np.ones((50, 2)), ("H3K4me3", "other"), "no channel H3K27ac, H3K4me1, H3K36me3, H3K27me3, which the model knows"),
    (np.ones((50, 6)), ("H3K4me3", "H3K27ac", "H3K4me1", "H3K36me3", "H3K27me3", "more"), "does not know channel more"),
    (
        -np.ones((50, 5)),
        ("H3K4me3", "H3K27ac", "H3K4me1", "H3K36me3", "H3K27me3"),
        "a value of -1, which is none of a negative-binomial model",
    ),
]


@pytest.mark.parametrize(("x", "names", "said"), WRONG)
def test_tracks_that_a_model_is_not_for(
    x: NDArray, names: tuple[str, ...], said: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = store(tmp_path / "x.h5", x, names)
    assert run("decode", file, "--model", model, "-o", tmp_path / "x.bed") == 1
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["x.h5"]


def test_a_damaged_checkpoint_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "m.safetensors"
    output.with_name("m.safetensors.checkpoint").write_text("no")
    assert run("fit", TRACKS, "--states", 2, "-o", output, "--resume", "-q") == 1
    assert "checkpoint: not a semiseg model, or damaged: delete it to begin anew" in capsys.readouterr().err
    assert run("fit", TRACKS, "--states", 2, "-o", output, "-q") == 1
    said = "m.safetensors.checkpoint is there: --resume continues it, or delete it to begin anew\n"
    assert capsys.readouterr().err.endswith(said)
    assert not output.exists()


@pytest.mark.parametrize("states", [0, 1])
@pytest.mark.parametrize("part", ["occupancy", "changes", "durations.", "emissions."])
def test_a_model_of_other_shapes_is_refused_in_one_line(
    model: Path, tmp_path: Path, part: str, states: int, capsys: pytest.CaptureFixture[str]
) -> None:
    stored, bad = model_file.load(model), tmp_path / "bad.safetensors"
    tensors = {name: x[:states] if name.startswith(part) else x for name, x in stored.tensors.items()}
    model_file.save(bad, stored._replace(tensors=tensors))
    assert run("decode", TRACKS, "--model", bad) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"semiseg: {bad}: its tensors are not those of its configuration: ")


def test_the_bundled_model_of_marks(tmp_path: Path) -> None:
    marks = ("CTCF", "H3K27ac", "H3K27me3", "H3K36me3", "H3K4me1", "H3K4me2", "H3K4me3", "H3K9ac", "H4K20me1", "WCE")
    x = np.zeros((600, len(marks)))
    x[200:220, [1, 5, 6, 7]] = 1  # as an active promoter has them
    bed = tmp_path / "x.bed"
    names = tuple(reversed(marks))
    assert run("decode", store(tmp_path / "x.h5", x[:, ::-1], names), "--model", "chromatin10", "-o", bed) == 0
    found = states(bed)
    assert len(found) == 600
    (here,) = set(found[202:218])
    assert "promoter" in here.lower()
    assert here not in found[:150]
    assert len({row[8] for row in rows(bed)}) > 1
