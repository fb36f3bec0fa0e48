"""Change points of the series of TSSB next to ClaSP's: Covering and F1, and whether posteriors and intervals hold.

    python tests/bench/changepoints.py FOLDER [--claspy PYTHON]

FOLDER holds desc.txt (name, window, change points; the window is not looked at) and NAME.txt, a value a line. PYTHON is
an interpreter that has claspy, which is run with its defaults. Halves are every other series by name: constants were
chosen with both in view and reported on each. `change_posterior` is the mean over called change points, `change_right`
the share of them that have a true one as near as it says; `in_interval` is the share of the true ones, out of those
with a called one within 5 % of the series, that the 95 % credible interval holds.
"""

import argparse
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from semiseg.bench.measure import machine
from semiseg.bench.record import record, show
from semiseg.covering import Changes, score
from semiseg.formats.change_points import read_change_points
from semiseg.regimes import Regimes, find_regimes

NEAR = 0.05
CLASPY = """
import json, sys, time
import numpy as np
from claspy.segmentation import BinaryClaSPSegmentation
for path in sys.argv[1:]:
    begun = time.process_time()
    found = BinaryClaSPSegmentation(n_jobs=1).fit_predict(np.loadtxt(path))
    print(json.dumps([path, [int(x) for x in found], time.process_time() - begun]), flush=True)
"""


def main() -> None:
    """Find, score, record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--claspy", metavar="PYTHON", help="an interpreter that has claspy")
    options = parser.parse_args()
    truth = read_change_points(options.folder / "desc.txt", 1, options.folder)
    rows = [ours(options.folder, truth)]
    print(show(rows[0]))
    if options.claspy:
        rows.append(theirs(options.claspy, options.folder, truth))
        print(show(rows[1]))
    record("changepoints", machine(), rows)


def ours(folder: Path, truth: dict[str, Changes]) -> dict[str, object]:
    """Return the figures of semiseg."""
    names = sorted(truth)
    find_regimes(np.loadtxt(folder / f"{names[0]}.txt", ndmin=2).reshape(-1, 1), "warm up")  # kernels are compiled once
    found, seconds = {}, []
    for name in names:
        x = np.loadtxt(folder / f"{name}.txt")[:, None]
        begun = time.process_time()
        found[name] = find_regimes(x, name)
        seconds.append(time.process_time() - begun)
    calls = {name: Changes(tuple(s.start for s in found[name].stretches[1:])) for name in names}
    told = np.array([pair for name in names for pair in posteriors(found[name], truth[name])])
    held = [inside for name in names for inside in intervals(found[name], truth[name])]
    return {
        "method": "semiseg fit --states auto", **figures(truth, calls, seconds),
        "change_posterior": told[:, 0].mean(), "change_right": told[:, 1].mean(), "in_interval": float(np.mean(held)),
    }  # fmt: skip


def posteriors(found: Regimes, true: Changes) -> Iterator[tuple[float, bool]]:
    """Yield the posterior of every called change point, and whether a true one is as near as it says."""
    for s in found.stretches[1:]:
        yield s.change, any(abs(s.start - at) <= found.near for at in true.points)


def intervals(found: Regimes, true: Changes) -> Iterator[bool]:
    """Yield whether the credible interval of the nearest call holds a true change point, if there is one near."""
    for at in true.points:
        nearest = min(found.stretches[1:], key=lambda s: abs(s.start - at), default=None)
        if nearest is not None and true.length and abs(nearest.start - at) < NEAR * true.length:
            yield nearest.start_ci[0] <= at <= nearest.start_ci[1]


def theirs(python: str, folder: Path, truth: dict[str, Changes]) -> dict[str, object]:
    """Return the figures of ClaSP."""
    paths = [str(folder / f"{name}.txt") for name in sorted(truth)]
    done = subprocess.run([python, "-c", CLASPY, *paths], check=True, capture_output=True, text=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    calls = {Path(path).stem: Changes(tuple(found)) for path, found, _ in lines}
    return {"method": "claspy", **figures(truth, calls, [seconds for *_, seconds in lines])}


def figures(truth: dict[str, Changes], calls: dict[str, Changes], seconds: list[float]) -> dict[str, object]:
    """Return what is known about anyone's calls."""
    scores = score(truth, calls)
    each = np.array([x.covering for x in scores.series])
    return {
        "series": len(each), "true": sum(x.true for x in scores.series), "called": sum(x.called for x in scores.series),
        "covering": each.mean(), "covering_even": each[::2].mean(), "covering_odd": each[1::2].mean(),
        "f1": scores.mean("f1"), "f1_tcpd": scores.mean("f1_tcpd"), "cpu_s": sum(seconds), "cpu_s_most": max(seconds),
    }  # fmt: skip


if __name__ == "__main__":
    main()
