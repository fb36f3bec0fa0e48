"""Compiles every kernel that the operations launch, for a compute capability, on a machine that need not have a GPU.

    python tests/gpu_kernels.py 90

prints one JSON object a line for every kernel: what was specialised, seconds, registers and what is spilled. The
operations themselves launch them, on CPU tensors; nothing runs: stand-ins leave behind as much as it takes for the
operations to carry on.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
import triton
from genes import random_genome
from larger import larger
from models import frame_grammar, informative
from triton.backends.compiler import GPUTarget
from triton.compiler.compiler import make_backend
from triton.runtime import driver
from triton.runtime.jit import JITFunction

from semiseg.kernels.cpu.batch import Asked, Options
from semiseg.kernels.gpu import batch
from semiseg.kernels.potentials import Potentials
from semiseg.kernels.resolve import Leaves, resolve
from semiseg.kernels.results import Segments

MANY = 40  # items: enough runs for a plan to give each few warps
FULL = 90  # capability for which every size and cap of a kernel is compiled; for others each kernel is
REGISTERS = 255  # a thread's, at most
PASSES = "two warps"  # the model whose passes are its own; all else that it launches is launched for others too
PAIRS = 120  # multiply-adds, or maxima: no other loop of 32-bit work has as many


class Launched(NamedTuple):
    """One specialisation of a kernel."""

    kernel: str
    model: str
    constants: dict[str, Any]
    seconds: float  # of a processor
    registers: int  # a thread
    spilled: int  # bytes a thread of stack and local memory
    in_pairs: int  # loads and stores of local memory in the loop over pairs, where registers are capped


class Driver:
    """What a launch asks about the device it is for; the number of the device is its compute capability."""

    def __init__(self, capability: int):
        self.capability = capability

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", self.capability, 32)

    def get_current_device(self) -> int:
        return self.capability

    def get_current_stream(self, device: int) -> int:
        return 0


def batched(p: Potentials, items: int) -> Potentials:
    """Return a batch of copies of a sequence."""
    wide = tuple(b._replace(scores=b.scores.expand(items, -1, -1).contiguous()) for b in p.boundaries)
    return p._replace(emissions=p.emissions.expand(items, -1, -1).contiguous(), boundaries=wide)


def models(full: bool) -> dict[str, Potentials]:
    """Return a model that launches all kernels; `full`: and those that need each way in which they are specialised."""
    genome = random_genome(600, 3, 100, 60)
    found = {"frame grammar": batched(frame_grammar(genome, kinds=True, edge="censored"), MANY)}
    if not full:
        return found
    half = informative(40, 16, 1000, seed=1, edge="censored", dtype=torch.bfloat16)
    return found | {
        "wide law": batched(half, MANY),
        PASSES: batched(informative(400, 24, 100, seed=2), MANY),
        "everything": larger(3),
    }


def results(p: Potentials, posteriors: bool) -> None:
    """Run all operations that have kernels; without `posteriors` those that need the passes and the path alone."""
    leaves, layout = resolve(p)
    C = leaves.emissions.shape[2]
    want = {"start", "end", "position", "transitions", "durations", "boundaries"}
    how = Options(None, 3, 64)
    asked = Asked(Segments(*torch.tensor([[0], [1], [9], [0]])), np.zeros(1, np.int64), np.zeros(C, np.int64), 0.9)
    batch.viterbi(leaves, layout, how)
    if not posteriors:
        batch.log_partitions(leaves, layout, how)
        return
    batch.marginals(leaves, layout, how, want, torch.arange(C), C, asked)
    batch.gradients(leaves, layout, how, (True,) * len(Leaves._fields))


class Compiler:
    """Takes the place of launching: compiles, measures, and leaves behind what lets an operation carry on."""

    def __init__(self, capability: int):
        driver.set_active(Driver(capability))
        self.found: dict[tuple[str, tuple[Any, ...]], Launched] = {}
        self.model = ""
        original = JITFunction.run

        def run(kernel: JITFunction, *arguments: Any, grid: Any, warmup: bool = False, **options: Any) -> None:
            key = kernel.__name__, tuple(sorted(options.items()))
            if key not in self.found:  # not again for arguments that are known to be multiples of 16, or are not
                begun = busy()
                compiled = original(kernel, *arguments, grid=grid, warmup=True, **options)
                self.found[key] = self.measured(kernel, compiled.asm["cubin"], options, begun)
                if capped(options):  # what it costs
                    free = options | {"maxnreg": REGISTERS}
                    begun = busy()
                    cubin = self.uncapped(compiled, free)
                    self.found[key[0], tuple(sorted(free.items()))] = self.measured(kernel, cubin, free, begun)
            self.stand_in(kernel.__name__, dict(zip(kernel.arg_names, arguments, strict=False)))

        JITFunction.run = run

    def uncapped(self, compiled: Any, options: dict[str, Any]) -> bytes:
        """Return the code of a capped kernel without its cap.

        A cap is a line of the assembler's input, and nothing before the assembler looks at it.
        """
        ptx, lines = re.subn(r"(?m)^\.maxnreg \d+$", f".maxnreg {REGISTERS}", compiled.asm["ptx"])
        assert lines == 1
        backend = make_backend(driver.active.get_current_target())
        return backend.make_cubin(ptx, {}, backend.parse_options(options), backend.target.arch)

    def measured(self, kernel: JITFunction, cubin: bytes, options: dict[str, Any], begun: float) -> Launched:
        seconds = busy() - begun
        with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
            file.write(cubin)
            file.flush()
            tool = [triton.knobs.nvidia.cuobjdump.path, "-res-usage", *["-sass"] * capped(options), file.name]
            text = subprocess.run(tool, capture_output=True, text=True, check=True).stdout
        usage = {name: int(value) for name, value in re.findall(r"\b(REG|STACK|LOCAL):(\d+)", text)}
        spilled = usage["STACK"] + usage["LOCAL"]
        inside = local_in_pairs(text) if capped(options) else 0
        return Launched(kernel.__name__, self.model, options, round(seconds, 2), usage["REG"], spilled, inside)

    def stand_in(self, name: str, of: dict[str, Any]) -> None:
        if name == "bounds_kernel":  # small scores, and forbidden ones where there are any
            of["sums"].zero_()
            of["tops"].fill_(100)
            of["dead"].fill_(bool((of["rows"] == -torch.inf).any()))
        elif name == "advance_kernel":
            of["alpha"].zero_()  # every label may end everywhere
        elif name == "positions_kernel":
            of["position"].zero_()  # nothing is likely
        elif name == "path_guess_kernel":
            of["passed_on"].fill_(1)  # no guess was right
        elif name == "path_repair_kernel":
            of["arrived"].copy_(of["passed_on"])


def busy() -> float:
    """Return seconds of processors that this process and those that it waited for have taken."""
    return sum(os.times()[:4])


def capped(options: dict[str, Any]) -> bool:
    """Return whether a launch holds its kernel to fewer registers than there are."""
    return options.get("maxnreg", REGISTERS) < REGISTERS


def local_in_pairs(sass: str) -> int:
    """Return how many instructions of the loop over pairs touch local memory."""
    lines = [(int(at, 16), text) for at, text in re.findall(r"^\s+/\*([0-9a-f]{4,})\*/\s+(.*?);", sass, re.M)]
    place = {at: i for i, (at, _) in enumerate(lines)}
    loops = []
    for i, (at, text) in enumerate(lines):
        back = re.search(r"\bBRA\b.*?(0x[0-9a-f]+)", text)
        if back and int(back[1], 16) < at:
            loops.append([text for _, text in lines[place[int(back[1], 16)] : i + 1]])
    pairs = [x for x in loops if sum(bool(re.search(r"\b(FFMA|VIADDMNMX|IMNMX)", text)) for text in x) > PAIRS]
    return sum(bool(re.search(r"\b(LDL|STL)\b", text)) for text in min(pairs, key=len))


def compile_all(capability: int) -> Iterator[Launched]:
    """Yield what became of all kernels."""
    compiler = Compiler(capability)
    for name, p in models(full=capability == FULL).items():
        compiler.model = name
        before = len(compiler.found)
        results(p, posteriors=name != PASSES)
        yield from list(compiler.found.values())[before:]


if __name__ == "__main__":
    for launched in compile_all(int(sys.argv[1])):
        print(json.dumps(launched._asdict()), flush=True)
