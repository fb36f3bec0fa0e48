"""Writes demo_signal.csv and demo_truth.bed: a signal drawn from the model of `semiseg.demo`, and its segments."""

import sys
from pathlib import Path

import numpy as np

from semiseg.demo import NOISE, STATES

SEED = 11
T = 3000


def draw_segments(rng: np.random.Generator) -> list[tuple[int, int, int]]:
    """(start, end, state) of segments that tile [0, T); the drawing starts 1,000 positions earlier, to forget how."""
    segments = []
    state, end = 1, -1000
    while end < T:
        start, median = end, STATES[state].median
        end += max(1, round(median * np.exp(STATES[state].spread * rng.standard_normal())))
        if end > 0:
            segments.append((max(start, 0), min(end, T), state))
        state = rng.choice(len(STATES), p=STATES[state].follows)
    return segments


def write_example(folder: Path) -> None:
    """Write both files into a folder."""
    rng = np.random.default_rng(SEED)
    segments = draw_segments(rng)
    means = np.concatenate([np.full(end - start, STATES[state].mean) for start, end, state in segments])
    signal = means + NOISE * rng.standard_normal(T)
    (folder / "demo_signal.csv").write_text("log2_ratio\n" + "".join(f"{value:.3f}\n" for value in signal))
    (folder / "demo_truth.bed").write_text(
        "".join(f"demo\t{start}\t{end}\t{STATES[state].label}\n" for start, end, state in segments)
    )


if __name__ == "__main__":
    write_example(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
