"""A small genome with genes on both strands, as files and in memory, and a model small enough for tests."""

import io
from collections import Counter

import numpy as np
import pytest

from semiseg import corpus
from semiseg.bench.genes import random_genome
from semiseg.encoder import SHAPES, Shape
from semiseg.formats.fasta import Contig
from semiseg.formats.gff import write_gff3
from semiseg.gene_model import EXONS, Config, GeneModel, LawConfig
from semiseg.gene_windows import Strip
from semiseg.genes import Exon, Gene
from semiseg.grammar import grammar
from semiseg.training import Recipe, settle_seeds

TINY = Shape(8, 8, 3, (1, 3), (1,))
LAWS = {
    "intergenic": LawConfig("negative-binomial", 60, 6, {"size": 1.0, "mean": 600.0}),
    "intron": LawConfig("lognormal", 80, 4, {"mean": 4.3}),
    **{kind: LawConfig("lognormal", 80, 3, {"mean": 4.5}) for kind in EXONS},
}
CONFIG = Config(37, "tiny", False, LAWS)


def planted(T: int, seed: int = 1, name: str = "one") -> tuple[Contig, list[Gene]]:
    """Random DNA with spliced genes, stop codons included in the last exons."""
    genome = random_genome(T, seed, 500, 60)
    genes = []
    for found in genome.genes:
        exons = [list(exon) for exon in found.exons]
        if found.strand == 0:
            exons[-1][1] += 3
        else:
            exons[0][0] -= 3
        genes.append(Gene(name, "+-"[found.strand], tuple(Exon(*exon) for exon in exons)))
    return Contig(name, np.frombuffer(b"ACGT", np.uint8)[genome.bases]), genes


def write_files(folder, *contigs):
    """Write (contig, genes) pairs as FASTA and GFF3; return both paths."""
    fasta, gff = folder / "genome.fa", folder / "genes.gff3"
    fasta.write_bytes(b"".join(b">%s\n%s\n" % (c.name.encode(), c.sequence.tobytes()) for c, _ in contigs))
    text = io.StringIO()
    write_gff3(((c.name, len(c.sequence), genes) for c, genes in contigs), text)
    gff.write_text(text.getvalue())
    return fasta, gff


@pytest.fixture
def tiny(monkeypatch):
    """A configuration that trains in a blink."""
    monkeypatch.setitem(SHAPES, "tiny", TINY)
    return CONFIG


def strip(T: int = 8000) -> Strip:
    """A planted contig with its labels."""
    return corpus.label(*planted(T), [], grammar(37), Counter())[0]


def tiny_model(recipe: Recipe) -> GeneModel:
    """A fresh model of its recipe's seed, in a process of its own."""
    SHAPES["tiny"] = TINY
    settle_seeds(recipe)
    return GeneModel(CONFIG)
