"""A genome with contigs of all lengths, a model that calls many genes in it, and its calls."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import strict_bed
import torch
from numpy.typing import NDArray
from planted import CONFIG, TINY, planted

from semiseg import finder, flanks, gene_stream
from semiseg.calibration import Calibration
from semiseg.cli import console
from semiseg.cli.main import group
from semiseg.encoder import SHAPES
from semiseg.gene_model import GeneModel
from semiseg.genes import Gene

ROUNDED = 1.5e-4  # posteriors to 1e-4, printed with four digits
LENGTHS = {"long": 10_000, "empty": 0, "short": 900, "base": 1, "other": 4000}
Rows = list[list[str]]


@pytest.fixture(name="model", scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A model that was never trained: it calls many genes that are not there, and is sure of some."""
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SHAPES, "tiny", TINY)
        torch.manual_seed(2)
        finder.save(path, finder.Finder(GeneModel(CONFIG), Calibration((0.0, 0.5, 1.0), (0.0, 0.4, 1.0)), {}))
        yield path


@pytest.fixture(name="genome", scope="module")
def some_contigs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Contigs of all lengths."""
    path = tmp_path_factory.mktemp("genome") / "genome.fa"
    return write_fasta(path, {name: dna(length, seed) for seed, (name, length) in enumerate(LENGTHS.items())})


@pytest.fixture(name="whole", scope="module")
def all_rows(model: Path, genome: Path) -> Rows:
    """All rows."""
    path = genome.with_name("whole.bed")
    assert run("decode", genome, "--model", model, "-o", path, "-q") == 0
    rows = strict_bed.check(path.read_text(), LENGTHS)
    assert {row[0] for row in rows} >= {"long", "other"}
    assert {row[5] for row in rows} == {"+", "-"}
    return rows


def dna(length: int, seed: int) -> NDArray:
    """Random DNA with genes."""
    return planted(max(length, 10), seed)[0].sequence[:length]


def write_fasta(path: Path, contigs: dict[str, NDArray]) -> Path:
    """A FASTA file."""
    path.write_bytes(b"".join(b">%s\n%s\n" % (name.encode(), letters.tobytes()) for name, letters in contigs.items()))
    return path


def run(*arguments: object) -> int:
    """The exit status."""
    return console.run(group, [str(a) for a in arguments])


def rows_of(text: str) -> Rows:
    """Cells of what is no comment."""
    return [line.split("\t") for line in text.splitlines() if not line.startswith("#")]


def exons(rows: Rows) -> list[tuple[str, int, int, str]]:
    """Where they are."""
    return [(row[0], int(row[1]), int(row[2]), row[5]) for row in rows]


def same(rows: Rows, others: Rows) -> None:
    """Check that two say the same, whatever their genes are called."""
    assert exons(rows) == exons(others)
    for one, other in zip(rows, others, strict=True):
        np.testing.assert_allclose([float(x) for x in one[6:10]], [float(x) for x in other[6:10]], atol=ROUNDED)
        assert one[10:] == other[10:]


def names(folder: Path) -> list[str]:
    """What lies in a folder."""
    return sorted(path.name for path in folder.iterdir())


def places(genes: list[Gene]) -> list[tuple[str, int, int, str]]:
    """Where exons are."""
    return [(gene.contig, exon.start, exon.end, gene.strand) for gene in genes for exon in gene.exons]


@pytest.fixture(name="near")
def short_flanks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flanks so short that regions of a small contig begin in its middle."""
    monkeypatch.setattr(flanks, "FLANK", 1920)
    for module in (flanks, gene_stream):
        monkeypatch.setattr(module, "NEAR", 1920)
