"""A training step on the GPU: log Z and all gradients of a batch, and flash-semicrf's time for the same.

Bars: 8, 6, 20 and 40 ms. Three passes: forward, backward, and the one that counts durations.
"""

from collections.abc import Iterator

from semiseg.bench import flash_there
from semiseg.bench.device import measured, pairs, plan_of, row, tried
from semiseg.bench.device_models import informative_there, training_step
from semiseg.bench.record import Row
from semiseg.kernels import Potentials
from semiseg.kernels.devices import moved

SHAPES = {(4, 1000, 100, 24): 8, (32, 500, 30, 48): 6, (8, 4096, 256, 16): 20, (4, 10_000, 500, 11): 40}  # ms
QUICK = {(2, 300, 20, 4): 8}


def run(quick: bool) -> Iterator[Row]:
    """A row per shape, and per library; `off`: largest difference of the emissions' gradient from the CPU's."""
    ours: dict[tuple, Row] = {}
    for (B, T, K, C), bar in (QUICK if quick else SHAPES).items():
        shape: Row = {"library": "semiseg", "B": B, "T": T, "K": K, "C": C, "bar_ms": bar}
        ours[B, T, K, C] = tried(shape, lambda B=B, T=T, K=K, C=C: step(informative_there(T, C, K, B), quick))
        yield ours[B, T, K, C]
    if quick or not flash_there.available():
        return
    trouble = tried({"library": "flash-semicrf", "B": 2, "T": 60, "K": 8, "C": 4}, lambda: flash_there.check() or {})
    if "failed" in trouble:
        yield trouble
    for B, T, K, C in SHAPES:
        shape = {"library": "flash-semicrf", "B": B, "T": T, "K": K, "C": C}
        found = tried(shape, lambda B=B, T=T, K=K, C=C: flash_there.once(informative_there(T, C, K, B)))
        mine = ours[B, T, K, C]
        if "failed" not in found and "failed" not in mine:
            found["times_slower_than_semiseg"] = found["median_s"] / mine["median_s"]
        yield found


def step(potentials: Potentials, quick: bool) -> Row:
    """What is measured of our own step."""
    B, T, _ = potentials.emissions.shape
    m = measured(training_step(potentials), quick)
    _, gradients = m.result
    _, there = training_step(moved(potentials, "cpu"))()
    off = float((gradients[0].cpu() - there[0]).abs().max())
    return {**row(m, plan_of(potentials, 2), pairs(T, potentials.longest, B), 3, "fma"), "off": off}
