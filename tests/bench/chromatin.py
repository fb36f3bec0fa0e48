"""States of ten chromatin marks in two cell types: likelihood, what paths explain, time: results/chromatin.csv.

    python tests/bench/chromatin.py FOLDER --scorer score_chromatin.py [--states 10 15] [--seeds 0 1 2] [--device cuda]

FOLDER holds ChromHMM's CELL_CHROMOSOME_binary.txt.gz and the annotation that the scorer reads. Everything goes over
the command line: marks become bedGraph, these a track store a cell type, and one model is fitted to both. Paths are the
likeliest of whole chromosomes, from the library; the row `decode` has the command's, with all posteriors, which are the
same. Likelihoods are of the models that were written, in nats, over whole chromosomes. Rows without a seed are medians.
Held out are the second halves of the chromosomes, for models of the first: what explicit durations gain.
"""

import argparse
import importlib.util
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import h5py
import numpy as np
from measure import machine
from record import RESULTS, Row, record, show

from semiseg import hsmm_model
from semiseg.formats.binarised import ENDINGS, Marks, are_binarised, read_marks
from semiseg.formats.source import open_source
from semiseg.hsmm_data import Group, Reader, stretches
from semiseg.hsmm_em import log_likelihood
from semiseg.hsmm_fit import Settings, fit
from semiseg.hsmm_model import StatesModel
from semiseg.kernels import Segments, log_partition, viterbi
from semiseg.signals import Source

BIN = 200
LAWS = ("geometric", "lognormal", "free")
TARGETS = {"TSS": "RefSeqTSS", "CpG": "CpGIsland"}
Scorer = Callable[..., dict[str, Any]]


class Cell(NamedTuple):
    """A cell type: its file of marks, and the store made of it."""

    name: str
    marks: Path
    store: Path


def main() -> None:
    """Build, fit, decode, score, record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scorer", type=Path, required=True)
    parser.add_argument("--states", type=int, nargs="+", default=[10, 15])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--device", default="cpu", help="of the fits")
    parser.add_argument("--keep", type=Path, help="a folder for stores and models")
    parser.add_argument("--into", type=Path, default=RESULTS, help="the folder of the record")
    parser.add_argument("--fits-only", action="store_true", help="no decoding by the command, nothing held out")
    options = parser.parse_args()
    scorer = scorer_of(options.scorer)
    rows: list[Row] = []
    with TemporaryDirectory() as name:
        folder = options.keep or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        cells = [built(path, folder) for path in are_binarised(options.folder)]
        for row in measured(cells, scorer, options, folder):
            rows.append(row)
            print(show(row), flush=True)
            record("chromatin", machine(), rows, options.into)


def scorer_of(path: Path) -> Scorer:
    """Return the scorer's function of segments, marks and the folder of annotation."""
    spec = importlib.util.spec_from_file_location("scorer", path)
    assert spec is not None and spec.loader is not None  # noqa: PT018
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: Scorer = module.score
    return found


def measured(cells: list[Cell], scorer: Scorer, options: argparse.Namespace, folder: Path) -> Iterator[Row]:
    """Yield a row a fit, medians of seeds, what the command decodes, and what durations gain."""
    for count in options.states:
        each = []
        for seed in options.seeds:
            model = folder / f"states_{count}_{seed}.safetensors"
            found = fitted(cells, model, scorer, count, seed, options.device)
            each.append({"what": "fit", "states": count, "seed": seed, **found})
            yield each[-1]
        numbers = [key for key, value in each[0].items() if isinstance(value, int | float) and key != "seed"]
        yield {"what": "median", **{key: statistics.median(row[key] for row in each) for key in numbers}}
    if options.fits_only:
        return
    states, seed = options.states[0], options.seeds[0]
    model = folder / f"states_{states}_{seed}.safetensors"
    yield {"what": "decode", "states": states, "seed": seed, **decoded(cells[0], model)}
    for law in LAWS:
        yield {"what": "held out", "states": states, "durations": law, **held_out(cells, law, states)}


def built(path: Path, folder: Path) -> Cell:
    """Return the store of a file of marks."""
    marks = read_marks(path)
    name = path.name.removesuffix(ENDINGS[1])
    files = [bedgraph(marks, column, folder / f"{name}.{mark}.bedGraph") for column, mark in enumerate(marks.names)]
    sizes, store = folder / f"{name}.sizes", folder / f"{name}.h5"
    sizes.write_text(f"{marks.contig}\t{len(marks.values) * BIN}\n")
    command("tracks", "build", "-g", sizes, "--bin", BIN, "--dtype", "uint8", "--names", ",".join(marks.names),
            *files, "-o", store, "-q")  # fmt: skip
    return Cell(marks.cell, path, store)


def bedgraph(marks: Marks, column: int, path: Path) -> Path:
    """Write one mark; bins where it is not known are left out."""
    values = marks.values[:, column]
    edges = np.concatenate([[0], np.flatnonzero(np.diff(values)) + 1, [len(values)]])
    with path.open("w") as file:
        for a, b in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            if values[a] < 2:
                print(marks.contig, a * BIN, b * BIN, values[a], sep="\t", file=file)
    return path


def command(*words: object) -> tuple[float, float, str]:
    """Run semiseg; return seconds, processor seconds and what it printed."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    line = [sys.executable, "-m", "semiseg.cli.main", *map(str, words)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(line)}: {done.stderr.strip()}")
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - begun
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


def fitted(cells: list[Cell], model: Path, scorer: Scorer, states: int, seed: int, device: str) -> Row:
    """Return the figures of one model of all cell types."""
    stores = [cell.store for cell in cells]
    wall, busy, _ = command("fit", *stores, "--states", states, "--seed", seed, "--device", device, "-o", model, "-q")
    found = hsmm_model.load(model)
    row: Row = {"device": device, "durations": found.config["durations"], "fit_s": wall, "fit_cpu_s": busy}
    row["load"] = os.getloadavg()[0]
    total = 0.0
    for cell in cells:
        nats, path = best(found, cell)
        total += nats
        bed = cell.store.with_suffix(".bed")
        write(path, cell, bed)
        scores = scorer(bed, cell.marks, cell.marks.parent)
        row |= {f"{cell.name}_{key}": scores[key] for key in ("net", "net_dur", "bits", "path", "path_dur", "segments")}
        row |= {f"{cell.name}_{key}_f1": scores["f1"][name]["f1"] for key, name in TARGETS.items()}
    row["log_likelihood"] = round(total)
    return row


def best(model: StatesModel, cell: Cell) -> tuple[float, Segments]:
    """Return the log likelihood of a chromosome, and its likeliest path."""
    ((part,),) = whole([open_source(cell.store)])
    x, _ = model.read((part,))
    scores = model.hsmm.potentials(model.hsmm.density(x))
    return float(log_partition(scores)), viterbi(scores).segments


def whole(sources: list[Source]) -> list[Group]:
    """Return sources in groups of one sequence."""
    return [(part,) for part in stretches(sources, 1 << 60)]


def write(path: Segments, cell: Cell, bed: Path) -> None:
    """Write a path as BED."""
    (contig,) = (strip.name for strip in open_source(cell.store).strips)
    rows = zip(path.start.tolist(), path.end.tolist(), path.label.tolist(), strict=True)
    bed.write_text("".join(f"{contig}\t{a * BIN}\t{b * BIN}\tE{label + 1}\n" for a, b, label in rows))


def decoded(cell: Cell, model: Path) -> Row:
    """Return what decoding takes, with tracks of posteriors, and whether it is the likeliest path of the whole."""
    output = cell.store.with_name("posteriors.h5")
    wall, busy, bed = command("decode", cell.store, "--model", model, "--posteriors", output, "-q")
    found = [tuple(line.split("\t")[1:4]) for line in bed.splitlines() if not line.startswith("#")]
    _, path = best(hsmm_model.load(model), cell)
    rows = zip(path.start.tolist(), path.end.tolist(), path.label.tolist(), strict=True)
    same = found == [(str(a * BIN), str(b * BIN), f"E{label + 1}") for a, b, label in rows]
    with h5py.File(output) as file:
        (values,) = (x for x in file["values"].values())
        total = values[()][:, :-1].sum(1) * file.attrs["scale"]
        tracks = [str(x) for x in file.attrs["tracks"]]
    return {"decode_s": wall, "decode_cpu_s": busy, "same_path": same, "tracks": " ".join(tracks),
            "sum_off": float(np.abs(total - 1).max())}  # fmt: skip


def held_out(cells: list[Cell], law: str, states: int) -> Row:
    """Return likelihoods a position of models of the first halves: there, and on the second halves."""
    sources = [open_source(cell.store) for cell in cells]
    first, second = ([half(source, side) for source in sources] for side in (0, 1))
    begun = time.process_time()
    found = fit(first, "bernoulli", Settings((states,), law))
    busy = time.process_time() - begun
    model = found.model
    read = Reader(model.family.context)
    row: Row = {"fit_cpu_s": busy}
    for name, part in (("seen", first), ("held_out", second)):
        groups = whole(part)
        row[f"{name}_nats_a_bin"] = log_likelihood(model, read, groups) / sum(x.last - x.first for (x,) in groups)
    return row


def half(source: Source, side: int) -> Source:
    """Return the first or the second half of every strip."""
    strips = []
    for strip in source.strips:
        edges = [0, strip.length // 2, strip.length]
        low, high = edges[side], edges[side + 1]
        strips.append(strip._replace(
            length=high - low, read=lambda a, b, strip=strip, low=low: strip.read(low + a, low + b)
        ))  # fmt: skip
    return source._replace(strips=tuple(strips))


if __name__ == "__main__":
    main()
