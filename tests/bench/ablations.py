"""What the parts of a gene finder are worth: the same encoder with one of them left out, on one region.

`ablations.py GENOME ANNOTATION --region NAME:from-to --model whole.safetensors one-law.safetensors ...`; the models are
trained by `semiseg train` with the recipes in ablations/ and the region as --val. Each is decoded as it is, and base by
base: every base gets the label with the greatest posterior, whatever its neighbours get.
"""

import argparse
from itertools import groupby
from pathlib import Path

import torch

from semiseg import finder
from semiseg.bench.augustus import cut
from semiseg.bench.measure import machine
from semiseg.bench.record import Row, record, show
from semiseg.decode import decode, score
from semiseg.formats.fasta import Contig
from semiseg.gene_model import GeneModel
from semiseg.genes import Exon, Gene
from semiseg.kernels import marginals
from semiseg.metrics import Scores
from semiseg.metrics import score as compare

STOP = 3  # bases of a stop codon


def main() -> None:
    """Decode, score, record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("genome", type=Path, help="FASTA, plain or compressed")
    parser.add_argument("annotation", type=Path, help="GFF3, GTF or GenBank")
    parser.add_argument("--region", required=True, metavar="NAME[:from-to]", help="1-based, inclusive")
    parser.add_argument("--model", required=True, nargs="+", type=Path, help="files")
    options = parser.parse_args()
    contig, truth = cut(options.genome, options.annotation, options.region)
    rows: list[Row] = []
    for path in options.model:
        known = finder.load(path)
        for way in ("genes", "genes, uncalibrated", "base by base"):
            if way == "base by base":
                calls = base_by_base(known.model, contig)
            else:
                calibration = known.calibration if way == "genes" else None
                calls = decode(known.model, contig.name, contig.sequence, calibration=calibration)
            rows.append(
                {"model": path.stem, "decoded": way, "region": options.region, **figures(compare(truth, calls))}
            )
            print(show(rows[-1]), flush=True)
    here = machine()
    record("ablations", {"date": here["date"], "semiseg": here["semiseg"]}, rows)


def figures(scores: Scores) -> Row:
    """F1 by level, and the error of calibration where exons have posteriors."""
    found: Row = {f"{level}_f1": getattr(scores, level).f1 for level in ("nucleotide", "exon", "gene")}
    return {**found, "exon_ece": "" if scores.reliability is None else scores.reliability.ece}


@torch.no_grad()
def base_by_base(model: GeneModel, contig: Contig) -> list[Gene]:
    """Runs of bases in exons, with nothing but introns of their strand between those of a gene."""
    names = [(("exon" if x.is_exon else x.kind), "+-"[x.strand]) for x in model.grammar.labels]
    position = marginals(score(model, [contig.sequence], "cpu"), want=("position",)).position
    assert position is not None
    best = position.argmax(1).tolist()
    genes: list[Gene] = []
    kept: list[Exon] = []

    def add() -> None:  # with the stop codon, which is no part of the labels
        first, last = kept[0], kept[-1]
        if strand == "+":
            kept[-1] = last._replace(end=last.end + STOP)
        else:
            kept[0] = first._replace(start=first.start - STOP)
        genes.append(Gene(contig.name, strand, tuple(kept)))

    strand, at = "+", 0
    for (kind, side), run in groupby(names[label] for label in best):
        end = at + sum(1 for _ in run)
        if kept and (kind == "intergenic" or side != strand):
            add()
            kept = []
        if kind == "exon":
            kept.append(Exon(at, end))
            strand = side
        at = end
    if kept:
        add()
    return genes


if __name__ == "__main__":
    main()
