"""Decoding on one core of a CPU: bases a CPU second next to AUGUSTUS, memory along a contig, contigs in great number.

`decode_cpu.py speed GENOME --region NAME[:from-to] --species S --model NAME ...` decodes a region with posteriors, with
each model and with AUGUSTUS (on PATH; with posteriors and without). `decode_cpu.py memory GENOME --bases N ... --gap N`
makes contigs of so many bases out of the genome's, one after the other and over again, with a run of N in their
middle. `decode_cpu.py contigs GENOME --bases N` cuts so many bases into contigs of 200, and decodes them and the whole.
CPU seconds are those of a process, all of its start and threads included.
"""

import argparse
import csv
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from semiseg import SemisegError, __version__
from semiseg.bench.augustus import OPTIONS, augustus_version
from semiseg.bench.measure import machine
from semiseg.bench.record import RESULTS, Row, record, show
from semiseg.formats.fasta import read_fasta
from semiseg.parts import parse

LINE = 60
SHORT = 200  # bases of a contig among many
LITTLE = 10_000  # bases that take no time to speak of


def main() -> None:
    """Decode, measure, record: a row a process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("speed", "memory", "contigs"))
    parser.add_argument("genome", type=Path, help="FASTA, plain or compressed")
    parser.add_argument("--region", metavar="NAME[:from-to]", help="1-based, inclusive")
    parser.add_argument("--species", help="AUGUSTUS's name of its parameters")
    parser.add_argument("--model", nargs="+", default=["compact-eukaryote-compact"])
    parser.add_argument("--bases", nargs="+", type=int, default=[1_000_000])
    parser.add_argument("--gap", type=int, default=0, help="bases of the run of N")
    options = parser.parse_args()
    path = RESULTS / "decode_cpu.csv"
    before: list[Row] = []
    if path.exists():
        with path.open(newline="") as file:
            before = list(csv.DictReader(file))
    here = machine()
    try:
        for row in {"speed": speed, "memory": memory, "contigs": contigs}[options.what](options):
            print(show(row), flush=True)
            before.append({"what": options.what, **row, **{k: here[k] for k in ("date", "cpu", "load", "semiseg")}})
            record(path.stem, {}, before)
    except SemisegError as error:
        sys.exit(str(error))


def speed(options: argparse.Namespace) -> Iterator[Row]:
    """Ours with posteriors, each after a start that is measured alone; AUGUSTUS with posteriors and without."""
    contigs = {contig.name: contig for contig in read_fasta(options.genome)}
    name, start, end = parse(options.region, contigs, "--region")
    letters = contigs[name].sequence
    with TemporaryDirectory() as folder:
        fasta = Path(folder, "region.fa")
        write(fasta, [(name, letters[start:end])])
        for model in options.model:
            begun = started(letters[start:], model)["cpu_s"]
            row = ours(fasta, model, folder)
            yield {"region": options.region, **row, "start_s": begun} | rate(row, end - start)
        if options.species is None or shutil.which("augustus") is None:
            return
        for posteriors in (True, False):
            flags = [o for o in OPTIONS if not o.startswith("--sample")] + [f"--sample={100 if posteriors else 0}"]
            row = measured(["augustus", f"--species={options.species}", *flags, fasta], Path(folder, "augustus.gff"))
            about = {"program": f"augustus {augustus_version()}", "model": options.species, "posteriors": posteriors}
            yield {"region": options.region, **about, **row} | rate(row, end - start)


def memory(options: argparse.Namespace) -> Iterator[Row]:
    """One contig of each length."""
    letters = np.concatenate([contig.sequence for contig in read_fasta(options.genome)])
    started(letters, options.model[0])
    for bases in options.bases:
        with TemporaryDirectory() as folder:
            fasta = Path(folder, "contig.fa")
            contig = np.resize(letters, bases)
            contig[(bases - options.gap) // 2 :][: options.gap] = ord("N")
            write(fasta, [("contig", contig)])
            row = ours(fasta, options.model[0], folder)
            yield {"region": f"{bases} bases, {options.gap} N", **row} | rate(row, bases)


def contigs(options: argparse.Namespace) -> Iterator[Row]:
    """The same bases in contigs of 200, and in one."""
    letters = np.resize(np.concatenate([contig.sequence for contig in read_fasta(options.genome)]), options.bases[0])
    for size in (SHORT, len(letters)):
        started(letters, options.model[0], size)
        with TemporaryDirectory() as folder:
            fasta = Path(folder, "contigs.fa")
            write(fasta, cut(letters, size))
            row = ours(fasta, options.model[0], folder)
            yield {"region": f"{len(letters)} bases in contigs of {size}", **row} | rate(row, len(letters))


def cut(letters: NDArray, size: int) -> list[tuple[str, NDArray]]:
    """Return contigs of so many letters."""
    return [(f"c{at}", letters[at : at + size]) for at in range(0, len(letters), size)]


def write(path: Path, records: list[tuple[str, NDArray]]) -> None:
    """Write FASTA in lines of 60."""
    with path.open("wb") as file:
        for name, letters in records:
            file.write(b">%s\n" % name.encode())
            for at in range(0, len(letters), LINE << 12):
                text = letters[at : at + (LINE << 12)].tobytes()
                file.write(b"".join(text[i : i + LINE] + b"\n" for i in range(0, len(text), LINE)))


def ours(fasta: Path, model: str, folder: str) -> Row:
    """What `semiseg decode` takes on one thread, posteriors of every exon included."""
    command = [sys.executable, "-m", "semiseg.cli.main", "decode", fasta, "--model", model, "--threads", "1", "-q"]
    row = measured([*command, "--device", "cpu", "-o", Path(folder, "calls.gff3")], Path(os.devnull))
    return {"program": f"semiseg {__version__}", "model": model, "posteriors": True, **row}


def started(letters: NDArray, model: str, size: int = LITTLE) -> Row:
    """What a run takes that does little, in contigs of a size, once all is compiled: that takes time and memory too."""
    with TemporaryDirectory() as folder:
        little = Path(folder, "little.fa")
        write(little, cut(letters[:LITTLE], size))
        ours(little, model, folder)
        return ours(little, model, folder)


def rate(row: Row, bases: int) -> Row:
    """Thousands of bases a CPU second."""
    return {"bases": bases, "kb_per_cpu_s": bases / 1000 / float(str(row["cpu_s"]))}


def measured(command: list[str | Path], output: Path) -> Row:
    """CPU seconds, seconds and peak memory of one process."""
    begun = time.perf_counter()
    with output.open("w") as file:
        threads = dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.PIPE, env=os.environ | threads)
        assert process.stderr is not None
        said = process.stderr.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SemisegError(f"{command[0]}: exit status {process.returncode}: {said.decode().strip()}")
    return {
        "cpu_s": used.ru_utime + used.ru_stime, "wall_s": time.perf_counter() - begun,
        "peak_mib": used.ru_maxrss / 1024,
    }  # fmt: skip


if __name__ == "__main__":
    main()
