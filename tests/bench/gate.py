"""Correctness first: a speed figure of wrong answers is worth nothing."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from semiseg.bench.cases import grid
from semiseg.bench.genes import random_genome
from semiseg.bench.models import frame_grammar, informative
from semiseg.bench.tolerances import CHUNKED, EXACT
from semiseg.bench.tolerances import log_partition as rounding
from semiseg.kernels import Potentials, devices, log_partition, marginals, viterbi
from semiseg.kernels.devices import moved
from semiseg.kernels.fixed import UNIT, quantised, quantised_emissions
from semiseg.kernels.naive import naive_marginals, naive_viterbi
from semiseg.kernels.resolve import resolve, sequence

EVERY = 5  # of the grid; no divisor of the 14 shapes that take turns there
THERE = 31  # the same on a GPU, where nearly every case is compiled anew
WANT = ("start", "end", "position", "transitions", "durations")


def red() -> list[str]:
    """What is wrong, by name; empty when the gate is green."""
    wrong = []
    for name, potentials in list(grid())[::EVERY]:
        if not potentials.transitions_by_duration:
            wrong += [f"{name}: {fault}" for fault in faults(potentials)]
    return wrong + [f"informative: {fault}" for fault in faults_of_chunks(informative(20_000, 3, 30, seed=1))]


def faults(potentials: Potentials) -> list[str]:
    """Where the compiled path differs from the plain loops."""
    plain, found = naive_marginals(potentials), marginals(potentials)
    assert found.start is not None
    assert found.position is not None
    pairs = {
        "log partition": (np.array(plain.log_partition), log_partition(potentials)),
        "position": (plain.position, found.position),
        "start": (plain.start[1:-1], found.start[1:-1]),
    }
    wrong = [name for name, (a, b) in pairs.items() if not np.allclose(a, b.numpy(), rtol=EXACT, atol=EXACT)]
    x = sequence(*resolve(potentials), 0)
    xq, tables = quantised(x)
    e = quantised_emissions(x, 0, len(x.emissions))
    score, segments = naive_viterbi(xq._replace(emissions=np.where(np.isneginf(x.emissions), -np.inf, e)), tables)
    best = viterbi(potentials)
    if float(best.score) != score * UNIT or torch.stack(best.segments[1:], 1).tolist() != [list(s) for s in segments]:
        wrong.append("viterbi")
    return wrong


def faults_of_chunks(potentials: Potentials) -> list[str]:
    """Where seven chunks differ from one."""
    wrong = []
    whole, parts = (viterbi(potentials, chunks=n, warm_up=100) for n in (1, 7))
    if whole.score != parts.score or any(
        not torch.equal(a, b) for a, b in zip(whole.segments, parts.segments, strict=True)
    ):
        wrong.append("viterbi in chunks")
    one, seven = (marginals(potentials, chunks=n, warm_up=100) for n in (1, 7))
    return wrong + [
        f"{name} in chunks"
        for name in ("start", "end", "position")
        if not torch.allclose(getattr(one, name), getattr(seven, name), rtol=0, atol=CHUNKED)
    ]


def red_there() -> list[str]:
    """What is wrong on the GPU, by name, against the CPU; falling back to the CPU is wrong too."""
    wrong = []
    with on_kernels():
        for name, potentials, chunks in cases_there():
            try:
                wrong += [f"{name}: {fault}" for fault in faults_there(potentials, chunks)]
            except Exception as error:
                wrong.append(f"{name}: {type(error).__name__}: {error}".splitlines()[0])
    return wrong


@contextmanager
def on_kernels() -> Iterator[None]:
    """However small the work: nothing goes to the CPU because it is quicker there, and nothing is played."""
    choice, played = devices.quicker_here, devices.played
    devices.quicker_here = lambda *given: False
    devices.played = lambda *given: None
    try:
        yield
    finally:
        devices.quicker_here, devices.played = choice, played


def cases_there() -> Iterator[tuple[str, Potentials, int | None]]:
    """Names, models and numbers of chunks."""
    for name, potentials in list(grid())[::THERE]:
        if not potentials.transitions_by_duration:
            yield name, potentials, None
    long = informative(20_000, 3, 30, seed=1)
    yield "informative", long, None
    yield "informative in chunks", long, 7
    yield "frame grammar in chunks", frame_grammar(random_genome(20_000, seed=1), kinds=True), 3


def faults_there(potentials: Potentials, chunks: int | None) -> list[str]:
    """Where the GPU differs from the CPU."""
    there = moved(potentials, "cuda")
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*computed on the CPU")
        best = moved(viterbi(there, chunks=chunks), "cpu")
        found = moved(marginals(there, want=WANT, chunks=chunks), "cpu")
    wanted, same = viterbi(potentials), marginals(potentials, want=WANT)
    wrong = []
    if best.score != wanted.score or not all(map(torch.equal, best.segments, wanted.segments)):
        wrong.append("viterbi")
    off = abs(float(found.log_partition - same.log_partition))
    if not off <= rounding(len(potentials.emissions)):
        wrong.append(f"log partition off by {off:.2g}")
    for name in WANT:
        a, b = getattr(found, name).double(), getattr(same, name).double()
        off = float(((a - b).abs() / (1 + b.abs())).max())  # counts may be large
        if not off <= CHUNKED:
            wrong.append(f"{name} off by {off:.2g}")
    return wrong
