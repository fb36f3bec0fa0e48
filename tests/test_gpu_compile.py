"""Every kernel compiles for the GPUs of two generations, here and without one, and stays in registers."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")

CAPABILITIES = (80, 90)
FIRST_COMPILE = 20.0  # seconds, of one kernel
REGISTERS = 255  # a thread's, at most
LAUNCHED = {
    "advance_kernel", "meet_kernel", "boundaries_kernel", "positions_kernel", "kinds_kernel", "transitions_kernel",
    "relative_kernel", "tails_kernel", "pairs_kernel", "path_guess_kernel", "path_repair_kernel",
    "emissions_quantise_kernel",
}  # fmt: skip


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """What became of all kernels, by capability: one process each, side by side, where nothing is interpreted."""
    script = Path(__file__).with_name("gpu_kernels.py")
    running = {}
    for capability in CAPABILITIES:
        environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
        environment["TRITON_CACHE_DIR"] = str(tmp_path_factory.mktemp(f"sm{capability}"))
        running[capability] = subprocess.Popen(
            [sys.executable, script, str(capability)],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    found = {}
    for capability, process in running.items():
        out, errors = process.communicate(timeout=600)
        assert process.returncode == 0, errors
        found[capability] = [json.loads(line) for line in out.splitlines()]
    return found


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_every_kernel_is_launched(compiled, capability):
    assert {k["kernel"] for k in compiled[capability]} == LAUNCHED
    advance = [k["constants"] for k in compiled[capability] if k["kernel"] == "advance_kernel"]
    assert {(k["num_warps"], k["MAX"]) for k in advance} == {(w, m) for w in (1, 2, 4) for m in (True, False)}
    assert {k["FIRST"] for k in advance} == {True, False}


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_no_kernel_spills(compiled, capability):
    assert [k for k in compiled[capability] if k["spilled"] > 0 or k["registers"] > REGISTERS] == []


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_no_kernel_takes_long_to_compile(compiled, capability):
    assert [k for k in compiled[capability] if k["seconds"] > FIRST_COMPILE] == []
