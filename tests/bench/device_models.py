"""Models with long inputs, made where they are used: copying them to the device would take longer than the work."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from semiseg.bench.genes import random_genome
from semiseg.bench.models import frame_grammar, informative
from semiseg.kernels import Potentials, log_partition
from semiseg.kernels.devices import moved

GENOME = 1_999_998  # a multiple of 3: frames go on where copies meet
TRAINED = ("emissions", "durations", "transitions", "tail")


def informative_there(T: int, C: int, K: int, B: int | None = None, seed: int = 0, device: str = "cuda") -> Potentials:
    """`models.informative` with its input drawn on the device; B sequences, or one without a batch axis."""
    g = torch.Generator(device).manual_seed(seed)
    n = T * (B or 1)
    lengths = torch.randint(1, 101, (n // 50 + 100,), device=device, generator=g)
    labels = torch.randint(C, (len(lengths),), device=device, generator=g).repeat_interleave(lengths)[:n]
    labels = torch.nn.functional.pad(labels, (0, n - len(labels)))
    emissions = torch.randn(n, C, device=device, generator=g).mul_(0.5)
    emissions.scatter_add_(1, labels[:, None], emissions.new_full((n, 1), 0.75))
    emissions -= emissions.amax(1, keepdim=True)
    laws = moved(informative(100, C, K, seed=1), device)
    return laws._replace(emissions=emissions if B is None else emissions.view(B, T, C))


def frame_grammar_there(copies: int, genome: int = GENOME, device: str = "cuda") -> Potentials:
    """`models.frame_grammar` with 37 labels over copies of one random genome, one behind the other."""
    block = moved(frame_grammar(random_genome(genome, seed=1), kinds=True), device)
    (sites,) = block.boundaries
    scores = torch.cat([sites.scores[:-1].repeat(copies, 1), sites.scores[-1:]])
    return block._replace(emissions=block.emissions.repeat(copies, 1), boundaries=(sites._replace(scores=scores),))


def training_step(potentials: Potentials, **options: Any) -> Callable[[], tuple[Tensor, list[Tensor]]]:
    """What a training step asks for: log partitions, and their gradients for all that is trained."""
    leaves = {
        name: x.detach().clone().requires_grad_() for name in TRAINED if (x := getattr(potentials, name)) is not None
    }
    potentials = potentials._replace(**leaves)

    def step() -> tuple[Tensor, list[Tensor]]:
        z = log_partition(potentials, **options)
        z.sum().backward()
        gradients = [x.grad for x in leaves.values()]
        for x in leaves.values():
            x.grad = None
        return z.detach(), gradients

    return step
