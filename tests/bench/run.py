"""The registry: which benchmarks there are, the gate before them, and what they measure beside what was recorded."""

import csv
import time
import traceback
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from semiseg.bench.drawn import draw
from semiseg.bench.record import RESULTS, Row, record, shown
from semiseg.errors import SemisegError, UsageError

CPU = ("per_core", "frame_grammar", "against_flash", "library", "linear_in_length", "precision")
GPU = (
    "gpu_batch",
    "gpu_small",
    "gpu_chromosome",
    "gpu_frame_grammar",
    "gpu_memory",
    "gpu_scaling",
    "gpu_decode",
    "gpu_library",
)
# columns that say what was measured; on a GPU the number of chunks is a result
SHAPE = ("library", "operation", "what", "model", "bases", "over", "place", "threads")
SHAPE += ("budget_mib", "B", "T", "K", "C", "sum_K", "mean")
SECONDS = ("median_s", "seconds")


class Measured(NamedTuple):
    """A row of a benchmark as it comes, and the recorded one of the same shape."""

    benchmark: str
    row: Row
    recorded: dict[str, str] | None

    @property
    def shape(self) -> str:
        """Return what was measured, in words."""
        return " ".join(f"{key}={self.row[key]}" for key in _shape(self.benchmark) if self.row.get(key, "") != "")

    @property
    def seconds(self) -> float | None:
        """Return what it took here."""
        return _seconds(self.row)

    @property
    def seconds_then(self) -> float | None:
        """Return what it took where it was recorded."""
        return None if self.recorded is None else _seconds(self.recorded)


def choose(names: Sequence[str]) -> list[str]:
    """Return the benchmarks to run: those asked for, or all that this machine can run."""
    from semiseg.bench.device import present

    for name in names:
        if name not in (*CPU, *GPU):
            raise UsageError(f"bench: expected any of {', '.join((*CPU, *GPU))}, got {name!r}")
        if name in GPU and not present():
            raise SemisegError(f"bench: {name} needs a CUDA device, and there is none")
    return list(names) or [*CPU, *(GPU if present() else ())]


def gate(names: Sequence[str]) -> float:
    """Return the seconds it took to find every answer right; raise where one is wrong: then nothing is timed."""
    from semiseg.bench.gate import red, red_there

    begun = time.perf_counter()
    wrong = red() + (red_there() if set(names) & set(GPU) else [])
    if wrong:
        raise SemisegError(f"bench: nothing is timed, {len(wrong)} answers are wrong: {'; '.join(wrong)}")
    return time.perf_counter() - begun


def measure(names: Sequence[str], quick: bool = False, into: Path | None = None) -> Iterator[Measured]:
    """Yield the rows of benchmarks behind a green gate, a column "failed" in those that did; `into` keeps them.

    `quick`: small inputs, which show that all of it runs and leave no record.
    """
    from semiseg.bench.device import facts
    from semiseg.bench.measure import machine

    folder = None if quick else into
    for name in names:
        context, rows, known = machine() | (facts() if name in GPU else {}), [], _recorded(name)
        try:
            for row in import_module(f"semiseg.bench.{name}").run(quick):
                rows.append(row)
                yield Measured(name, row, _same(name, row, known))
                if folder is not None:  # each time: whatever stops the run later on, this is kept
                    record(name, context, rows, folder)
            if folder is not None:
                draw(name, folder)
        except Exception as error:
            traceback.print_exc()
            yield Measured(name, {"failed": f"{type(error).__name__}: {error}"}, None)


def _recorded(name: str) -> list[dict[str, str]]:
    path = RESULTS / f"{name}.csv"
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _same(name: str, row: Row, known: list[dict[str, str]]) -> dict[str, str] | None:
    """Return the first recorded row of the same shape."""
    wanted = {key: str(shown(row[key])) for key in _shape(name) if key in row}
    return next((x for x in known if all(x.get(key, "") == value for key, value in wanted.items())), None)


def _shape(name: str) -> tuple[str, ...]:
    return SHAPE if name in GPU else (*SHAPE, "chunks")


def _seconds(row: Row | dict[str, str]) -> float | None:
    return next((float(str(row[key])) for key in SECONDS if row.get(key, "") != ""), None)
