"""Signals decoded from files to files: as the whole at once says, however they are cut, and refused in one line."""

import csv
import gzip
import json
from collections.abc import Iterator
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import gaussian_states
import h5py
import numpy as np
import pyBigWig
import pytest
import strict_bed
import torch
from numpy.typing import NDArray

from semiseg import flanks, signal_calling, signal_models, signal_stream
from semiseg.cli import console
from semiseg.cli.main import group
from semiseg.formats.source import open_source
from semiseg.formats.track_store import CODINGS, Layout, StoreFile
from semiseg.kernels import Segments, marginals, viterbi

BIN = 200
CONTIGS = [("chr2", 5000 * BIN - 50), ("chr1", 300 * BIN), ("tiny", 7)]
CONFIG = gaussian_states.config(C=4, view=512, look=256) | {"block": 100}
ROUNDED = 6e-4  # four digits, and posteriors from other cuts
Rows = list[list[str]]


def run(*words: object) -> int:
    """Exit status of a command."""
    return console.run(group, [str(word) for word in words])


def signal(T: int, seed: int) -> NDArray:
    """Segments of the model's states with noise, some of it missing."""
    random = np.random.default_rng(seed)
    states = np.repeat(random.integers(0, 4, T), random.integers(5, 80, T))[:T]
    values = np.array(CONFIG["means"])[states] + random.normal(size=(T, 2))
    values[random.random((T, 2)) < 0.1] = np.nan
    values[T // 2 : T // 2 + 30] = np.nan
    return values.astype(np.float32)


@pytest.fixture(name="known", autouse=True)
def kind_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(signal_models.MODULES, gaussian_states.KIND, "gaussian_states")


@pytest.fixture(name="model", scope="module")
def a_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "states.safetensors"
    gaussian_states.save(path, CONFIG)
    return path


@pytest.fixture(name="store", scope="module")
def a_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "tracks.h5"
    layout = Layout(["a", "b"], CONTIGS, BIN)
    file = StoreFile(path, layout, CODINGS["float32"], 1)
    for seed, (name, length) in enumerate(CONTIGS):
        file.values(name)[:] = signal(layout.bins(length), seed)
    file.values("tiny")[:] = 0
    file.close()
    return path


def rows_of(text: str) -> Rows:
    """Cells of all rows but comments."""
    return [line.split("\t") for line in text.splitlines() if not line.startswith("#")]


@pytest.fixture(name="whole")
def all_calls(model: Path, store: Path, capsys: pytest.CaptureFixture[str]) -> Rows:
    """What is called in all of the store."""
    assert run("decode", store, "--model", model) == 0
    return rows_of(capsys.readouterr().out)


def same(found: Rows, other: Rows) -> None:
    """The same segments; posteriors may differ in the last digit."""
    assert [row[:4] for row in found] == [row[:4] for row in other]
    for row, twin in zip(found, other, strict=True):
        np.testing.assert_allclose([float(x) for x in row[9:13]], [float(x) for x in twin[9:13]], atol=ROUNDED)
        assert row[13:] == twin[13:]


def coordinate(end: int, position: int) -> int:
    """Where a boundary between bins lies."""
    return min(position * BIN, end)


def test_it_is_what_the_kernels_say_of_the_whole(model: Path, store: Path, whole: Rows) -> None:
    known = gaussian_states.load(model)
    same_name = torch.tensor([known.labels.index(name) for name in known.labels])
    for strip in open_source(store).strips:
        p = known.template()._replace(emissions=torch.cat([x.emissions for x in known.blocks(strip)]))
        best = viterbi(p).segments
        calls = marginals(p, want=(), segments=Segments(*best), concepts=same_name).calls
        assert calls is not None
        mine = [row for row in whole if row[0] == strip.name]
        edge = partial(coordinate, strip.end)
        assert [(int(r[1]), int(r[2]), r[3]) for r in mine] == [
            (edge(a), edge(b), known.labels[c])
            for a, b, c in zip(best.start.tolist(), best.end.tolist(), best.label.tolist(), strict=True)
        ]
        assert [int(r[4]) for r in mine] == pytest.approx((calls.segment.numpy() * 1000).tolist(), abs=1)
        for column, field in ((9, "start"), (10, "end"), (11, "segment"), (12, "label")):
            np.testing.assert_allclose([float(r[column]) for r in mine], getattr(calls, field), atol=ROUNDED)
        for column, field in ((13, "start_low"), (14, "start_high"), (15, "end_low"), (16, "end_high")):
            assert [int(r[column]) for r in mine] == [edge(x) for x in getattr(calls, field).tolist()]


def test_bed_is_bed(model: Path, store: Path, tmp_path: Path) -> None:
    assert run("decode", store, "--model", model, "-o", tmp_path / "x.bed.gz") == 0
    assert (tmp_path / "x.bed.gz.tbi").exists()
    with gzip.open(tmp_path / "x.bed.gz", "rt") as file:
        text = file.read()
    rows = strict_bed.check(text, dict(CONTIGS))
    assert {row[8] for row in rows_of(text)} == set(CONFIG["colours"])
    assert len(rows) == len(rows_of(text))


@pytest.mark.parametrize("far", [False, True])
@pytest.mark.parametrize("region", [(0, 100), (2300, 2301), (2300, 2700), (4990, 5000), (0, 5000)])
def test_a_region_is_as_in_the_whole(
    region: tuple[int, int], far: bool, model: Path, store: Path, whole: Rows, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(flanks, "FLANK", 20 if far else 600)
    monkeypatch.setattr(flanks, "NEAR", 200)
    monkeypatch.setattr(signal_stream, "NEAR", 200)
    start, end = region[0] * BIN + 13, min(region[1] * BIN, CONTIGS[0][1])
    assert run("decode", store, "--model", model, "-r", f"chr2:{start + 1}-{end}") == 0
    wanted = [row for row in whole if row[0] == "chr2" and int(row[1]) < end and start // BIN * BIN < int(row[2])]
    same(rows_of(capsys.readouterr().out), wanted)


def test_neighbouring_regions_share_no_segment(
    model: Path, store: Path, whole: Rows, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [word for at in (1000, 1010, 1200) for word in ("-r", f"chr2:{at * BIN + 1}-{(at + 5) * BIN}")]
    assert run("decode", store, "--model", model, *words, "-r", "tiny") == 0
    rows = rows_of(capsys.readouterr().out)
    assert len({tuple(row[:3]) for row in rows}) == len(rows)
    assert rows[-1][0] == "tiny"
    assert {tuple(row[:4]) for row in rows} <= {tuple(row[:4]) for row in whole}


def test_an_isolated_region_knows_nothing_else(model: Path, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("decode", store, "--model", model, "-r", f"chr2:{40 * BIN + 1}-{90 * BIN}", "--isolated") == 0
    rows = rows_of(capsys.readouterr().out)
    assert (int(rows[0][1]), int(rows[-1][2])) == (40 * BIN, 90 * BIN)


@pytest.mark.parametrize("form", ["hdf5", "bigwig"])
def test_posteriors_are_tracks(form: str, model: Path, store: Path, tmp_path: Path) -> None:
    where = tmp_path / ("p.h5" if form == "hdf5" else "p")
    assert run("posteriors", store, "--model", model, "-o", where) == 0
    known, source = gaussian_states.load(model), open_source(store)
    names = list(dict.fromkeys(known.labels))
    for strip in source.strips:
        p = known.template()._replace(emissions=torch.cat([x.emissions for x in known.blocks(strip)]))
        position = marginals(p, want=("position",)).position
        assert position is not None
        truth = np.stack([position[:, [x == name for x in known.labels]].sum(1).numpy() for name in names], 1)
        if form == "hdf5":
            tracks = open_source(where)  # what was written is a source again
            assert (tracks.channels, tracks.bin) == ((*names, "entropy"), BIN)
            (other,) = (x for x in tracks.strips if x.name == strip.name)
            assert (other.length, other.end) == (strip.length, strip.end)
            np.testing.assert_allclose(other.read(0, other.length)[:, :-1], truth, atol=6e-4)
        else:
            with pyBigWig.open(str(where / f"{names[0]}.bw")) as wig:
                bases = np.nan_to_num(wig.values(strip.name, 0, strip.end))
            np.testing.assert_allclose(bases, np.repeat(truth[:, 0], BIN)[: strip.end], atol=6e-4)


def test_options_choose(model: Path, store: Path, whole: Rows, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("decode", store, "--model", model, "--labels", "E2", "--format", "bed") == 0
    rows = rows_of(capsys.readouterr().out)
    assert [row[:3] for row in rows] == [row[:3] for row in whole if row[3] == "E2"]
    assert len(rows[0]) == len(whole[0]) - 3
    assert run("decode", store, "--model", model, "--min-confidence", "0.3", "--json") == 0
    out, error = capsys.readouterr()
    assert len(rows_of(out)) == json.loads(error)["segments"] < len(whole)
    assert run("decode", store, "--model", model, "--decoder", "mea") == 0
    assert rows_of(capsys.readouterr().out)[0][0] == "chr2"


@pytest.fixture(name="recordings", scope="module")
def some_recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An HDF5 of one recording."""
    path = tmp_path_factory.mktemp("recordings") / "r.h5"
    with h5py.File(path, "w") as file:
        file["r"] = signal(3000, 5)
    return path


def test_seconds_and_csv(model: Path, recordings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["decode", recordings, "--model", model, "--dataset", "r", "--rate", 250]
    assert run(*words) == 0
    samples = rows_of(capsys.readouterr().out)
    assert run(*words, "--unit", "s", "--format", "csv") == 0
    text = capsys.readouterr().out
    rows = list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
    assert "in seconds" in text
    assert [(float(r["start"]), float(r["end"]), r["label"], float(r["end_high"])) for r in rows] == [
        (int(s[1]) / 250, int(s[2]) / 250, s[3], int(s[16]) / 250) for s in samples
    ]
    assert run(*words, "-r", "r:1001-1200") == 0
    same(rows_of(capsys.readouterr().out), [s for s in samples if int(s[1]) < 1200 and int(s[2]) > 1000])


@pytest.mark.filterwarnings("ignore")  # of pandas, about what wfdb does
def test_annotations(model: Path, recordings: Path, tmp_path: Path) -> None:
    wfdb = pytest.importorskip("wfdb")
    words = ["decode", recordings, "--model", model, "--dataset", "r", "--rate", 250]
    assert run(*words, "-o", tmp_path / "r.bed") == 0
    assert run(*words, "--format", "wfdb", "-o", tmp_path / "r") == 0
    found = wfdb.rdann(str(tmp_path / "r" / "r"), "seg")
    rows = rows_of((tmp_path / "r.bed").read_text())
    assert found.symbol == ["(", '"', ")"] * len(rows)
    assert found.sample[::3].tolist() == [int(row[1]) for row in rows]
    assert found.sample[2::3].tolist() == [int(row[2]) - 1 for row in rows]
    assert found.aux_note[1::3] == [row[3] for row in rows]


def test_many_short_sequences_are_in_order(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    contigs = [(f"c{i}", (i * 37 % 90 + 1) * BIN) for i in range(30)]
    file = StoreFile(tmp_path / "t.h5", Layout(["a", "b"], contigs, BIN), CODINGS["float16"], 1)
    for i, (name, length) in enumerate(contigs):
        file.values(name)[:] = signal(length // BIN, i)
    file.close()
    assert run("decode", tmp_path / "t.h5", "--model", model) == 0
    rows = rows_of(capsys.readouterr().out)
    assert [(name, int(list(some)[-1][2])) for name, some in groupby(rows, key=lambda row: row[0])] == contigs


def test_where_nothing_is_known(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def decoded(values: dict[str, NDArray]) -> int:
        contigs = [(name, len(x) * BIN) for name, x in values.items()]
        file = StoreFile(tmp_path / "t.h5", Layout(["a", "b"], contigs, BIN), CODINGS["float32"], 1)
        for name, x in values.items():
            file.values(name)[:] = x
        file.close()
        return run("decode", tmp_path / "t.h5", "--model", model, "-o", tmp_path / "x.bed")

    nothing = np.full((500, 2), np.nan)
    assert decoded({"one": nothing, "two": nothing}) == 1
    assert "all values are NaN" in capsys.readouterr().err
    assert not (tmp_path / "x.bed").exists()
    assert decoded({"one": nothing, "two": signal(500, 1)}) == 0
    assert "warning: nothing is known about one" in capsys.readouterr().err


REFUSED = [
    (["--format", "gff3"], 2, "--format: expected one of bed9, bed, csv, wfdb"),
    (["--labels", "exon"], 2, "--labels: the model has no exon; there are E1, E2, E3"),
    (["--unit", "s"], 1, "is not in time"), (["--format", "wfdb"], 2, "wfdb needs --output"),
    (["--rate", "5"], 1, "a track store has bins of bases, and no rate"),
    (["-r", "chr9"], 1, "--region: no sequence named chr9; there are chr2, chr1, tiny"),
    (["--channels", "a"], 1, "expected 2 channels, found 1"), (["--channels", "a,x"], 1, "has no x; there are a, b"),
    (["--dataset", "values/tiny"], 0, ""), (["--dataset", "nothing"], 1, "no dataset nothing"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "status", "said"), REFUSED)
def test_what_makes_no_sense_is_refused(
    words: list[str], status: int, said: str, model: Path, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("decode", store, "--model", model, *words) == status
    out, error = capsys.readouterr()
    assert said in error
    assert error.count("\n") == (status > 0)
    assert bool(out) == (status == 0)


def test_models_and_files_that_do_not_match(
    model: Path, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.fa").write_text(">a\nACGT\n")
    cases: Iterator[tuple[list[Any], int, str]] = iter([
        (["decode", tmp_path / "x.fa", "--model", model], 1, "FASTA, not signals"),
        (["decode", store], 1, "HDF5, but compact-eukaryote finds genes in FASTA"),
        (["decode", tmp_path / "x.fa", "--rate", "5"], 2, "this one finds genes"),
        (["decode", tmp_path / "x.fa", "--unit", "s"], 2, "this one finds genes"),
        (["decode", tmp_path / "x.fa", "--format", "csv"], 2, "--format: expected one of bed, bed9, gff3"),
        (["posteriors", tmp_path / "none.h5", "--model", model, "-o", tmp_path / "p.h5"], 1, "no such file"),
        (["decode", store, "--model", model, "--resume", "-o", tmp_path / "x.bed"], 2, "--resume is for models that"),
    ])  # fmt: skip
    for words, status, said in cases:
        assert run(*words) == status
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["x.fa"]


def test_bins_of_scales_that_are_not_whole() -> None:
    stretch = signal_stream.Stretch(2, 4, [], np.array([[0.1], [0.9]]))
    place = signal_calling.Place(gaussian_states.Strip("r", 5, lambda a, b: np.zeros((b - a, 1)), 7), 1.4, 360.0)
    assert signal_calling.bins_of({"r": place}) is None
    (found,) = signal_calling.spread(signal_calling.Result("r", 7, iter([stretch])), place).stretches
    assert (found.first, found.last) == (3, 6)
    np.testing.assert_array_equal(found.tracks, [[0.1], [0.9], [0.9]])
