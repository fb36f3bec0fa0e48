"""Models that come with the package: by name, listed, decoded with; and a word where a genome is unlike theirs."""

import hashlib
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from planted import planted, tiny, tiny_model, write_files  # noqa: F401 - a fixture
from safetensors import safe_open

from semiseg import bundled, depth, finder, hsmm_model, segmenter
from semiseg.cli import console
from semiseg.cli.main import group
from semiseg.depth import Depth
from semiseg.errors import SemisegError
from semiseg.formats.fasta import Contig
from semiseg.genes import Exon, Gene
from semiseg.model_file import read_kind
from semiseg.training import Recipe

ROOT = Path(__file__).resolve().parents[1]
MIB = 1 << 20
LOADERS = {finder.KIND: finder.load, segmenter.KIND: segmenter.load, hsmm_model.KIND: hsmm_model.load}
ABOUT = {
    "clade": "Fungi",
    "data": "planted genes",
    "licence": "CC0",
    "validated_on": ["two", "three"],
    "validation": {"gene": 0.5, "exon": 0.75},
    "depth": Depth(0.4, 0.6, 0.0, 1.0).as_json(),
}


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """A folder that stands for the package's; without any model so far."""
    monkeypatch.setattr(bundled, "FOLDER", tmp_path / "weights")
    bundled.FOLDER.mkdir()
    return bundled.FOLDER


def put(path: Path, about=ABOUT) -> Path:
    """Write a small model that was never trained."""
    finder.save(path, finder.Finder(tiny_model(Recipe()), None, about))
    return path


@pytest.fixture
def stocked(weights, tiny):  # noqa: F811
    put(weights / f"{bundled.DEFAULT}.safetensors")
    put(weights / "bare.safetensors", {})
    return weights


def run(*arguments) -> int:
    return console.run(group, [str(a) for a in arguments])


def random_contig(T: int, gc: float, name: str = "one") -> Contig:
    """Letters drawn one by one."""
    rng = np.random.default_rng(0)
    return Contig(name, rng.choice(np.frombuffer(b"ACGT", np.uint8), T, p=[(1 - gc) / 2, gc / 2, gc / 2, (1 - gc) / 2]))


def test_a_name_is_a_file_of_the_folder(stocked):
    assert bundled.names() == ["bare", bundled.DEFAULT]
    assert bundled.find("bare") == stocked / "bare.safetensors"


@pytest.mark.parametrize("given", ["./bare", "/some/bare", "bare.safetensors", "missing.x", Path("folder/bare")])
def test_a_path_is_no_name(stocked, given):
    assert bundled.find(given) == Path(given)


def test_an_unknown_name_lists_those_there_are(stocked):
    with pytest.raises(SemisegError, match=r"no model named bear; there are bare, compact-eukaryote; .* \./bear$"):
        bundled.find("bear")


@pytest.mark.parametrize("absent", [False, True])
def test_nothing_bundled_is_said_plainly(weights, files, capsys, absent):
    if absent:
        weights.rmdir()
    assert run("decode", files[0]) == 1
    assert capsys.readouterr().err == (
        "semiseg: --model: no model comes with this copy of semiseg: give a file that `semiseg train` wrote\n"
    )
    assert run("models", "--json") == 0
    assert json.loads(capsys.readouterr().out) == []


@pytest.fixture
def files(tmp_path):
    return write_files(tmp_path, planted(6000))


def test_models_are_listed(stocked, capsys):
    assert run("models", "--json") == 0
    bare, full = json.loads(capsys.readouterr().out)
    data = (stocked / "bare.safetensors").read_bytes()
    assert bare == dict.fromkeys(bundled.Listed._fields) | {
        "name": "bare",
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    assert full["name"] == bundled.DEFAULT
    assert all(full[key] == ABOUT[key] for key in ABOUT.keys() - {"depth"})
    assert run("models") == 0
    header, first, second = (line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert dict(zip(header, first, strict=True)) == {
        **dict.fromkeys(header, "-"),
        "name": "bare",
        "bytes": str(len(data)),
        "sha256": bare["sha256"][:8],
    }
    shown = dict(zip(header, second, strict=True))
    assert (shown["clade"], shown["gene"], shown["ece"]) == ("Fungi", "0.500", "-")


def test_listing_needs_no_torch(tmp_path):
    code = (
        "import sys\n"
        "from semiseg.cli import console, main\n"
        "assert console.run(main.group, ['models']) == 0\n"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)


def test_decode_by_name_is_decode_by_file(stocked, files, capsys):
    said = []
    for model in [[], ["--model", bundled.DEFAULT], ["--model", stocked / f"{bundled.DEFAULT}.safetensors"]]:
        assert run("decode", files[0], "--device", "cpu", *model) == 0
        said.append(capsys.readouterr())
    assert said[0] == said[1] == said[2]
    assert said[0].out.startswith("#")
    assert run("decode", files[0], "--model", "no-such") == 1
    assert "there are bare, compact-eukaryote" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("T", "gc", "about", "warned"),
    [
        (24_000, 0.8, ABOUT, True),
        (24_000, 0.5, ABOUT, False),
        (24_000, 0.8, {}, False),
        (19_000, 0.8, ABOUT, False),  # too short to say
    ],
)
def test_a_genome_unlike_those_learnt_from(weights, tiny, tmp_path, capsys, T, gc, about, warned):  # noqa: F811
    model = put(weights / "model.safetensors", about)
    fasta, _ = write_files(tmp_path, (random_contig(T, gc), []))
    assert run("decode", fasta, "--model", model, "--device", "cpu") == 0
    expected = (
        "semiseg: warning: base composition: 80 % GC; the model learnt from 40 to 60 %: calls may be poor\n" * warned
    )
    assert capsys.readouterr().err == expected


def test_ranges_that_are_none_are_refused(weights, tiny, files, capsys):  # noqa: F811
    model = put(weights / "model.safetensors", {"depth": {"gc_low": 0.1}})
    assert run("decode", files[0], "--model", model) == 1
    assert capsys.readouterr().err.startswith("semiseg: depth: expected the numbers gc_low, gc_high, density_low,")


def test_ranges_are_those_of_windows():
    low, high = random_contig(100_000, 0.2, "low"), random_contig(100_000, 0.6, "high")
    gene = Gene("low", "+", (Exon(0, 100), Exon(20_000, 30_000)))
    found = depth.measured([low, high], [gene, gene])  # a gene counts once
    assert found == pytest.approx((0.2, 0.6, 0, 0.6), abs=0.02)
    assert depth.from_json(json.loads(json.dumps(found.as_json()))) == found
    assert depth.from_json(None) is None


def test_windows_go_on_over_short_contigs_and_leave_gaps_out():
    whole = random_contig(200_000, 0.3)
    pieces = [Contig(str(i), part) for i, part in enumerate(np.split(whole.sequence, 20))]
    gap = Contig("gap", np.full(100_000, ord("N"), np.uint8))
    empty = Contig("empty", np.zeros(0, np.uint8))
    assert depth.measured([*pieces[:7], gap, empty, *pieces[7:]], []) == depth.measured([whole], [])


def test_a_genome_shorter_than_a_window_is_one():
    contig, genes = planted(6000)
    found = depth.measured([contig], genes)
    assert found.gc_low == found.gc_high == np.isin(contig.sequence, list(b"GC")).mean()
    assert found.density_low == found.density_high > 0


@pytest.mark.parametrize(
    ("gc", "density", "said"),
    [
        (0.19, 0.1, []),
        (0.43, 1.0, []),
        (0.46, 0.5, ["base composition: 46 % GC; the model learnt from 20 to 42 %: calls may be poor"]),
        (0.58, 0.5, ["base composition: 58 % GC; the model learnt from 20 to 42 %: calls may be poor"]),
        (0.14, 0.5, ["base composition: 14 % GC; the model learnt from 20 to 42 %: calls may be poor"]),
        (0.3, 0.04, ["gene density: 4 % of bases in genes; the model learnt from 20 to 60 %: calls may be poor"]),
    ],
)
def test_what_is_far_outside_is_said(gc, density, said):
    assert depth.warnings(Depth(0.2, 0.42, 0.2, 0.6), gc, density) == said


def test_weights_are_packaged():
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    assert f"{bundled.FOLDER.name}/*{bundled.SUFFIX}" in data["semiseg"]
    assert bundled.FOLDER == ROOT / "semiseg" / "weights"


def test_the_default_is_there():
    assert not bundled.names() or bundled.DEFAULT in bundled.names()


def test_all_models_together_are_small():
    assert sum(bundled.find(name).stat().st_size for name in bundled.names()) <= 24 * MIB


@pytest.mark.parametrize("name", bundled.names())
def test_a_bundled_model(name):
    path = bundled.find(name)
    assert path.stat().st_size <= 6 * MIB
    kind = read_kind(path)
    about = LOADERS[kind](path).about
    assert all(about.get(key) for key in ("clade", "data", "licence", "validation"))
    assert (depth.from_json(about.get("depth")) is not None) == (kind == finder.KIND)
    if kind == hsmm_model.KIND:  # some hundred numbers, as exact as they were learnt
        return
    with safe_open(path, "numpy") as file:
        kinds = {key: file.get_slice(key).get_dtype() for key in file.keys()}  # noqa: SIM118 - no mapping
    # two numbers a duration law stay as exact as they were
    assert {kind for key, kind in kinds.items() if not key.startswith("laws.")} == {"BF16"}
