"""Memory that was freed is taken again without the system's help."""

import subprocess
import sys

import pytest

PIECES = """
import ctypes, resource, sys, torch
from semiseg.memory import MAP, keep_freed

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        pieces = [torch.empty(1 << 20).fill_(1) for _ in range(12)]  # of 4 MiB
        del pieces
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 20

ctypes.CDLL(None).mallopt(MAP, 1 << 17)  # as glibc begins: how soon it comes to more by itself, differs
if sys.argv[1] == "kept":
    keep_freed()
faults()
print(faults())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's")
def test_freed_memory_costs_no_new_pages() -> None:
    found = {}
    for how in ("kept", "as it was"):
        done = subprocess.run([sys.executable, "-c", PIECES, how], capture_output=True, text=True, check=True)
        found[how] = float(done.stdout)
    assert found["kept"] < 100 < 1000 < found["as it was"]
