"""Trained gene finders: from a file or by name, ready to decode."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import numpy as np
import torch

from . import bundled, calibration, depth, model_file
from .decode import decode
from .errors import SemisegError
from .formats.bed import BedRow, write_bed
from .formats.fasta import read_fasta
from .formats.gff import write_gff3
from .gene_model import GeneModel, config_of
from .genes import Gene

KIND = "genes"


class Finder(NamedTuple):
    """A model and what goes with it."""

    model: GeneModel
    calibration: calibration.Calibration | None
    about: dict[str, Any]


def save(path: Path, finder: Finder) -> None:
    """Write a finder, weights as bfloat16."""
    config = {**finder.model.config.as_json(), "calibration": finder.calibration}
    model_file.save(path, model_file.Stored(KIND, config, finder.about, model_file.shrunk(finder.model)))


def load(path: Path) -> Finder:
    """Return the finder of a file."""
    stored = model_file.load(path)
    if stored.kind != KIND:
        raise SemisegError(f"{path}: a {stored.kind} file, expected a gene model")
    config = dict(stored.config)
    calibrated = calibration.from_json(config.pop("calibration", None))
    model = GeneModel(config_of(config))
    model_file.fill(model, stored, path)
    return Finder(model.eval(), calibrated, stored.about)


def find_genes(
    genome: Path,
    model: str | Path,
    form: str,
    stream: TextIO,
    device: torch.device | str = "cpu",
    raw: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> None:
    """Write the genes of a genome, contig by contig, as GFF3 or as BED of their exons; the model is a name or a file.

    At the end, `say` gets a sentence for each way in which the genome is unlike those that the model learnt from.
    """
    finder = load(bundled.find(model))
    ranges = depth.from_json(finder.about.get("depth"))
    finder.model.to(device)
    calibrated = None if raw else finder.calibration
    contigs = list(read_fasta(genome))
    totals = np.zeros(3, np.int64)  # as depth.count has them

    def found() -> Iterator[Gene]:
        for contig in contigs:
            genes = decode(finder.model, contig.name, contig.sequence, device, calibrated)
            totals[:] += depth.count(contig.sequence, genes).sum(0)
            yield from genes

    if form == "gff3":
        write_gff3(found(), [(contig.name, len(contig.sequence)) for contig in contigs], stream)
    else:
        write_bed(rows(found()), stream)
    known, gc, genic = totals.tolist()
    if ranges is not None and known >= depth.LEAST:
        for text in depth.warnings(ranges, gc / known, genic / known):
            say(text)


def rows(genes: Iterable[Gene]) -> Iterator[BedRow]:
    """Yield an exon a row, named after its gene."""
    for number, gene in enumerate(genes, start=1):
        for exon in gene.exons:
            yield BedRow(
                gene.contig, exon.start, exon.end, gene.name or f"gene{number}", exon.posterior, gene.strand, ()
            )
