"""The example that only durations decide, run as it stands."""

import re
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[1] / "example_data" / "duration_task.py"


def test_durations_decide() -> None:
    done = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = dict(re.findall(r"^K = (\d+): segment F1 (\d\.\d+)$", done.stdout, re.MULTILINE))
    assert float(found["16"]) >= 0.95
    assert float(found["1"]) < 0.6
