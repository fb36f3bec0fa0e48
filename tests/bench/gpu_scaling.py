"""Forward and backward of one sequence on the GPU over T, K and C; flash-semicrf where it takes seconds."""

from collections.abc import Iterator

from semiseg.bench import flash_there
from semiseg.bench.device import measured, pairs, plan_of, row, tried
from semiseg.bench.device_models import informative_there, training_step
from semiseg.bench.record import Row

T, K, C = 10_000, 64, 16  # what is not varied
OVER = {
    "T": [(10**n, K, C) for n in range(3, 8)],
    "K": [(T, 4**n, C) for n in range(2, 7)],
    "C": [(T, K, 2**n) for n in range(2, 7)],
}
SLOW = {"T": [(1000, K, C), (3000, K, C), (T, K, C)], "K": [(T, 16, C), (T, 32, C)], "C": [(T, K, 4), (T, K, 8)]}


def run(quick: bool) -> Iterator[Row]:
    """A row per library and shape; `over` names what is varied, and the shape in the middle serves all three."""
    seen: set[tuple] = set()
    for over, shapes in OVER.items():
        for shape in shapes[:1] if quick else shapes:
            if shape not in seen:
                seen.add(shape)
                yield tried(named("semiseg", over, shape), lambda shape=shape: step(shape, quick))
    if quick or not flash_there.available():
        return
    for over, shapes in SLOW.items():
        for t, k, c in shapes:
            what = named("flash-semicrf", over, (t, k, c))
            yield tried(what, lambda t=t, k=k, c=c: flash_there.once(informative_there(t, c, k, 1)))


def named(library: str, over: str, shape: tuple[int, int, int]) -> Row:
    """The first columns."""
    t, k, c = shape
    return {"library": library, "over": "all" if shape == (T, K, C) else over, "B": 1, "T": t, "K": k, "C": c}


def step(shape: tuple[int, int, int], quick: bool) -> Row:
    """What is measured of our own step."""
    t, k, c = shape
    potentials = informative_there(t, c, k, 1)
    m = measured(training_step(potentials), quick)
    return row(m, plan_of(potentials, 2), pairs(t, potentials.longest), 3, "fma")
