"""Large allocations are the system's own, and so go back to it once they are free."""

import subprocess
import sys

import pytest

SCRIPT = """
import ctypes

import numpy as np

from semiseg import memory

class Told(ctypes.Structure):
    _fields_ = [("numbers", ctypes.c_size_t * 10)]

LARGE = 20_000_000
read = ctypes.CDLL(None).mallinfo2
read.restype = Told
mapped = lambda: read().numbers[4]  # hblkhd: bytes of allocations that are the system's own

if {give_back}:
    memory.give_back()
np.ones(LARGE, np.uint8)  # freed at once: from now on malloc would keep what is no larger
before = mapped()
held = np.ones(LARGE // 2, np.uint8)
print(mapped() - before >= LARGE // 2)
"""


@pytest.mark.parametrize("give_back", [True, False])
def test_large_allocations_are_the_systems_own_once_it_is_told_so(give_back):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(give_back=give_back)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(give_back)
