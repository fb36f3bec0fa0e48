"""What a stream lets go of goes back to the system, though something small stays in between."""

import subprocess
import sys

import pytest

SCRIPT = """
import numpy as np

from semiseg.memory import EVERY, trimmed

MIB = 1 << 20
PIECES = 200

def resident():
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) >> 10 for line in lines if line.startswith("VmRSS"))

np.ones(20 * MIB, np.uint8)  # freed at once: from now on malloc keeps what is no larger
pieces = [(np.ones(MIB, np.uint8), np.ones(1000, np.uint8)) for _ in range(PIECES)]
stays = [small for _, small in pieces]
del pieces
before = resident()
for _ in {of}(range(EVERY + 1)):
    pass
print(before - resident() > PIECES // 2)
"""


@pytest.mark.parametrize(("of", "given_back"), [("trimmed", True), ("iter", False)])
def test_holes_are_given_back(of, given_back):
    script = SCRIPT.format(of=of)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(given_back)
