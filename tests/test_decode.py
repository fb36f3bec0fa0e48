"""`semiseg decode`: the same calls however the genome comes, in every format, whole files or none."""

import gzip
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pysam
import pytest
import strict_bed
from decoding import (  # noqa: F401 - fixtures
    LENGTHS,
    ROUNDED,
    Rows,
    all_rows,
    dna,
    exons,
    names,
    places,
    rows_of,
    run,
    some_contigs,
    untrained,
    write_fasta,
)
from numpy.typing import NDArray

from semiseg import finder, gene_stream, genome
from semiseg.decode import decode
from semiseg.formats.bed import EXTRA


def test_a_file_a_pipe_and_gzip_say_the_same(
    model: Path, genome: Path, whole: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (tmp_path / "genome.fa.gz").write_bytes(gzip.compress(genome.read_bytes()))
    assert run("decode", tmp_path / "genome.fa.gz", "--model", model) == 0
    assert rows_of(capsys.readouterr().out) == whole
    for data in (genome.read_bytes(), gzip.compress(genome.read_bytes())):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        assert run("decode", "-", "--model", model, "-o", "-") == 0
        assert rows_of(capsys.readouterr().out) == whole


@pytest.mark.parametrize("name", ["x.bed", "x.bed.gz", "x.BED.bgz", "x.gff3", "x.gff3.gz", "x.gff.GZ", "x", "x.gz"])
def test_the_name_says_the_format(name: str, model: Path, genome: Path, whole: Rows, tmp_path: Path) -> None:
    path = tmp_path / name
    assert run("decode", genome, "--model", model, "-o", path, "-q") == 0
    data = path.read_bytes()
    is_compressed = name.lower().endswith("gz")
    text = (gzip.decompress(data) if is_compressed else data).decode()
    assert names(tmp_path) == [name, f"{name}.tbi"][: 1 + is_compressed]
    comments = [line for line in text.splitlines() if line.startswith("# ")]
    assert [line.split()[1] for line in comments] == ["semiseg", "command:", "model:", "score:"]
    if ".gff" in name:
        assert text.startswith("##gff-version 3\n")
        coding = [row for row in rows_of(text) if row[2] == "CDS"]
        assert [(row[0], int(row[3]) - 1, int(row[4]), row[6]) for row in coding] == exons(whole)
        regions = [line.split()[1] for line in text.splitlines() if line.startswith("##sequence-region")]
        assert regions == [contig for contig, length in LENGTHS.items() if length]
    else:
        assert strict_bed.check(text, LENGTHS) == whole
    if is_compressed:
        with pysam.TabixFile(str(path)) as found:
            got = {(row.split("\t")[0], row.split("\t")[-1]) for row in found.fetch("other", 0, 4000)}
        assert got == {(row[0], row[-1]) for row in rows_of(text) if row[0] == "other"}


def test_a_format_is_asked_for(model: Path, genome: Path, whole: Rows, tmp_path: Path) -> None:
    path = tmp_path / "x.gff3"
    assert run("decode", genome, "--model", model, "-o", path, "--format", "bed9", "-q") == 0
    rows = strict_bed.check(path.read_text(), LENGTHS)
    assert [row[:6] + row[9:] for row in rows] == whole
    assert path.read_text().splitlines()[4].split("\t")[6:] == list(EXTRA["bed9"])


@pytest.mark.parametrize("regions", [(), ("long:2000-5000", "long:9000-9100", "other")])
def test_genometools_validates(model: Path, genome: Path, regions: tuple[str, ...], tmp_path: Path) -> None:
    if shutil.which("gt") is None:
        assert "SEMISEG_REQUIRE_TOOLS" not in os.environ, "gt is not installed"
        pytest.skip("needs gt")
    for name in ("x.gff3", "x.gff3.gz"):
        path = tmp_path / name
        asked = [word for region in regions for word in ("-r", region)]
        assert run("decode", genome, "--model", model, "-o", path, "-q", *asked) == 0
        done = subprocess.run(["gt", "gff3validator", "-typecheck", "so", path], capture_output=True, text=True)
        assert "input is valid GFF3" in done.stdout, done.stderr
        assert "warning" not in done.stderr


def test_many_short_contigs_are_as_if_alone(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(1)
    lengths = [*random.integers(50, 300, 200).tolist(), 0, 1, 0, 2, 8192, 9000, 8193, 700]
    contigs = {f"c{at}": dna(lengths[at], at) for at in random.permutation(len(lengths)).tolist()}
    path = write_fasta(tmp_path / "genome.fa", contigs)
    assert run("decode", path, "--model", model, "--raw", "-q") == 0
    rows = rows_of(capsys.readouterr().out)
    assert list(dict.fromkeys(row[0] for row in rows)) == [name for name in contigs if name in {row[0] for row in rows}]
    alone = finder.load(model).model
    some = [name for at, name in enumerate(contigs) if at % 4 == 0 or len(contigs[name]) > 300]
    expected = [gene for name in some for gene in decode(alone, name, contigs[name])]
    assert len({gene.contig for gene in expected}) > 10
    rows = [row for row in rows if row[0] in some]
    assert exons(rows) == places(expected)
    got = [float(row[8]) for row in rows]
    np.testing.assert_allclose(got, [exon.posterior for gene in expected for exon in gene.exons], atol=ROUNDED)


@pytest.mark.parametrize(("pack", "threads"), [(None, 1), (1024, 3)])
def test_short_contigs_together_give_what_each_gives_alone(
    pack: int | None, threads: int, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """The same rows, digit by digit: of mixed lengths, empty ones, with unknown bases at their ends and in between."""
    random = np.random.default_rng(2)
    lengths = [0, 1, 2, 3, 15, 16, 17, 0, *random.integers(150, 260, 30).tolist(), 900, 2048, 2049]
    contigs = {}
    for at in random.permutation(len(lengths)).tolist():
        letters, begin = dna(lengths[at], at).copy(), int(random.integers(-40, lengths[at] + 1))
        if at % 3 == 0:
            letters[max(0, begin) : begin + 60] = ord("N")
        if at % 7 == 0:
            letters[:] = ord("N")  # the others all have something that is called
        contigs[f"c{at}"] = letters

    def rows(some: dict[str, NDArray], *how: object) -> Rows:
        path = write_fasta(tmp_path / "genome.fa", some)
        assert run("decode", path, "--model", model, "-q", *how) == 0
        return rows_of(capsys.readouterr().out)

    alone = [row for name, letters in contigs.items() for row in rows({name: letters})]
    assert 10 < len({row[0] for row in alone}) < len(contigs) - 5
    if pack is not None:
        monkeypatch.setattr(genome, "WINDOW", pack)
    assert rows(contigs, "--threads", threads) == alone


@pytest.mark.parametrize(
    ("change", "status", "message"),
    [
        (["-r", "Long"], 1, "--region: no sequence named Long; there are long,"),
        (["-r", "long:9-8"], 1, "--region: long:9-8 is empty: long has 10000 bases"),
        (["--regions-bed", "absent.bed"], 1, "cannot read absent.bed: No such file or directory"),
        (["--regions-bed", os.devnull], 1, "no region in it"),
        (["-o", "absent/x.bed"], 1, "cannot write absent/x.bed: there is no folder absent: make it first"),
        (["-o", "."], 1, "it is a folder: give the name of a file"),
        (["--posteriors", "absent/x.h5"], 1, "cannot write absent/x.h5: there is no folder absent"),
        (["--format", "gtf"], 2, "Invalid value for '--format'"),
        (["--device", "tpu"], 2, "expected auto, cpu, cuda or cuda:N"),
        (["--threads", "0"], 2, "Invalid value for '--threads'"),
        (["--min-confidence", "1.5"], 2, "Invalid value for '--min-confidence'"),
        (["--no-such-option"], 2, "No such option"),
    ],
)
def test_what_cannot_be_done_is_said(
    change: list[str], status: int, message: str, model: Path, genome: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert run("decode", genome, "--model", model, *change) == status
    said = capsys.readouterr()
    assert message in said.err
    assert said.out == ""
    if status == 1:
        assert said.err.startswith("semiseg: ")
        assert said.err.count("\n") == 1
    assert names(tmp_path) == []


@pytest.mark.parametrize("change", [["-r", "long:1-10"], ["--posteriors", "x.h5"]])
def test_what_needs_a_file_refuses_a_pipe(
    change: list[str], model: Path, genome: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(genome.read_bytes())))
    assert run("decode", "-", "--model", model, *change) == 1
    said = capsys.readouterr().err
    assert said.startswith("semiseg: standard input: ")
    assert said.endswith("a file: a pipe can be read only once and in order\n")
    assert names(tmp_path) == []


def test_less_sure_genes_are_left_out(
    model: Path, genome: Path, whole: Rows, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("decode", genome, "--model", model, "--min-confidence", "0.6") == 0
    rows = rows_of(capsys.readouterr().out)
    least: dict[str, float] = {}
    for row in whole:
        least[row[3]] = min(least.get(row[3], 1.0), float(row[8]))
    assert exons(rows) == exons([row for row in whole if least[row[3]] >= 0.6])
    assert 0 < len(rows) < len(whole)


def test_a_summary_and_silence(model: Path, genome: Path, whole: Rows, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("decode", genome, "--model", model, "--json", "-q") == 0
    said = capsys.readouterr()
    genes = len({row[3] for row in whole})
    assert json.loads(said.err) == {"genes": genes, "bases": sum(LENGTHS.values()), "model": "tiny"}
    assert rows_of(said.out) == whole
    assert run("decode", genome, "--model", model, "-q", "-r", "long:1001-3000", "--json") == 0
    assert json.loads(capsys.readouterr().err)["bases"] == 2000
    assert run("decode", genome, "--model", model, "-q", "-o", os.devnull) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("name", ["x.bed", "x.gff3.gz"])
def test_what_is_interrupted_leaves_nothing(
    name: str, error: type[BaseException], model: Path, genome: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = gene_stream.tracks_of

    def interrupted(*arguments: object) -> NDArray:
        calls.append(1)
        if len(calls) == 2:
            raise error
        return work(*arguments)

    calls: list[int] = []
    monkeypatch.setattr(gene_stream, "tracks_of", interrupted)
    asked = ["decode", genome, "--model", model, "-o", tmp_path / name, "--posteriors", tmp_path / "x.h5"]
    if error is KeyboardInterrupt:
        assert run(*asked) == 130
    else:
        with pytest.raises(error):
            run(*asked)
    assert len(calls) == 2
    assert names(tmp_path) == []
