"""What a small batch asks of a GPU, recorded and played again: asking for it takes longer than doing it.

A training step on a few short sequences asks for a hundred operations. When the same ones have been asked for a few
times, by batches of the same shape and grammar, they are recorded as a CUDA graph; from then on the input is copied
to where the recording reads it, the recording is played, and what it leaves is copied. What is played are the same
kernels on the same numbers: the bits are the same too.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .inputs import Given
from .lasting import read

OFTEN = 3  # times that the same is asked for before it is recorded
FEW = 8  # kinds of batches that are remembered
LIGHT = 1 << 26  # bytes that a plan may hold: a recording holds them as long as it is there

Outputs = tuple[Tensor | None, ...]
Work = Callable[..., Outputs]  # of the inputs; asks for nothing but what runs on the device
Record = Callable[[Callable[[], Outputs]], tuple[Callable[[], Any], Outputs]]  # how to play it, and what it leaves


class Recording(NamedTuple):
    """Work that reads and writes memory of its own."""

    inputs: tuple[Tensor, ...]
    outputs: Outputs
    play: Callable[[], Any]
    held: list[Any]  # what it reads besides

    def __call__(self, inputs: tuple[Tensor, ...]) -> Outputs:
        """Return what the work makes of other inputs."""
        for mine, given in zip(self.inputs, inputs, strict=True):
            mine.copy_(given)
        self.play()
        return tuple(None if x is None else x.clone() for x in self.outputs)


class Recordings:
    """The kinds of work that were asked for lately: how often, and the recordings of those that come again."""

    def __init__(self, record: Record):
        self.record = record
        self.known: OrderedDict[Hashable, int | Recording] = OrderedDict()
        self.lock = threading.Lock()

    def run(self, kind: Hashable, inputs: tuple[Tensor, ...], tables: tuple[Tensor, ...], work: Work) -> Outputs:
        """Return `work(*inputs)`, which also reads `tables`, made for it alone.

        Work of the same kind must differ in nothing but the numbers in the two.
        """
        with self.lock:
            known = self.known.pop(kind, 0)
            if isinstance(known, int):
                known += 1
                if known == OFTEN:
                    known = self._recorded(inputs, tables, work) or known
            self.known[kind] = known
            if len(self.known) > FEW:
                self.known.popitem(last=False)
            if isinstance(known, Recording):
                return known(inputs + tables)
        return work(*inputs)

    def _recorded(self, inputs: tuple[Tensor, ...], tables: tuple[Tensor, ...], work: Work) -> Recording | None:
        own = tuple(x.clone() for x in inputs)
        try:
            with read() as seen:
                play, outputs = self.record(lambda: work(*own))
        except RuntimeError:  # of memory, say: all goes on as before
            return None
        return Recording(own + tables, outputs, play, seen)


def graph(work: Callable[[], Outputs]) -> tuple[Callable[[], Any], Outputs]:
    """Record work as a CUDA graph."""
    here, side = torch.cuda.current_stream(), torch.cuda.Stream()
    side.wait_stream(here)
    with torch.cuda.stream(side):
        work()  # whatever is compiled, loaded or sent the first time is not part of it
    here.wait_stream(side)
    recorded = torch.cuda.CUDAGraph()
    with torch.cuda.graph(recorded, stream=side, capture_error_mode="thread_local"):
        outputs = work()
    return recorded.replay, outputs


RECORDINGS = Recordings(graph)


def worth_it(given: Given) -> bool:
    """Return whether a batch may be recorded."""
    return given.batch.device.type == "cuda" and light(given) and not torch.is_inference_mode_enabled()


def light(given: Given) -> bool:
    """Return whether a batch is small, and in one piece between exact ends: the host need not look at seams."""
    plan, layout = given.plan, given.batch.layout
    whole = max(plan.parts) == plan.waves == 1 and (layout.left, layout.right) == ("exact", "exact")
    return whole and plan.bytes <= LIGHT


def kind_of(given: Given) -> Hashable:
    """Return all that work on a batch depends on but the numbers in its input and tables."""
    batch, m, x = given.batch, given.batch.model, given.batch.layout
    # nothing runs ahead of a piece that is the whole; with tails that are learnt, how far it would differs at each step
    plan = given.plan._replace(warm_up=0, bytes=0)
    arrays = x.longest, x.period, x.types, x.columns, x.lengths, np.isneginf(batch.x.tail), *m.arcs
    tensors = *m, *m.items, batch.emissions, batch.scores, *batch.ends
    stream = torch.cuda.current_stream(batch.device).cuda_stream if batch.device.type == "cuda" else 0
    return (
        plan, m.sizes, m.items.reach, m.fixed, batch.forbidden, batch.sparse, x.left, x.right, x.origin, batch.device,
        stream, batch.x.durations.shape,
        tuple(a.tobytes() for a in arrays),
        tuple((t.shape, t.dtype) for t in tensors if isinstance(t, Tensor)),
    )  # fmt: skip


def tables_of(given: Given) -> tuple[Tensor, ...]:
    """Return the buffers in which the small tables of a batch were sent."""
    return buffer(given.batch.limits), buffer(given.batch.model.law)


def buffer(x: Tensor) -> Tensor:
    """Return all bytes of what a tensor is a part of."""
    return torch.empty(0, dtype=torch.uint8, device=x.device).set_(x.untyped_storage())
