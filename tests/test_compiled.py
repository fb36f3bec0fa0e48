"""Compiled functions give the same bits in the process that compiles them and in those that find them."""

import os
import subprocess
import sys

SUMS = """
import hashlib
import numpy as np
from semiseg.kernels.cpu.chain import chain_counts
from semiseg.kernels.cpu.runs import places_of

draw = np.random.default_rng(0)
C, R = 10, 60
each = [np.repeat(draw.integers(0, R, 200), 3).astype(np.int32) for _ in range(4)]
moves, first = draw.dirichlet(np.ones(C), C), draw.dirichlet(np.ones(C))
found = chain_counts(first, moves, draw.normal(size=(R, C)) * 3, places_of(each))
print(hashlib.sha256(b"".join(np.asarray(x).tobytes() for x in found)).hexdigest())
"""


def test_the_bits_are_those_of_later_processes(tmp_path):
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}
    first, later = (
        subprocess.run([sys.executable, "-c", SUMS], env=environment, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    )
    assert first == later
    assert list(tmp_path.rglob("*.nbi"))
