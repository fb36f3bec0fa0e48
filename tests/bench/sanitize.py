"""Small models through every kernel: `compute-sanitizer --tool memcheck|racecheck python tests/bench/sanitize.py`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from larger import larger, long_tail

from semiseg.bench.gate import WANT, on_kernels
from semiseg.kernels import marginals, viterbi
from semiseg.kernels.devices import moved


def main() -> None:
    """Tails, phases, maps, cuts and censored edges, in one piece and in two."""
    with on_kernels():
        for potentials in (larger(3, 70), larger(5, 60), long_tail(60)):
            for chunks in (None, 2):
                viterbi(moved(potentials, "cuda"), chunks=chunks, warm_up=4)
                marginals(moved(potentials, "cuda"), chunks=chunks, warm_up=4, want=(*WANT, "boundaries"))
    torch.cuda.synchronize()


if __name__ == "__main__":
    main()
