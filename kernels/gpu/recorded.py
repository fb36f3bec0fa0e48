"""What a small operation asks of a GPU, recorded and played again: asking for it takes longer than doing it.

A training step on a few short sequences asks for more than a hundred operations. When work of a kind has been asked
for a few times it is recorded as a CUDA graph; from then on the input is copied to where the recording reads it, the
recording is played, and what it leaves is copied. What is played are the same kernels on the same numbers: the bits
are the same too. What the work took for granted about its input it checks itself, and says so with what it leaves.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..lasting import read

FEW = 8  # kinds of work that are remembered
MANY = 64  # of which it is remembered how often they were recorded
FAILURES = 2  # times that a kind may turn out to be of two kinds: then it is not recorded any more

Outputs = tuple[Tensor | None, ...]
Work = Callable[..., Outputs]  # of the inputs; asks for nothing but what runs on the device
Record = Callable[[Callable[[], Outputs]], tuple[Callable[[], Any], Outputs]]  # how to play it, and what it leaves


class Recording:
    """Work that reads and writes memory of its own."""

    def __init__(self, inputs: tuple[Tensor, ...], work: Work, record: Record):
        """Record work on inputs like these; where gradients of them are asked for, `work` may ask too."""
        self.inputs = tuple(x.detach().clone().requires_grad_(x.requires_grad) for x in inputs)
        with read() as self.held:  # what it reads besides
            self.play, self.outputs = record(lambda: work(*self.inputs))

    def __call__(self, inputs: tuple[Tensor, ...]) -> Outputs:
        """Return what the work makes of other inputs: memory of the recording's own, until it is played again."""
        with torch.no_grad():
            for mine, given in zip(self.inputs, inputs, strict=True):
                mine.copy_(given)
        self.play()
        return self.outputs


@dataclass
class Kind:
    """What is known of one kind of work."""

    times: int = 0  # that it was asked for since it was recorded last
    failures: int = 0  # that a recording was not for the numbers that came
    forbidden: tuple[bool, bool] = (False, False)  # whether any of its emissions was -inf, any boundary score
    before: int = 0  # times that it was recorded, and forgotten for others
    step: Any = None  # its recordings


class Kinds:
    """The kinds of work that were asked for lately."""

    def __init__(self, record: Record):
        self.record = record
        self.known: OrderedDict[Hashable, Kind] = OrderedDict()
        self.made: OrderedDict[Hashable, int] = OrderedDict()  # how often kinds were recorded
        self.lock = threading.Lock()

    def find(self, name: Hashable) -> Kind:
        """Return what is known of a kind, which is the latest now."""
        kind = self.known.pop(name, None) or Kind(before=self.made.get(name, 0))
        self.known[name] = kind
        if len(self.known) > FEW:
            self.known.popitem(last=False)
        return kind

    def noted(self, name: Hashable) -> None:
        """Remember that a kind is recorded: where too many take turns, each must come twice as often the next time."""
        self.made[name] = self.made.pop(name, 0) + 1
        if len(self.made) > MANY:
            self.made.popitem(last=False)


def graph(work: Callable[[], Outputs]) -> tuple[Callable[[], Any], Outputs]:
    """Record work as a CUDA graph."""
    here, side = torch.cuda.current_stream(), torch.cuda.Stream()
    side.wait_stream(here)
    try:
        with torch.cuda.stream(side):
            work()  # whatever is compiled, loaded or sent the first time is not part of it
        here.wait_stream(side)
        recorded = torch.cuda.CUDAGraph()
        with torch.cuda.graph(recorded, stream=side, capture_error_mode="thread_local"):
            outputs = work()
    finally:
        torch.cuda.set_stream(here)  # a recording that failed leaves the other one behind
        here.wait_stream(side)
    return recorded.replay, outputs


KINDS = Kinds(graph)


def copied(outputs: Outputs) -> Outputs:
    """Return what a recording left, in memory of its own."""
    return tuple(None if x is None else x.clone() for x in outputs)
