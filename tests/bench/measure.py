"""Time and memory of what is measured, and the machine it was measured on."""

import gc
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
STATUS = Path("/proc/self/status")
PACKAGES = ("numpy", "numba", "torch", "flash-semicrf")


class Timing(NamedTuple):
    median_s: float
    p20_s: float
    p80_s: float


def summarise(seconds: list[float]) -> Timing:
    """Median and the band that holds three runs of five."""
    if len(seconds) < 2:
        return Timing(seconds[0], seconds[0], seconds[0])
    fifths = statistics.quantiles(seconds, n=5, method="inclusive")
    return Timing(statistics.median(seconds), fifths[0], fifths[3])


def interleave(work: list[Callable[[], Any]], repeats: int, warm: bool = True) -> list[Timing]:
    """Timings of several things that take turns, so that whatever else the machine does hits all of them."""
    if warm:  # compiles, and makes the pools
        for run in work:
            run()
    seconds: list[list[float]] = [[] for _ in work]
    for _ in range(repeats):
        for i, run in enumerate(work):
            gc.collect()  # or one would pay for what another left behind
            begun = time.perf_counter()
            run()
            seconds[i].append(time.perf_counter() - begun)
    return [summarise(s) for s in seconds]


def forget_peak() -> None:
    """Makes `peak_mib` count from here on, where the system can (Linux)."""
    if STATUS.exists():
        STATUS.with_name("clear_refs").write_text("5")


def peak_mib() -> float:
    """Largest resident memory of this process since `forget_peak`."""
    if STATUS.exists():  # getrusage would count what the parent of a process had
        return int(STATUS.read_text().split("VmHWM:")[1].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def apart(script: str, *arguments: object) -> dict[str, Any]:
    """What a script of this folder prints last, as JSON: a process of its own, for a peak memory of its own."""
    command = [sys.executable, str(Path(__file__).with_name(script)), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{script} {' '.join(map(str, arguments))}: {done.stderr.strip()}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def machine() -> dict[str, object]:
    """Where, with what and when."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),  # more than 0 before a run: something else was running
        "python": platform.python_version(),
        **{name: installed(name) for name in PACKAGES},
        "semiseg": revision(),
    }


def cpu_model() -> str:
    """Model, and family where the name alone is vague."""
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return platform.processor() or platform.machine()
    facts = dict(line.split(":", 1) for line in path.read_text().split("\n\n")[0].splitlines() if ":" in line)
    facts = {key.strip(): value.strip() for key, value in facts.items()}
    if "model name" not in facts:
        return platform.machine()
    return f"{facts['model name']} (family {facts.get('cpu family', '?')}, model {facts.get('model', '?')})"


def installed(name: str) -> str:
    """Version of a package, empty where it is absent."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def revision() -> str:
    """Revision of the checkout, with a + where files changed since; outside a checkout the version."""
    try:
        git = ["git", "-C", str(ROOT)]
        head = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
        # recorded results do not count
        changed = subprocess.run(
            [*git, "status", "--porcelain", "--", "kernels", "semiseg"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return installed("semiseg")
    return head.stdout.strip() + ("+" if changed.stdout else "")
