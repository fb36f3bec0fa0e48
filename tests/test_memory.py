"""Large allocations go back to the system once they are free, though smaller ones lie behind them."""

import subprocess
import sys

import pytest

ROUNDS, SIZE = 20, 20_000_000
SCRIPT = f"""
import numpy as np
from semiseg import memory

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

if {{give_back}}:
    memory.give_back()
np.ones({SIZE}, np.uint8)  # freed at once: from now on malloc would keep what is no larger
before, held = resident(), []
for _ in range({ROUNDS}):
    large = np.ones({SIZE} - 4096, np.uint8)
    held.append(np.ones(2000, np.uint8))
    behind = np.ones({SIZE} // 2, np.uint8)
    held.append(np.ones(2000, np.uint8))
del large, behind
print((resident() - before) // {SIZE})
"""


@pytest.mark.parametrize("give_back", [True, False])
def test_what_is_free_is_held_only_unless_told(give_back):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(give_back=give_back)], capture_output=True, text=True, check=True
    )
    assert (int(done.stdout) == 0) == give_back
