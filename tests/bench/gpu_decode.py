"""A contig of 250 million bases on the GPU, from FASTA on disk to files: genes with posteriors, tracks of posteriors.

The sequence is the simulated genome of the example data over and over. Bars: 40 seconds for genes as GFF3, kernels
compiled beforehand; 180 seconds and 2 GB for tracks. Steps are those of one block after another, each waited for; the
whole overlaps them with reading and writing.
"""

import gzip
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from semiseg import bundled, gene_blocks
from semiseg.bench.device import wait
from semiseg.bench.record import Row
from semiseg.finder import load
from semiseg.formats.sequences import open_sequences

EXAMPLE = Path(__file__).resolve().parents[2] / "example_data" / "genome.fa.gz"
LINE = 60
STEPS = ("part_of", "viterbi", "marginals")


def run(quick: bool) -> Iterator[Row]:
    """A row for the genes, one a step of them, and one for the tracks."""
    bases = 2_000_000 if quick else 250_000_000
    with tempfile.TemporaryDirectory() as folder:
        genome = contig(Path(folder) / "genome.fa", bases)
        small = contig(Path(folder) / "small.fa", min(bases, 1_000_000))
        model = bundled.DEFAULT
        shape = {"model": model, "bases": bases}
        out = Path(folder) / "calls.gff3"
        decode("decode", small, "-o", out)  # compiles, and has files and libraries at hand
        start = decode("decode", small, "-o", out)
        yield {"model": model, "bases": min(bases, 1_000_000), "what": "decode to GFF3, mostly start", "seconds": start}
        seconds = decode("decode", genome, "-o", out)
        yield {**shape, "what": "decode to GFF3", "bar_s": 40, "seconds": seconds, "mbytes": out.stat().st_size / 1e6}
        yield from ({**shape, "what": name, **taken} for name, taken in steps(genome, model).items())
        tracks = Path(folder) / "tracks"
        seconds = decode("posteriors", genome, "-o", tracks)
        size = sum(path.stat().st_size for path in tracks.iterdir()) / 1e6
        yield {**shape, "what": "posteriors to bigWig", "bar_s": 180, "seconds": seconds, "mbytes": size}


def contig(path: Path, bases: int) -> Path:
    """One contig of that many bases."""
    with gzip.open(EXAMPLE) as lines:
        text = b"".join(line.strip() for line in lines if not line.startswith(b">"))
    text = (text * (bases // len(text) + 1))[:bases]
    with path.open("wb") as file:
        file.write(b">chr\n")
        file.writelines(text[i : i + LINE] + b"\n" for i in range(0, bases, LINE))
    return path


def decode(*arguments: object) -> float:
    """Seconds of a command on the GPU."""
    begun = time.perf_counter()
    command = [sys.executable, "-P", "-m", "semiseg.cli.main", *map(str, arguments), "--device", "cuda", "--quiet"]
    subprocess.run(command, check=True)
    return time.perf_counter() - begun


def steps(genome: Path, model: str) -> dict[str, Row]:
    """Seconds of each step over all blocks, and how often: more than once a block where two did not agree."""
    seconds: Counter[str] = Counter()
    times: Counter[str] = Counter()

    def timed(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            wait()
            begun = time.perf_counter()
            found = work(*arguments, **options)
            wait()
            seconds[name] += time.perf_counter() - begun
            times[name] += 1
            return found

        return run

    device = torch.device("cuda")
    found = load(bundled.find(model))
    found.model.to(device)
    kept = {name: getattr(gene_blocks, name) for name in STEPS}
    try:
        for name, work in kept.items():
            setattr(gene_blocks, name, timed(name, work))
        with open_sequences(genome) as sequences:
            begun = time.perf_counter()
            for record in sequences:
                pieces = record.pieces(1 << 20)
                for _ in gene_blocks.find_in_blocks(found.model, record.name, pieces, device, found.calibration):
                    pass
            seconds["all but writing"] = time.perf_counter() - begun
            times["all but writing"] = 1
    finally:
        for name, work in kept.items():
            setattr(gene_blocks, name, work)
    return {name: {"seconds": seconds[name], "times": times[name]} for name in seconds}
