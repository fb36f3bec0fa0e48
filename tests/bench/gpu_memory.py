"""Memory of log Z and gradients on the GPU, over the length: all scores kept, and within a number of bytes.

C = 16, K = 1024. The bar: 1 GiB beyond inputs and outputs at 10 million positions, growing slower than the length.
"""

import math
from collections.abc import Iterator

from semiseg.bench.device import MIB, measured, pairs, plan_of, row, tried
from semiseg.bench.device_models import TRAINED, informative_there
from semiseg.bench.record import Row
from semiseg.kernels import Potentials
from semiseg.kernels.cpu.batch import Options
from semiseg.kernels.resolve import Leaves, resolve

BUDGET, LONGEST = 800 * MIB, 10_000_000  # bytes there; shorter sequences get less, by the root of their length


def run(quick: bool) -> Iterator[Row]:
    """A row per length and budget; the outputs hold the emissions' gradient, as long as the input."""
    C, K = (16, 256) if quick else (16, 1024)
    for T in (200_000,) if quick else (1_000_000, 3_000_000, LONGEST):
        budget = round(BUDGET * math.sqrt(T / LONGEST))
        for memory in (budget, None):
            shape: Row = {"T": T, "C": C, "K": K, "budget_mib": "" if memory is None else memory / MIB}
            yield tried(shape, lambda T=T, memory=memory: gradients_of(informative_there(T, C, K), memory, quick))


def gradients_of(potentials: Potentials, memory: int | None, quick: bool) -> Row:
    """What is measured at one length."""
    from semiseg.kernels.gpu.batch import gradients

    T = len(potentials.emissions)
    leaves, layout = resolve(potentials)
    needs = tuple(name in TRAINED for name in Leaves._fields)
    plan = plan_of(potentials, 2, memory)
    m = measured(lambda: gradients(leaves, layout, Options(), needs, memory=memory), quick)
    found = row(m, plan, pairs(T, potentials.longest), 3, "fma")
    return {**found, "positions_per_s": T / m.timing.median_s}
