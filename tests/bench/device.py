"""The CUDA device: what it is and could do, and time and memory of what runs on it."""

import contextlib
import shutil
import subprocess
import time
import traceback
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import torch

from semiseg.bench.measure import Timing, installed, summarise
from semiseg.bench.record import Row
from semiseg.kernels import Potentials
from semiseg.kernels.cpu.batch import Options
from semiseg.kernels.resolve import resolve

UNITS = {"max": 64, "fma": 128}  # a clock and multiprocessor: int32 add-max, float32 multiply-add
FEWEST, MOST, ENOUGH = 5, 50, 1.0  # runs, and seconds after which the fewest suffice
MIB = 2**20


class Measured(NamedTuple):
    timing: Timing
    runs: int
    first_s: float  # the first call: compiles, or loads what is compiled
    peak_mib: float  # beyond what was there before and what came back
    result: Any


def present() -> bool:
    """Whether there is a CUDA device."""
    return torch.cuda.is_available()


def facts() -> Row:
    """What a record says about the device; nothing where there is none."""
    if not present():
        return {}
    driver = smi("driver_version")
    return {
        "gpu": torch.cuda.get_device_name(),
        "driver": driver,
        "cuda": torch.version.cuda,
        "triton": installed("triton"),
        "multiprocessors": torch.cuda.get_device_properties(0).multi_processor_count,
        "clock_ghz": clock() or "",
    }


def smi(field: str) -> str:
    """What nvidia-smi says about the first device, empty where it says nothing."""
    if shutil.which("nvidia-smi") is None:
        return ""
    query = ["nvidia-smi", f"--query-gpu={field}", "--format=csv,noheader,nounits"]
    done = subprocess.run(query, capture_output=True, text=True, check=False)
    return done.stdout.splitlines()[0].strip() if done.returncode == 0 and done.stdout else ""


@cache
def clock() -> float | None:
    """Highest clock of the multiprocessors in GHz, None where nobody tells."""
    try:
        return float(smi("clocks.max.sm")) / 1e3
    except ValueError:
        rate = getattr(torch.cuda.get_device_properties(0), "clock_rate", None)  # kHz
        return None if rate is None else rate / 1e6


def pairs(T: int, longest: torch.Tensor, items: int = 1) -> float:
    """Pairs (t, k, c) of one pass: k is at most K_c, and at most t."""
    K = longest.double().clamp(max=T)
    return items * float((K * T - K * (K - 1) / 2).sum())


def plan_of(potentials: Potentials, ways: int, memory: int | None = None) -> str:
    """The schedule in words (ways: 1 Viterbi, 2 posteriors); only a remark, so whatever goes wrong is one too."""
    try:
        from semiseg.kernels.gpu.inputs import law_and_grammar, look, plan_for

        leaves, layout = resolve(potentials)
        x = law_and_grammar(look(leaves, layout).small, layout)
        plan = plan_for(x, layout, leaves.emissions.device, ways, Options(), memory)
    except Exception as error:
        return f"unknown: {type(error).__name__}"
    return str(plan if ways == 2 else plan._replace(waves=1))  # Viterbi keeps its scores


def measured(work: Callable[[], Any], quick: bool = False) -> Measured:
    """Wall time of `work` between two moments at which the device has nothing to do, and its peak memory.

    Falling back to the CPU with a warning is an error here.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*computed on the CPU")
        first, result = clocked(work)
        result = None  # gone before the next run: both would not fit
        _, result, peak = watched(work)
        seconds: list[float] = []
        fewest, most = (2, 3) if quick else (FEWEST, MOST)
        while len(seconds) < fewest or (sum(seconds) < ENOUGH and len(seconds) < most):
            result = None
            again, result = clocked(work)
            seconds.append(again)
    return Measured(summarise(seconds), len(seconds), first, peak, result)


def watched(work: Callable[[], Any]) -> tuple[float, Any, float]:
    """Seconds of one run, what it gave, and its peak memory in MiB beyond what was there before and what came back."""
    if not present():
        return *clocked(work), float("nan")
    held = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    seconds, result = clocked(work)
    return seconds, result, (torch.cuda.max_memory_allocated() - held - size(result)) / MIB


def clocked(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of one run, and what it gave."""
    wait()
    begun = time.perf_counter()
    result = work()
    wait()
    return time.perf_counter() - begun, result


def wait() -> None:
    """Until the device has nothing to do."""
    if present():
        torch.cuda.synchronize()


def size(x: Any) -> int:
    """Bytes on the device of the tensors in records, tuples, lists and dicts; shared memory counts once."""
    found: dict[int, int] = {}

    def visit(x: Any) -> None:
        if isinstance(x, torch.Tensor):
            if x.is_cuda:
                found[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        elif isinstance(x, dict):
            visit(list(x.values()))
        elif isinstance(x, tuple | list):
            for part in x:
                visit(part)

    visit(x)
    return sum(found.values())


def row(m: Measured, plan: str, work: float, passes: int, unit: str) -> Row:
    """What every row says about a measurement: `passes` times over the sequence, with `work` pairs each."""
    return {
        **m.timing._asdict(),
        "runs": m.runs,
        "first_s": m.first_s,
        "passes": passes,
        **shares(passes * work / m.timing.median_s, unit),
        "peak_mib": m.peak_mib,
        "plan": plan,
    }


def shares(rate: float, unit: str) -> Row:
    """Pairs a second, and what share of the unit's limit that is."""
    ghz = clock() if present() else None
    share: object = ""
    if ghz is not None:
        share = rate / (torch.cuda.get_device_properties(0).multi_processor_count * ghz * 1e9 * UNITS[unit])
    return {"pairs_per_s": rate, "unit": f"{UNITS[unit]} {unit}/clock/SM", "share": share}


def tried(shape: Row, rest: Callable[[], Row]) -> Row:
    """The row of a measurement, or of its failure, which must not take the others along."""
    try:
        return {**shape, **rest()}
    except Exception as error:
        traceback.print_exc()
        failed = f"{type(error).__name__}: {error}".splitlines()[0][:200]
    with contextlib.suppress(RuntimeError):
        torch.cuda.empty_cache()
    return {**shape, "failed": failed}
