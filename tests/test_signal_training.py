"""Models of signals from recordings and labels, through the command line: one split, and folds of all recordings."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from semiseg import segmenter, signal_trainer
from semiseg.cli import console
from semiseg.cli.main import group
from semiseg.signal_corpus import dealt, read, whole

RATE, LENGTH, RECORDS = 100, 1400, 6
RECIPE = """
shape = "tiny"
rate = 50.0
longest = 20
tolerance = 0.1
near = 0.06
[training]
window = 208
batch = 4
steps = 24
rate = 2e-2
warm_up = 4
average = 0.9
[schedule]
validate = 12
"""


def recording(seed: int) -> tuple[np.ndarray, list[tuple[int, int, str]]]:
    """Bumps up and down in turn, in noise."""
    rng = np.random.default_rng(seed)
    x, labels, at = 0.1 * rng.standard_normal(LENGTH), [], 10
    while at + 40 < LENGTH:
        width, up = int(rng.integers(18, 26)), len(labels) % 2 == 0
        x[at : at + width] += (1 if up else -1) * np.sin(np.pi * np.arange(width) / width)
        labels.append((at, at + width, "up" if up else "down"))
        at += width + int(rng.integers(12, 20))
    return x.astype(np.float32), labels


@pytest.fixture
def asked(tmp_path) -> list:
    with h5py.File(tmp_path / "recordings.h5", "w") as file, (tmp_path / "labels.bed").open("w") as bed:
        for i in range(RECORDS):
            x, labels = recording(i)
            file.create_dataset(f"r{i}", data=x).attrs["rate"] = RATE
            for start, end, name in labels:
                print(f"r{i}", start, end, name, sep="\t", file=bed)
    (tmp_path / "recipe.toml").write_text(RECIPE)
    files = [tmp_path / "recordings.h5", tmp_path / "labels.bed", "--config", tmp_path / "recipe.toml"]
    return ["train", *files, "-o", tmp_path / "m", "--device", "cpu", "--threads", 1]


def run(*arguments) -> int:
    return console.run(group, [str(a) for a in arguments])


def test_one_split(asked, tmp_path, capsys):
    assert run(*asked, "--val", "r1", "--val", "r4") == 0
    said = capsys.readouterr().err
    assert "in 4 channels to learn from" in said
    assert "step 12/24" in said
    model = segmenter.load(tmp_path / "m")
    assert model.about["validated_on"] == ["r1", "r4"]
    assert model.about["validation"]["interval"] > 0.5
    assert run("decode", tmp_path / "recordings.h5", "--model", tmp_path / "m", "-o", tmp_path / "calls.bed") == 0
    calls = [tmp_path / "calls.bed", tmp_path / "labels.bed"]
    assert run("evaluate", *calls, "--kind", "intervals", "--rate", RATE, "--json") == 0
    assert json.loads(capsys.readouterr().out)["mean_end_f1"]["150"] > 0.5


def test_every_recording_is_judged_by_a_model_that_has_not_seen_it(asked, tmp_path, capsys, monkeypatch):
    unseen = {}
    learnt = signal_trainer.learnt

    def noting(task, output, *others, **more):
        unseen[Path(output).name] = {x.record for x in task.corpus.validation} - {
            x.record for x in task.corpus.training
        }
        return learnt(task, output, *others, **more)

    monkeypatch.setattr("semiseg.signal_folds.learnt", noting)
    assert run(*asked, "--folds", 3) == 0
    said = capsys.readouterr().err
    assert "fold 3 of 3: 4 channels to learn from" in said
    assert "all, with the figures of the folds: 6 channels" in said
    every = {f"r{i}" for i in range(RECORDS)}
    assert unseen.pop("m") == set()
    assert [len(x) for x in unseen.values()] == [2, 2, 2]
    assert set.union(*unseen.values()) == every
    model = segmenter.load(tmp_path / "m")
    assert (set(model.about["validated_on"]), model.about["folds"]) == (every, 3)
    assert not (tmp_path / "m.checkpoint").exists()

    # its figures and its calibration are those of the folds' calls
    found = read(tmp_path / "recordings.h5", tmp_path / "labels.bed")
    calls = {}
    for i, corpus in enumerate(dealt(found, 3), 1):
        fold = segmenter.load(tmp_path / "m.folds" / f"{i}.safetensors")
        assert fold.calibration == {}
        calls |= {lead.name: signal_trainer.decoded(fold, lead) for lead in corpus.validation}
    task = signal_trainer.Signals(whole(found), signal_trainer.SignalPlan(tolerance=0.1, near=0.06))
    maps, errors = signal_trainer.calibrated(task.agreement(calls))
    assert model.calibration == maps
    assert set(maps) == {f"{name} {side}" for name in ("up", "down") for side in ("start", "end")}
    assert model.about["validation"] == pytest.approx(
        {k: v for k, v in task.judged(calls).items() if k != "mean"} | errors
    )


def test_folds_that_are_done_are_not_done_again(asked, tmp_path, capsys):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("steps = 24", "steps = 2"))
    (tmp_path / "m.folds").mkdir()  # what a run leaves that was stopped early
    for fold in (2, 1):
        assert run(*asked, "--folds", 2, "--fold", fold) == 0
        said = capsys.readouterr().err
        assert f"fold {fold} of 2" in said
        assert f"m.folds/{fold}.safetensors: end" in said
    assert run(*asked, "--folds", 2, "--fold", 1) == 1
    assert "1.safetensors is there: --resume continues with it" in capsys.readouterr().err
    assert run(*asked, "--folds", 2, "--resume") == 0
    assert "of 2: " not in capsys.readouterr().err
    before = segmenter.load(tmp_path / "m").about
    (tmp_path / "m").unlink()
    (tmp_path / "m.folds" / "2.safetensors").unlink()
    assert run(*asked, "--folds", 2) == 1
    assert capsys.readouterr().err == (
        f"semiseg: {tmp_path / 'm.folds'} is there: --resume continues with it, or delete it to begin anew\n"
    )
    assert run(*asked, "--folds", 2, "--resume") == 0
    said = capsys.readouterr().err
    assert "fold 1 of 2" not in said
    assert "fold 2 of 2" in said
    assert segmenter.load(tmp_path / "m").about == before
    recipe.write_text(recipe.read_text().replace("average = 0.9", "average = 0.8"))
    assert run(*asked, "--folds", 2, "--resume") == 1
    said = capsys.readouterr().err
    assert (
        f"1.safetensors: of another recipe, data or number of folds: delete {tmp_path / 'm.folds'} to begin anew"
        in said
    )


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--folds", 7], 1, "--folds 7: only 6 recordings have labels"),
        (["--folds", 2, "--val", "r1"], 2, "sets every recording aside once: leave --val out"),
        (["--folds", 2, "--fold", 3], 2, "needs --folds, and is one of them, counted from 1"),
        (["--fold", 1], 2, "needs --folds, and is one of them, counted from 1"),
        (["--folds", 1], 2, "1 is not in the range x>=2"),
        (["--val", "r9"], 1, "--val: no recording named r9"),
        ([x for i in range(RECORDS) for x in ("--val", f"r{i}")], 1, "--val: no labels outside of the recordings"),
    ],
)
def test_what_cannot_be_split(asked, tmp_path, capsys, options, code, message):
    assert run(*asked, *options) == code
    assert message in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"recordings.h5", "labels.bed", "recipe.toml"}


def test_dead_channels_are_found_before_anything_is_learnt(asked, tmp_path, capsys):
    with h5py.File(tmp_path / "recordings.h5", "a") as file:
        file["r5"][:] = np.nan
    assert run(*asked, "--folds", 2) == 1
    assert capsys.readouterr().err == (
        f"semiseg: {tmp_path / 'labels.bed'}: r5: the channel is constant, or nothing in it is known: "
        "leave its rows out\n"
    )
    assert not (tmp_path / "m.folds").exists()


def test_folds_want_one_rate(asked, tmp_path, capsys):
    with h5py.File(tmp_path / "recordings.h5", "a") as file:
        file["r3"].attrs["rate"] = 2 * RATE
    assert run(*asked, "--folds", 2) == 1
    assert "--folds: recordings of several sampling rates; set some of one aside with --val" in capsys.readouterr().err


def test_folds_are_of_recordings(tmp_path, capsys):
    (tmp_path / "genome.fa").write_text(">one\nACGT\n")
    assert run("train", tmp_path / "genome.fa", "x.gff3", "-o", tmp_path / "m", "--folds", 2) == 2
    assert "is about recordings" in capsys.readouterr().err
