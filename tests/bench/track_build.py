"""A bigWig of one value a 200 bp bin read by `semiseg tracks build`, bins a processor second: results/track_build.csv.

    python tests/bench/track_build.py

Both kinds of sections: one start and step (fixedStep), and start and end of every value (bedGraph). `read` is reading
alone, `build` the whole command without its start, with what is written and packed.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyBigWig
from measure import machine
from record import Row, record, show

from semiseg.formats.track_build import build
from semiseg.formats.track_input import bigwig_bins, open_bigwig

BIN, BINS = 200, 1_250_000  # of a contig, as long as human chromosome 1
CONTIGS = ("chr1", "chr2", "chr3", "chr4")
AT_ONCE = 100_000  # values added to the file
REPEATS = 3


def main() -> None:
    """Measure and record."""
    rows = []
    with TemporaryDirectory() as folder:
        for row in measured(Path(folder)):
            rows.append(row)
            print(show(row), flush=True)
    record("track_build", machine(), rows)


def measured(folder: Path) -> Iterator[Row]:
    """Yield a row a kind of section."""
    lengths = dict.fromkeys(CONTIGS, BIN * BINS)
    sizes = folder / "sizes"
    sizes.write_text("".join(f"{name}\t{length}\n" for name, length in lengths.items()))
    for kind in ("fixedStep", "bedGraph"):
        path = folder / f"{kind}.bw"
        write(path, kind, lengths)
        read, built = [], []
        for _ in range(REPEATS):
            begun = time.process_time()
            found = sum(np.isfinite(x.values).sum() for x in bigwig_bins(path, open_bigwig(path), lengths, BIN))
            read.append(time.process_time() - begun)
            assert found == BINS * len(CONTIGS)
            begun = time.process_time()
            build(folder / "tracks.h5", sizes, [path], BIN, "float32", ())
            built.append(time.process_time() - begun)
        bins = BINS * len(CONTIGS)
        yield {"sections": kind, "bins": bins, "MiB": path.stat().st_size / 2**20,
               "read_bins_per_cpu_s": bins / min(read), "build_bins_per_cpu_s": bins / min(built)}  # fmt: skip


def write(path: Path, kind: str, lengths: dict[str, int]) -> None:
    """Write a bigWig of signal that is smooth over some bins, as coverage is."""
    random = np.random.default_rng(0)
    with pyBigWig.open(str(path), "w") as file:
        file.addHeader(list(lengths.items()))
        for name in lengths:
            noise = random.gamma(0.5, 2, BINS + 7)
            values = np.round(np.convolve(noise, np.ones(8) / 8, "valid"), 2)
            for a in range(0, BINS, AT_ONCE):
                part = values[a : a + AT_ONCE]
                if kind == "fixedStep":
                    file.addEntries(name, a * BIN, values=part, span=BIN, step=BIN)
                else:
                    starts = (np.arange(a, a + len(part)) * BIN).tolist()
                    ends = [start + BIN for start in starts]
                    file.addEntries([name] * len(part), starts, ends=ends, values=part.tolist())


if __name__ == "__main__":
    main()
