"""One run of a stream, `stream_once.py viterbi|posteriors T C K`: prints processor seconds and peak memory as JSON.

One block of a model, over and over, stands for a long input, so that the input itself takes no memory.
"""

import json
import sys
import time

import numpy as np
import torch

from semiseg.bench.measure import forget_peak, peak_mib
from semiseg.bench.models import informative
from semiseg.kernels import Stream

BLOCK = 1 << 17


def main() -> None:
    """Runs once to compile and once to measure."""
    operation, T, C, K = sys.argv[1], *map(int, sys.argv[2:])
    model = informative(BLOCK, C, K, seed=0)
    rows = model.emissions.numpy()

    def read(a: int, b: int) -> torch.Tensor:
        return torch.from_numpy(rows.take(np.arange(a, b), axis=0, mode="wrap"))

    def compute(length: int) -> float:
        stream = Stream(model, length, read, threads=1)
        if operation == "viterbi":
            return sum(len(segments.start) for segments in stream.viterbi())
        return sum(float(part.start.sum()) for part in stream.marginals())

    compute(3000)
    forget_peak()
    begun = time.process_time()  # one thread: what else the machine does should not count
    segments = compute(T)
    print(json.dumps({"seconds": time.process_time() - begun, "segments": segments, "peak_mib": peak_mib()}))


if __name__ == "__main__":
    main()
