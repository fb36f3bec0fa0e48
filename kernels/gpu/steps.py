"""Whole operations on small batches, from the user's tensors to the answer, recorded when they come again.

Where a recording is not for the numbers that come, the operation goes its usual way: it has the word for it.
"""

import threading
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from ..potentials import Potentials
from ..resolve import Gradients, Leaves, resolve, weigh
from ..results import Report, Segments, Viterbi
from .batch import gradients_of
from .chunks import Chunks
from .inputs import Given, fixed_batch, log_batch
from .recorded import FAILURES, KINDS, Kind, Outputs, Recording, copied
from .seen import HOW, Seen, holds, integers_there, kind_of, scores_of, see, with_scores
from .smoother import Smoother
from .tiles import FLOOR
from .trace import LOST, padded_segments, walk
from .viterbi import close, left_behind, trace_model

OFTEN = 3  # times that the same is asked for before it is recorded
VERY_OFTEN = 20  # the same, where a CPU does it meanwhile: then its kernels are still to be compiled


def play(operation: str, p: Potentials, patient: bool) -> Any:
    """Return what an operation gives, from a recording; None: there is none, or it is not for these numbers.

    `patient`: it is recorded only when it is asked for very often.
    """
    if torch.is_inference_mode_enabled() or p.transitions_by_duration or elsewhere(p.emissions.device) or hooked():
        return None
    with KINDS.lock:
        name = kind_of(operation, p)
        kind = KINDS.find(name)
        if kind.step is None:
            kind.times += 1
            if kind.failures > FAILURES or kind.times < (VERY_OFTEN if patient else OFTEN) << kind.before:
                return None
            KINDS.noted(name)
            kind.step = recorded(STEPS[operation], p, kind)
            if kind.step is None:
                return None
        found = kind.step(p)
        if found is None:
            kind.step, kind.times, kind.failures = None, 0, kind.failures + 1
        return found


def elsewhere(device: torch.device) -> bool:
    """Return whether a device is not the one that is recorded from."""
    return device.type == "cuda" and device.index != torch.cuda.current_device()


def hooked() -> bool:
    """Return whether somebody watches what is saved for gradients: to do it again, they must find the same."""
    top = getattr(torch._C._autograd, "_top_saved_tensors_default_hooks", None)
    return top is not None and top(True) is not None


def recorded(step: type["Step"], p: Potentials, kind: Kind) -> "Step | None":
    """Return a step for a kind of potentials, None where none can be recorded."""
    seen = see(p, step.ways, kind.forbidden)
    if seen is not None:
        kind.forbidden = seen.forbidden
        try:
            return step(p, seen)
        except RuntimeError:  # of memory, say, or of what others ask of the device: all goes on as before
            pass
    kind.failures = FAILURES + 1
    return None


class Step:
    """An operation on potentials of one kind."""

    ways: int

    def __init__(self, p: Potentials, seen: Seen):
        self.seen = seen
        self.recording = Recording(self.inputs(p), self.work, KINDS.record)

    def inputs(self, p: Potentials) -> tuple[Tensor, ...]:
        """Return all tensors that are others at each step."""
        return *scores_of(p), *integers_there(p)

    def leaves(self, inputs: tuple[Tensor, ...]) -> tuple[Leaves, Tensor]:
        """Return what recursions read, and whether the recording is for it; what learns is part of a graph."""
        n = len(inputs) - len(self.seen.integers)
        p = with_scores(self.seen.p, inputs[:n])
        leaves, _ = resolve(p, True, self.seen.reach)
        with torch.no_grad():
            return leaves, holds(self.seen, p, leaves, inputs[n:])

    def work(self, *inputs: Tensor) -> Outputs:
        """Ask for all of it; nothing waits for the device."""
        raise NotImplementedError


class Decoding(Step):
    """The best segmentations."""

    ways = 1

    def inputs(self, p: Potentials) -> tuple[Tensor, ...]:
        return tuple(x.detach() for x in super().inputs(p))

    def work(self, *inputs: Tensor) -> Outputs:
        """Return (whether it holds, how many segments), scores, and the segments' fields side by side."""
        leaves, ok = self.leaves(inputs)
        s = self.seen
        batch = fixed_batch(leaves, s.layout, s.x, s.frame, s.forbidden, s.narrow)
        chunks = Chunks(batch, s.plan, 1)
        chunks.settle()
        constants = chunks.constants(0)
        model = trace_model(batch, [])
        closed = close(chunks, constants, model)
        walked = walk(model, left_behind(chunks, constants), closed.cursors, s.layout.origin)
        ok &= (closed.best > FLOOR).all() & (walked.passed_on[:, 0] != LOST).all()
        count, fields = padded_segments(walked.label_at, batch.limits)
        return torch.stack([ok.long(), count]), closed.scores, fields

    def __call__(self, p: Potentials) -> Viterbi | None:
        """Return the best segmentations, None where the recording is not for these numbers."""
        facts, scores, fields = self.recording(self.inputs(p))
        assert facts is not None
        assert scores is not None
        assert fields is not None
        ok, n = facts.tolist()
        if not ok:
            return None
        segments = Segments(*fields[:, :n].clone())
        scores = scores.clone()
        report = Report(len(scores), 0, 0, 0.0, 0.0, 0.0)
        return Viterbi(scores if self.seen.layout.batched else scores[0], segments, report)


class Training(Step):
    """Log partitions and, where anything learns, their gradients."""

    ways = 2

    def __init__(self, p: Potentials, seen: Seen):
        super().__init__(p, seen)
        self.back: Recording | None = None
        # of its own: a gradient's thread must not wait for one that records, which waits for it
        self.lock = threading.Lock()
        _, z, *items = self.recording.outputs
        self.wanted = [x is not None for x in items]
        if any(self.wanted):
            assert z is not None
            some = tuple(x for x in items if x is not None)
            self.back = Recording((torch.ones_like(z), *some), self.weighed, KINDS.record)

    def inputs(self, p: Potentials) -> tuple[Tensor, ...]:
        found = super().inputs(p)
        return found if torch.is_grad_enabled() else tuple(x.detach() for x in found)

    def work(self, *inputs: Tensor) -> Outputs:
        """Return whether it holds, log partitions, and the items' gradients."""
        self.learnt, ok = self.leaves(inputs)
        self.learners = [x for x in inputs if x.requires_grad]
        s = self.seen
        with torch.no_grad():
            case = Given(self.learnt, s.plan, log_batch(self.learnt, s.layout, s.x, s.frame, s.forbidden))
            needs = tuple(x.requires_grad for x in self.learnt)
            if not any(needs):
                smoother = Smoother(case, HOW)
                return ok & smoother.alive.all(), smoother.log_partition
            z, alive, *items = gradients_of(case, HOW, needs)
            assert alive is not None
            return ok & alive.all(), z, *items

    def weighed(self, weight: Tensor, *some: Tensor) -> Outputs:
        """Return the gradients of all that learns, from those of the items and their weights."""
        given = iter(some)
        items = Gradients(*(next(given) if wanted else None for wanted in self.wanted))
        found = zip(self.learnt, weigh(items, weight, self.learnt), strict=True)
        leaves, gradients = zip(*((x, g) for x, g in found if x.requires_grad and g is not None), strict=True)
        return torch.autograd.grad(leaves, self.learners, gradients, retain_graph=True, allow_unused=True)

    def __call__(self, p: Potentials) -> Tensor | None:
        """Return log partitions, None where the recording is not for these numbers."""
        ok, *found = self.recording(self.inputs(p))
        assert ok is not None
        if not bool(ok):
            return None
        z, *items = copied(tuple(found))
        assert z is not None
        z = z if self.seen.layout.batched else z[0].clone()
        return z if self.back is None else Played.apply(self, (z, items), *scores_of(p))

    def backward(self, weight: Tensor, items: list[Tensor | None]) -> list[Tensor | None]:
        """Return the gradients of scores, in their order."""
        assert self.back is not None
        with self.lock:
            learnt = copied(self.back((weight.reshape(-1), *(x for x in items if x is not None))))
        return by_scores(learnt, self.recording.inputs[: len(self.recording.inputs) - len(self.seen.integers)])


def by_scores(learnt: Iterable[Tensor | None], scores: Iterable[Tensor]) -> list[Tensor | None]:
    """Return the gradients of those scores that learn, with None for the others."""
    given = iter(learnt)
    return [next(given) if x.requires_grad else None for x in scores]


class Played(torch.autograd.Function):
    """What a recording gave, with a recording for the way back."""

    @staticmethod
    def forward(ctx: Any, step: Training, found: tuple[Tensor, list[Tensor | None]], *scores: Tensor) -> Tensor:
        ctx.step, (z, ctx.items) = step, found
        ctx.save_for_backward(*scores)
        return z

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        saved = ctx.saved_tensors  # raises where they have changed since, or are gone
        if not torch.is_grad_enabled():
            return None, None, *ctx.step.backward(grads[0], ctx.items)
        from ..autograd import log_partition_of  # create_graph: the gradient must itself be differentiable

        scores = [x.view_as(x) for x in saved]  # each by itself, where one was made of another
        z = log_partition_of(with_scores(ctx.step.seen.p, scores), HOW)
        learners = [x for x in scores if x.requires_grad]
        learnt = torch.autograd.grad(z, learners, grads[0], create_graph=True, allow_unused=True)
        return None, None, *by_scores(learnt, scores)


STEPS: dict[str, type[Step]] = {"viterbi": Decoding, "log_partition": Training}
