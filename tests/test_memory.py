"""Memory is free as soon as it is let go, and is taken again without the system's help."""

import gc
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from planted import strip, tiny  # noqa: F401 - a fixture

from semiseg.cli import console
from semiseg.cli.main import group
from semiseg.gene_model import Config, GeneModel
from semiseg.gene_windows import draw
from semiseg.training import Recipe, Run

GENOME = Path(__file__).resolve().parents[1] / "example_data" / "genome.fa.gz"
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


def in_cycles(work: Callable[[], object]) -> list[object]:
    """Return the numbers that work, done once before, leaves for the search for garbage to find."""
    work()
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        work()
        gc.collect()
        return [x for x in gc.garbage if issubclass(type(x), torch.Tensor | np.ndarray)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()


def test_numbers_are_not_left_in_cycles_by_decoding(capsys: pytest.CaptureFixture[str]) -> None:
    """The program looks for garbage seldom."""

    def decode() -> None:
        what = [str(GENOME), "-r", "sim1:1-9000", "--model", "compact-eukaryote-compact", "-q"]
        assert console.run(group, ["decode", *what]) == 0

    assert in_cycles(decode) == []
    assert capsys.readouterr().out


def test_numbers_are_not_left_in_cycles_by_training(tiny: Config) -> None:  # noqa: F811
    recipe, strips = Recipe(window=600, batch=2, steps=4), [strip()]
    run = Run(GeneModel(tiny), recipe)
    assert in_cycles(lambda: run.advance(draw(run.model.grammar, strips, recipe, run.step))) == []

    def leave() -> None:
        cycle: list[object] = [torch.ones(3)]
        cycle.append(cycle)

    assert len(in_cycles(leave)) == 1  # those that are left are found
