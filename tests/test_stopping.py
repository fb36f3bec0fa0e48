"""A run that is told to stop does so within two seconds, with its own exit status, and leaves nothing half written."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from semiseg.bundled import DEFAULT

GENOME = Path(__file__).parents[1] / "example_data" / "genome.fa.gz"
SOON = 2.0  # seconds


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stops_soon(number, status, tmp_path):
    log, calls = tmp_path / "log", tmp_path / "calls.bed"
    command = [sys.executable, "-m", "semiseg.cli.main", "decode", GENOME, "--model", DEFAULT, "--device", "cpu"]
    with subprocess.Popen([*command, "-o", calls, "--log-file", log], stderr=subprocess.PIPE) as process:
        for _ in range(600):  # the log is begun when the work is
            if log.exists() or process.poll() is not None:
                break
            time.sleep(0.1)
        time.sleep(2.0)  # into the encoder's first window
        assert process.poll() is None
        process.send_signal(number)
        told = time.monotonic()
        assert process.wait(30) == status
        assert time.monotonic() - told < SOON
        assert process.stderr is not None
        assert process.stderr.read() == b"semiseg: interrupted\n"  # without --resume nothing is kept
    assert [path.name for path in tmp_path.iterdir()] == ["log"]
