"""train, decode and evaluate on the command line: from files to files, and one line for what cannot be used."""

import json
import os

import pytest
import torch
from planted import planted, tiny, write_files  # noqa: F401 - a fixture

from semiseg import finder, model_file, recipe
from semiseg.assembly import concepts
from semiseg.calibration import Calibration, fit, from_json
from semiseg.cli import console
from semiseg.cli.main import group
from semiseg.errors import SemisegError
from semiseg.grammar import grammar

RECIPE = """
shape = "tiny"
[training]
window = 600
batch = 2
steps = 30
warm_up = 4
rate = 2e-2
[schedule]
validate = 15
"""


@pytest.fixture
def files(tmp_path):
    (tmp_path / "recipe.toml").write_text(RECIPE)
    return write_files(tmp_path, planted(8000, 1, "one"), planted(5000, 2, "two"))


def run(*arguments) -> int:
    return console.run(group, [str(a) for a in arguments])


@pytest.mark.usefixtures("tiny")
def test_train_decode_evaluate(files, tmp_path, capsys):
    fasta, gff = files
    model = tmp_path / "model.safetensors"
    asked = ["train", fasta, gff, "-o", model, "--config", tmp_path / "recipe.toml", "--val", "two", "--device", "cpu"]
    assert run(*asked, "--threads", 1) == 0
    said = capsys.readouterr().err
    assert "genes to validate on" in said
    assert "step 30/30" in said
    assert run("decode", fasta, "--model", model, "--format", "gff3", "-o", tmp_path / "calls.gff3") == 0
    assert run("evaluate", tmp_path / "calls.gff3", gff, "--json") == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores["nucleotide"]["f1"] > 0.3
    assert run("decode", fasta, "--model", model) == 0
    bed = [line.split("\t") for line in capsys.readouterr().out.splitlines() if not line.startswith("#")]
    exons = [line for line in (tmp_path / "calls.gff3").read_text().splitlines() if "\tCDS\t" in line]
    assert len(exons) == len(bed) > 0
    assert [int(x.split("\t")[3]) - 1 for x in exons] == [int(row[1]) for row in bed]
    assert all(0 <= int(row[4]) <= 1000 for row in bed)
    assert run(*asked, "--resume") == 0  # nothing is left to do, and the model is still there
    assert model.exists()


@pytest.mark.usefixtures("tiny")
def test_training_begins_with_what_another_model_knows(files, tmp_path, capsys):
    fasta, gff = files
    asked = ["train", fasta, gff, "--config", tmp_path / "recipe.toml", "--val", "two", "--device", "cpu"]
    known, better, other = (tmp_path / f"{name}.safetensors" for name in ("known", "better", "other"))
    assert run(*asked, "-o", known) == 0
    steps = (tmp_path / "recipe.toml").read_text()
    (tmp_path / "recipe.toml").write_text(steps.replace("steps = 30", "steps = 1").replace("2e-2", "1e-9"))
    assert run(*asked, "-o", better, "--from", known) == 0
    one, two = finder.load(known), finder.load(better)
    assert two.about["begun_from"] == "known.safetensors"
    for (name, x), y in zip(one.model.named_parameters(), two.model.parameters(), strict=True):
        torch.testing.assert_close(x, y, rtol=0.01, atol=0.01, msg=name)  # bfloat16, twice
    (tmp_path / "recipe.toml").write_text("labels = 19\n" + steps)
    assert run(*asked, "-o", other, "--from", known) == 1
    assert "its labels is 37, the recipe's 19; make them agree" in capsys.readouterr().err
    assert run("train", "absent.fa", gff, "-o", other, "--from", "nothing") == 1  # said before anything is read
    assert "--from: no model named nothing" in capsys.readouterr().err
    assert run("train", "absent.fa", gff, "-o", other, "--from", "missing.x") == 1
    assert "missing.x: no such file" in capsys.readouterr().err
    assert run("train", "absent.fa", gff, "-o", "/proc/m", "--from", "nothing") == 1
    assert "cannot write /proc/m: " in capsys.readouterr().err


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--val", "three"], "--val: no sequence named three; there are one, two"),
        (["--config", "absent.toml"], "absent.toml: cannot read: No such file or directory"),
    ],
)
def test_what_cannot_be_trained_with(files, tmp_path, capsys, change, message):
    fasta, gff = files
    asked = ["train", fasta, gff, "-o", tmp_path / "m", "--config", tmp_path / "recipe.toml", *change]
    assert run(*asked) == 1
    assert message in capsys.readouterr().err


def test_no_gpu_is_said_plainly(capsys, tmp_path, files):
    if torch.cuda.is_available():
        pytest.skip("there is one")
    assert run("train", *files, "-o", tmp_path / "m", "--device", "cuda:3") == 1
    assert "this machine has no CUDA device: choose cpu" in capsys.readouterr().err


def test_a_checkpoint_or_a_folder_is_no_model(capsys, files, tmp_path):
    model_file.save(tmp_path / "m.checkpoint", model_file.Stored("checkpoint", {}, {}, {}))
    assert run("decode", files[0], "--model", tmp_path / "m.checkpoint") == 1
    assert capsys.readouterr().err.endswith("training is not complete: the same command with --resume completes it\n")
    assert run("decode", files[0], "--model", tmp_path) == 1
    assert capsys.readouterr().err == f"semiseg: {tmp_path}: it is a folder: give the name of a file\n"


def test_a_model_takes_the_place_of_files_only(capsys, files, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for output in (tmp_path / "pipe", "-"):
        assert run("train", *files, "-o", output) == 1
        assert capsys.readouterr().err == (
            f"semiseg: cannot write {output}: it is a pipe or a device: give the name of a file\n"
        )
    (tmp_path / "link").symlink_to(tmp_path / "file")
    model_file.save(tmp_path / "link", model_file.Stored("checkpoint", {}, {}, {}))
    assert (tmp_path / "link").is_symlink()
    assert model_file.read_kind(tmp_path / "file") == "checkpoint"


def test_a_foreign_model_is_refused(capsys, files):
    assert run("decode", files[0], "--model", files[1]) == 1
    error = capsys.readouterr().err
    assert error.startswith("semiseg: ")
    assert error.rstrip().endswith("not a semiseg model, or damaged")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("labels = 20", "labels: expected one of 13, 19, 31, 37, got 20"),
        ("shape = 'huge'", "shape: expected one of full, compact, got 'huge'"),
        ("label = 37", "unknown 'label'; there are labels, shape"),
        ("training = 1", "training: expected a table"),
        ("[training]\nwindows = 1", "training: unknown 'windows'; there are window, batch"),
        ("[training]\nrate = 'high'", "training.rate: expected float, got 'high'"),
        ("[training]\nsteps = true", "training.steps: expected int, got True"),
        ("[training]\nrate = nan", "training.rate: expected above 0, got nan"),
        ("[training]\nbatch = 0", "training.batch: expected at least 1, got 0"),
        ("[training]\nsteps = -1", "training.steps: expected at least 1, got -1"),
        ("[training]\nseed = -1", "training.seed: expected at least 0, got -1"),
        ("[training]\ndropout = 2.0", "training.dropout: expected at least 0 and below 1, got 2.0"),
        ("[training]\nmutate = 1.5", "training.mutate: expected at least 0 and at most 1, got 1.5"),
        ("[schedule]\nworkers = -2", "schedule.workers: expected at least 0, got -2"),
        ("[training", "not TOML"),
    ],
)
def test_what_is_no_recipe(tmp_path, text, message):
    (tmp_path / "r.toml").write_text(text)
    with pytest.raises(SemisegError, match=message):
        recipe.read(tmp_path / "r.toml")


def test_a_recipe_fills_in_what_it_leaves_out(tmp_path):
    (tmp_path / "r.toml").write_text("family = 'spline'\n[training]\nfit_laws = true\nsteps = 7\nrate = 1\n")
    plan = recipe.read(tmp_path / "r.toml")
    assert plan == recipe.Plan(family="spline", training=recipe.Recipe(steps=7, rate=1, fit_laws=True))


def test_calibration_rises_and_says_what_was_right():
    generator = torch.Generator().manual_seed(0)
    p = torch.rand(20_000, generator=generator, dtype=torch.float64)
    right = torch.rand(20_000, generator=generator, dtype=torch.float64) < p**2  # believed too much
    found = fit(p.numpy(), right.numpy())
    x = torch.linspace(0, 1, 101, dtype=torch.float64).numpy()
    y = found.apply(x)
    assert (y[1:] >= y[:-1]).all()
    assert abs(y - x**2).max() < 0.05
    assert from_json(json.loads(json.dumps(found))) == found
    assert from_json(None) is None


@pytest.mark.parametrize("points", [[[0, 1], [1, 0]], [[0, 0], [0, 1]], [[0], [0]]])
def test_a_map_that_does_not_rise_is_refused(points):
    with pytest.raises(SemisegError, match="does not rise"):
        from_json(points)


def test_too_few_calls_to_calibrate_on():
    with pytest.raises(SemisegError, match="expected at least 50 calls, got 2"):
        fit(torch.zeros(2).numpy(), torch.zeros(2).numpy())


def test_a_map_stays_where_there_is_nothing_to_learn():
    same = Calibration((0.0, 1.0), (0.0, 1.0))
    assert same.apply(torch.tensor([0.0, 0.3, 1.0]).numpy()).tolist() == pytest.approx([0, 0.3, 1])


def test_exons_that_print_alike_are_one_concept():
    g = grammar(37)
    of = concepts(g)
    by_name = {}
    for label, concept in zip(g.labels, of.tolist(), strict=True):
        by_name.setdefault((label.kind, label.strand), set()).add(concept)
    assert by_name["single", 0] == by_name["terminal", 0]
    assert by_name["initial", 1] == by_name["internal", 1]
    assert len({frozenset(x) for x in by_name.values()}) == 1 + 2 * 3
