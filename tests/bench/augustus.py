"""Gene finding next to AUGUSTUS on one region: both call genes there, and both are scored against the annotation.

`augustus.py GENOME ANNOTATION --region NAME[:from-to] --species S --model NAME ...`; genes not wholly inside the
region are no truth. AUGUSTUS is to be on PATH (Debian: augustus, augustus-data).
"""

import argparse
import csv
import re
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from semiseg import SemisegError, __version__
from semiseg.bench.measure import machine
from semiseg.bench.record import RESULTS, Row, record, show
from semiseg.formats.annotation import read_annotation
from semiseg.formats.fasta import Contig, read_fasta
from semiseg.genes import Gene
from semiseg.metrics import score
from semiseg.parts import parse, part_of

# Its default cuts the stop codon off the last exon for some species; annotation has it inside.
OPTIONS = ("--softmasking=0", "--UTR=off", "--sample=100", "--gff3=on", "--stopCodonExcludedFromCDS=false")


def main() -> None:
    """Cut, call, score, record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("genome", type=Path, help="FASTA, plain or compressed")
    parser.add_argument("annotation", type=Path, help="GFF3, GTF or GenBank")
    parser.add_argument("--region", required=True, metavar="NAME[:from-to]", help="1-based, inclusive")
    parser.add_argument("--species", required=True, help="AUGUSTUS's name of its parameters")
    parser.add_argument("--model", required=True, nargs="+", help="names or files, as `semiseg decode` takes them")
    parser.add_argument("--into", type=Path, default=RESULTS / "augustus.csv", help="the CSV that rows are added to")
    options = parser.parse_args()
    if options.into.suffix != ".csv":
        parser.error(f"--into: expected a name that ends in .csv, got {options.into}")
    if shutil.which("augustus") is None:
        sys.exit("augustus is not on PATH: apt-get install augustus augustus-data")
    try:
        rows = compare(options.genome, options.annotation, options.region, options.species, options.model)
    except SemisegError as error:
        sys.exit(str(error))
    for row in rows:
        print(show(row))
    before: list[Row] = []
    if options.into.exists():
        with options.into.open(newline="") as file:
            before = list(csv.DictReader(file))
    record(options.into.stem, {}, [*before, *rows], options.into.parent)


def compare(genome: Path, annotation: Path, region: str, species: str, models: list[str]) -> list[Row]:
    """A row for AUGUSTUS, and one for each model."""
    contig, truth = cut(genome, annotation, region)
    here = machine()
    rows: list[Row] = []
    with TemporaryDirectory() as folder:
        fasta = Path(folder, "region.fa")
        fasta.write_bytes(b">%s\n%s\n" % (contig.name.encode(), contig.sequence.tobytes()))
        ours = [sys.executable, "-m", "semiseg.cli.main"]
        programs: list[tuple[str, str, list[str | Path]]]
        programs = [("augustus", species, ["augustus", f"--species={species}", *OPTIONS, fasta])]
        for model in models:
            decode = [*ours, "decode", fasta, "--model", model, "--format", "gff3"]
            programs.append(("semiseg", Path(model).name, decode))
        calls = Path(folder, "calls.gff3")
        for program, model, command in programs:
            calls.write_text(output(command))
            scores = score(truth, [transcript.gene for transcript in read_annotation(calls).transcripts])
            rows.append(
                {
                    "species": species,
                    "region": region,
                    "bases": len(contig.sequence),
                    "true_genes": scores.gene.true,
                    "program": program,
                    "version": augustus_version() if program == "augustus" else __version__,
                    "model": model,
                    "nucleotide_f1": scores.nucleotide.f1,
                    "exon_f1": scores.exon.f1,
                    "gene_f1": scores.gene.f1,
                    "exon_ece": "" if scores.reliability is None else scores.reliability.ece,
                    "date": here["date"],
                    "revision": here["semiseg"],
                }
            )
    return rows


def cut(genome: Path, annotation: Path, region: str) -> tuple[Contig, list[Gene]]:
    """The region as a sequence of its own, and the genes that lie wholly inside, with its positions."""
    contigs = {contig.name: contig for contig in read_fasta(genome)}
    name, start, end = parse(region, contigs, "--region")
    genes = [t.gene for t in read_annotation(annotation).transcripts if t.gene.contig == name]
    part = part_of(contigs[name], genes, [], start, end, aside=True)
    if not part.genes:
        raise SemisegError(f"{annotation}: no gene wholly inside {region}")
    return part.contig, part.genes


def output(command: list[str | Path]) -> str:
    """What a program prints."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = " ".join((done.stderr or done.stdout).split())
        raise SemisegError(f"{Path(command[0]).name}: exit status {done.returncode}: {said}")
    return done.stdout


def augustus_version() -> str:
    """AUGUSTUS's version, from the first line that it prints of itself."""
    done = subprocess.run(["augustus", "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"\((.+?)\)", done.stdout + done.stderr)
    return found[1] if found else ""


if __name__ == "__main__":
    main()
