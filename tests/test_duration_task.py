"""What the example of segments that differ in nothing but duration promises."""

import runpy
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).resolve().parents[1] / "example_data" / "duration_task.py"


@pytest.mark.usefixtures("one_thread")
def test_durations_decide():
    scores = runpy.run_path(str(EXAMPLE))["compare"]()
    assert scores[16] >= 0.95
    assert scores[1] < 0.6
