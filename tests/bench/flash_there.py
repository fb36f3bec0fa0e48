"""flash-semicrf's forward and backward on the GPU, compiled beforehand, on the scores of our models."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec

import torch
from torch import Tensor
from torch.nn.functional import pad

from semiseg.bench.device import clocked
from semiseg.bench.device_models import informative_there
from semiseg.bench.measure import installed, summarise
from semiseg.bench.record import Row
from semiseg.kernels import Potentials, log_partition
from semiseg.kernels.devices import moved

AGREE = 1e-4  # relative


def available() -> bool:
    """Whether the library is there; says so where it is not."""
    if find_spec("flash_semicrf") is None:
        print("flash-semicrf is not installed: skipped", file=sys.stderr)
        return False
    return True


def once(potentials: Potentials) -> Row:
    """Timing of one run, and by how much its log partitions differ from ours on the CPU."""
    step = training_step(potentials)
    compiled = True
    try:
        with compiling_only():
            step()
    except Exception as error:  # what it computes from results that nobody wrote may not please it
        print(f"flash-semicrf compiles while it is timed: {type(error).__name__}: {error}", file=sys.stderr)
        compiled = False
    seconds, z = clocked(step)
    off = float(((z.cpu().double() - on_cpu(potentials)) / on_cpu(potentials)).abs().max())
    return {
        **summarise([seconds])._asdict(),
        "runs": 1,
        "compiled_before": compiled,
        "off": off,
        "version": installed("flash-semicrf"),
    }


def check() -> None:
    """Raise unless it gives what we give, on a small model."""
    potentials = informative_there(60, 4, 8, 2)
    torch.testing.assert_close(training_step(potentials)().cpu().double(), on_cpu(potentials), rtol=AGREE, atol=0)


def training_step(p: Potentials) -> Callable[[], Tensor]:
    """Log partitions of the model without its tails, which it does not have, differentiated for all the rest."""
    from flash_semicrf.streaming import semi_crf_streaming_forward

    B, T, _ = p.emissions.shape
    K = len(p.durations) - 1
    leaves = [x.detach().float().clone().requires_grad_() for x in (p.emissions, p.transitions, p.durations[1:])]
    lengths = torch.full((B,), T, device=p.emissions.device)

    def step() -> Tensor:
        e, A, D = leaves
        z = semi_crf_streaming_forward(pad(e.cumsum(1), (0, 0, 1, 0)), A, D, lengths, K)
        z.sum().backward()
        for x in leaves:
            x.grad = None
        return z.detach()

    return step


def on_cpu(p: Potentials) -> Tensor:
    """Our log partitions of the same model."""
    p = moved(p._replace(tail=None), "cpu")
    return log_partition(p._replace(first=p.transitions.logsumexp(0)))


@contextmanager
def compiling_only() -> Iterator[None]:
    """Triton compiles and launches nothing: T, K and C are constants of these kernels, no other shape warms them up."""
    from triton.runtime import JITFunction

    run = JITFunction.run

    def compiled(self, *arguments, grid, warmup, **options):
        return run(self, *arguments, grid=grid, warmup=True, **options)

    JITFunction.run = compiled
    try:
        yield
    finally:
        JITFunction.run = run
