"""The example genome: the committed files are those of the script, and its genes are as real ones."""

import gzip
import json
import runpy
from pathlib import Path

import pytest
import torch

from semiseg.asked import Asked, call
from semiseg.bundled import DEFAULT
from semiseg.formats.annotation import read_annotation
from semiseg.formats.fasta import read_fasta
from semiseg.genome import Settings
from semiseg.grammar import grammar
from semiseg.metrics import introns, score
from semiseg.sites import complement, encode

FOLDER = Path(__file__).resolve().parents[1] / "example_data"
GENOME, GENES, STATISTICS = (FOLDER / name for name in ("genome.fa.gz", "genes.gff3.gz", "statistics.json"))


@pytest.fixture(scope="module")
def contigs():
    return {contig.name: contig.sequence for contig in read_fasta(GENOME)}


@pytest.fixture(scope="module")
def genes():
    return [transcript.gene for transcript in read_annotation(GENES).transcripts]


@pytest.fixture(scope="module")
def again():
    """The statistics of the example, as they were taken of real genes."""
    return runpy.run_path(str(FOLDER / "gene_statistics.py"))["collect"](GENOME, GENES)


def test_the_script_writes_the_committed_files(tmp_path):
    write_example = runpy.run_path(str(FOLDER / "make_genome.py"))["write_example"]
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        write_example(tmp_path / name)
    for path in (GENOME, GENES):
        first, second = (tmp_path / name / path.name for name in ("first", "second"))
        assert first.read_bytes() == second.read_bytes()
        assert gzip.decompress(first.read_bytes()) == gzip.decompress(path.read_bytes())  # zlibs pack differently


def test_the_files_are_small():
    assert sum(path.stat().st_size for path in (GENOME, GENES, STATISTICS)) < 300_000


def test_contigs(contigs):
    assert list(contigs) == ["sim1", "sim2"]
    for sequence, length in zip(contigs.values(), (140_000, 60_000), strict=True):
        assert length <= len(sequence) < length + 15_000
        assert set(sequence.tobytes()) == set(b"ACGT")


def test_the_grammar_can_say_every_gene(contigs, genes):
    codes = {name: encode(sequence) for name, sequence in contigs.items()}
    assert [grammar(37).problem(gene, codes[gene.contig]) for gene in genes] == [None] * len(genes)
    for name, sequence in contigs.items():
        here = [gene for gene in genes if gene.contig == name]
        assert {gene.strand for gene in here} == {"+", "-"}
        grammar(37).path(here, len(sequence), 0, codes[name])  # all of them side by side, too


def test_introns_begin_and_end_as_they_should(contigs, genes):
    ends = set()
    for gene in genes:
        for intron in introns(gene):
            word = contigs[gene.contig][intron.start : intron.end].tobytes().decode()
            word = word if gene.strand == "+" else complement(word)
            ends.add((word[:2], word[-2:]))
    assert ends == {("GT", "AG"), ("GC", "AG")}


def test_figures_are_near_those_of_real_genes(again):
    real = json.loads(STATISTICS.read_text())
    assert again["genes_per_megabase"] == pytest.approx(real["genes_per_megabase"], rel=0.15)
    assert again["coding"] == pytest.approx(real["coding"], rel=0.1)
    assert again["coding_bases"] == pytest.approx(real["coding_bases"], abs=15)
    assert again["exons_per_gene"][0] == pytest.approx(real["exons_per_gene"][0], abs=150)
    for kind in ("single", "internal", "intron"):
        middle, known = (sorted(table["lengths"][kind]) for table in (again, real))
        assert middle[len(middle) // 2] == pytest.approx(known[len(known) // 2], rel=0.4)


def test_the_statistics_hold_weights_only():
    real = json.loads(STATISTICS.read_text())
    assert [len(chain) for chain in real["coding_chain"]] == [4**5] * 3
    for kind in ("intron", "upstream", "downstream", "intergenic"):
        assert len(real[f"{kind}_chain"]) == 4**4
    rows = [row for chain in real["coding_chain"] for row in chain]
    assert all(min(row) >= 1 and sum(row) == pytest.approx(1000, abs=4) for row in rows)


@pytest.mark.parametrize(
    ("model", "contig", "least"), [("compact-eukaryote-compact", "sim1", 0.55), (DEFAULT, "sim2", 0.6)]
)
def test_the_bundled_models_find_most_genes(tmp_path, contigs, genes, model, contig, least):
    """The default model on the smaller contig, its variant for CPUs on the larger one."""
    fasta, calls = tmp_path / "one.fa", tmp_path / "calls.gff3"
    fasta.write_bytes(b">%s\n%s\n" % (contig.encode(), contigs[contig].tobytes()))
    call(Asked(fasta, model, Settings(torch.device("cpu")), "gff3", calls))
    called = [transcript.gene for transcript in read_annotation(calls).transcripts]
    found = score([gene for gene in genes if gene.contig == contig], called)
    assert found.gene.f1 > least
    assert found.nucleotide.f1 > 0.97
