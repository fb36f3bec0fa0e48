"""One run of a stream, `stream_once.py viterbi|posteriors T C K`: prints seconds and peak memory as JSON.

Blocks of one model stand for a long input, so that the input itself takes no memory.
"""

import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the models of the tests

import numpy as np
from measure import forget_peak, peak_mib
from models import informative

from semiseg.kernels import Potentials, ViterbiStream
from semiseg.kernels.cpu.marginals import Smoother, Wanted
from semiseg.kernels.cpu.threads import pool
from semiseg.kernels.plan import plan
from semiseg.kernels.resolve import resolve, sequence

BLOCK = 1 << 17
AHEAD = 1 << 13  # positions that posteriors look ahead


def decode(model: Potentials, T: int) -> int:
    """Number of segments."""
    stream, found = ViterbiStream(model), 0
    for a in range(0, T, BLOCK):
        found += len(stream.push(model.emissions[: min(BLOCK, T - a)]).start)
    return found + len(stream.finish().start)


def smooth(model: Potentials, T: int) -> float:
    """Expected number of segments: each block begins in the state in which the one before it ended."""
    C, K = model.emissions.shape[1], len(model.durations) - 1
    x = sequence(*resolve(model), 0)
    left, total = None, 0.0
    for a in range(0, T, BLOCK):
        n = min(BLOCK, T - a)
        rows = x.emissions[: min(BLOCK + AHEAD, T - a)]  # what follows a block is the beginning of the next
        if len(rows) > BLOCK:
            rows = np.concatenate([rows[:BLOCK], x.emissions[: len(rows) - BLOCK]])
        block = x._replace(emissions=rows, scores=x.scores[: len(rows) + 1], origin=a)
        smoother = Smoother(block, plan(len(rows), C, K, 1), pool(1), left)
        for part in smoother.parts(Wanted()):
            total += float(part.start[: max(0, n - part.u)].sum())
        if a + n < T:
            left = smoother.chunks.state(0, 0, n)._replace(position=0)
    return total


def main() -> None:
    operation, T, C, K = sys.argv[1], *map(int, sys.argv[2:])
    model = informative(BLOCK, C, K, seed=0)
    compute = {"viterbi": decode, "posteriors": smooth}[operation]
    compute(model._replace(emissions=model.emissions[:3000]), 3000)  # compiles
    forget_peak()
    begun = time.perf_counter()
    segments = compute(model, T)
    print(json.dumps({"seconds": time.perf_counter() - begun, "segments": segments, "peak_mib": peak_mib()}))


if __name__ == "__main__":
    main()
