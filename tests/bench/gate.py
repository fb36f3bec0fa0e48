"""Correctness first: a speed figure of wrong answers is worth nothing."""

import numpy as np
import torch
from cases import grid
from models import informative
from tolerances import CHUNKED, EXACT

from semiseg.kernels import Potentials, log_partition, marginals, viterbi
from semiseg.kernels.fixed import UNIT, quantised, quantised_emissions
from semiseg.kernels.naive import naive_marginals, naive_viterbi
from semiseg.kernels.resolve import resolve, sequence

EVERY = 7  # of the grid


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
