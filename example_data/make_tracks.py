"""Simulated chromatin marks with their true states: tracks.h5 and tracks_truth.bed beside this file, or in a folder.

Counts of reads of five marks in bins of 200 bases. A promoter lies before most genes, enhancers lie in what is quiet,
and repressed stretches are long; lengths are lognormal. In some stretches nothing is known.
"""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from semiseg.formats.track_store import CODINGS, Layout, StoreFile

BIN = 200
CONTIGS = (("chrA", 2_400_000), ("chrB", 1_200_100))
MARKS = ("H3K4me3", "H3K27ac", "H3K4me1", "H3K36me3", "H3K27me3")
STATES = ("promoter", "enhancer", "transcribed", "repressed", "quiet")
MEANS = np.array([[18, 14, 4, 1, 0.6], [1.5, 9, 11, 1, 0.5], [0.6, 1, 2, 8, 0.5], [0.7, 0.5, 0.8, 0.6, 7], [0.5] * 5])
SIZE = 3.0  # of the negative binomial: variance is mean + mean^2 / size
LENGTHS = {
    "promoter": (6, 0.3),
    "enhancer": (7, 0.5),
    "transcribed": (60, 0.6),
    "repressed": (90, 0.7),
    "quiet": (70, 0.8),
}
NEXT = np.array([[0, 0.05, 0.8, 0, 0.15], [0.1, 0, 0.1, 0, 0.8], [0, 0.2, 0, 0.1, 0.7], [0.1, 0, 0, 0, 0.9],
                 [0.35, 0.4, 0, 0.25, 0]])  # fmt: skip
UNKNOWN = 0.02  # of bins, in stretches of GAP
GAP = 40
Segment = tuple[int, int, int]  # bins, state


def segments(bins: int, rng: np.random.Generator) -> list[Segment]:
    """Return states that tile a contig."""
    out, at, state = [], 0, STATES.index("quiet")
    while at < bins:
        median, spread = LENGTHS[STATES[state]]
        end = min(bins, at + max(2, round(rng.lognormal(np.log(median), spread))))
        out.append((at, end, state))
        at, state = end, int(rng.choice(len(STATES), p=NEXT[state]))
    return out


def counts(states: NDArray, rng: np.random.Generator) -> NDArray:
    """Return (bins, marks) counts, at most 254, and 255 where nothing is known."""
    means = MEANS[states]
    values = np.minimum(rng.poisson(rng.gamma(SIZE, means / SIZE)), 254)
    for start in rng.integers(0, len(states), round(len(states) * UNKNOWN / GAP)):
        values[start : start + GAP] = 255
    return values.astype(np.uint8)


def write_example(folder: Path, seed: int = 0) -> None:
    """Write both files."""
    rng = np.random.default_rng(seed)
    store = StoreFile(folder / "tracks.h5", Layout(MARKS, CONTIGS, BIN), CODINGS["uint8"], together=len(MARKS))
    rows = []
    for name, length in CONTIGS:
        bins = -(-length // BIN)
        found = segments(bins, rng)
        states = np.concatenate([np.full(end - start, state) for start, end, state in found])
        store.values(name)[:] = counts(states, rng)
        rows += [(name, start * BIN, min(length, end * BIN), STATES[state]) for start, end, state in found]
    store.close()
    store.raise_error()
    (folder / "tracks_truth.bed").write_text("".join("\t".join(map(str, row)) + "\n" for row in rows))


if __name__ == "__main__":
    write_example(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
