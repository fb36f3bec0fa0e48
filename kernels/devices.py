"""Where an operation runs: on the device of its tensors where there are kernels for it, else on the CPU with a word."""

import warnings
from collections.abc import Callable, Sequence
from functools import cache, wraps
from importlib.util import find_spec
from types import ModuleType
from typing import Any, NamedTuple, ParamSpec, TypeVar

import torch
from torch import Tensor

from .checks import check_types
from .cpu.threads import pool
from .errors import OutOfMemoryError
from .potentials import Potentials

P = ParamSpec("P")
R = TypeVar("R")
OLDEST = (8, 0)  # compute capability that Triton's code is made for
SMALL = 1 << 18  # bytes of a tensor that does not travel alone
SMALLER = 4  # a plan that did not fit is followed by one for this part of its memory
ATTEMPTS = 4


def moved(x: Any, device: torch.device | str) -> Any:
    """Return a tensor, or a record, tuple, list or dict of tensors, on a device; gradients come back the same way.

    Small tensors travel together: a copy of its own takes each of them longer than the bytes do.
    """
    device = torch.device(device)
    if device.type == "cuda" and device.index is None:  # or what is there already would be copied
        device = torch.device("cuda", torch.cuda.current_device())
    apart: dict[Any, list[Tensor]] = {}
    here: list[Tensor] = []
    each_tensor(x, here.append)
    for t in here:
        if t.device != device:
            alone = id(t) if t.numel() * t.element_size() > SMALL else None
            apart.setdefault((t.device, alone), []).append(t)
    there: dict[int, Tensor] = {}
    for parts in apart.values():
        learns = torch.is_grad_enabled() and any(t.requires_grad for t in parts)
        sent = Journey.apply(device, *parts) if learns else _sent(parts, device)
        there.update((id(old), new) for old, new in zip(parts, sent, strict=True))
    return each_tensor(x, lambda t: there.get(id(t), t))


class Journey(torch.autograd.Function):
    """Tensors on another device: one step of a backward pass, where cutting and joining them would be many."""

    @staticmethod
    def forward(ctx: Any, device: torch.device, *parts: Tensor) -> tuple[Tensor, ...]:
        ctx.origin = parts[0].device
        sent = _sent(parts, device)
        ctx.mark_non_differentiable(*(new for old, new in zip(parts, sent, strict=True) if not old.requires_grad))
        ctx.set_materialize_grads(False)
        return tuple(sent)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> Any:
        return (None, *moved(grads, ctx.origin))


def each_tensor(x: Any, change: Callable[[Tensor], Any]) -> Any:
    """Return a record, tuple, list or dict with what `change` makes of every tensor."""
    if isinstance(x, Tensor):
        return change(x)
    if isinstance(x, dict):
        return {key: each_tensor(value, change) for key, value in x.items()}
    if isinstance(x, tuple | list):
        parts = [each_tensor(part, change) for part in x]
        return type(x)(*parts) if hasattr(x, "_fields") else type(x)(parts)
    return x


def _sent(parts: Sequence[Tensor], device: torch.device) -> list[Tensor]:
    """Return tensors of one place on another device, in one copy of their bytes."""
    at_once = device.type != "cpu"  # to a GPU nothing need wait: memory of the CPU is copied at once
    if len(parts) == 1:
        return [parts[0].to(device, non_blocking=at_once)]
    # large elements first: then all begin at a multiple of their size
    order = sorted(range(len(parts)), key=lambda i: -parts[i].element_size())
    each = [parts[i].reshape(-1).view(torch.uint8) for i in order]
    pieces = torch.cat(each).to(device, non_blocking=at_once).split([x.numel() for x in each])
    out = list(parts)
    for i, piece in zip(order, pieces, strict=True):
        out[i] = piece.view(parts[i].dtype).view(parts[i].shape)
    return out


@cache
def say_once(message: str) -> None:
    """Warn, the first time only."""
    warnings.warn(f"semiseg: {message}, computed on the CPU", stacklevel=4)


@cache
def obstacle(device: torch.device) -> str | None:
    """Return why kernels cannot run on a device; None: they can."""
    if find_spec("triton") is None:
        return "Triton is not installed"
    capability = torch.cuda.get_device_capability(device)
    if capability < OLDEST:
        return f"{torch.cuda.get_device_name(device)} is older than compute capability 8.0"
    return None


def backend(device: torch.device) -> ModuleType:
    """Return the batch operations of a device."""
    if device.type == "cpu":
        from .cpu import batch
    else:
        from .gpu import batch  # type: ignore[no-redef]
    return batch


def start(device: torch.device) -> None:
    """Start a device and load its kernels, beside other work: it takes a second; what fails fails where it is used."""
    if device.type != "cpu":
        pool(1, "start").submit(lambda: obstacle(device) or (torch.zeros(1, device=device), backend(device)))


def on_cpu(operation: Callable[P, R]) -> Callable[P, R]:
    """Return an operation without kernels of its own on `Potentials` of any device; what comes back is there too."""
    return _either(operation, lambda device: f"no kernels for {operation.__name__} on {device.type}")


def on_device(operation: Callable[P, R]) -> Callable[P, R]:
    """Return an operation that runs where its `Potentials` are, unless kernels cannot run there or take longer."""
    return _either(operation, obstacle)


class Cost(NamedTuple):
    """Milliseconds of an operation: what it takes at all, and what every position, label and pair add."""

    start: float
    position: float = 0.0  # of the longest item, up to ALONE: longer ones are cut
    label: float = 0.0  # and position
    pair: float = 0.0  # of a label and a duration, and position


ALONE = 10_000
# on one H200 and on one thread of its host (tests/bench/gpu_small.py); a GPU goes position by position, however few
BOTH = Cost(3.7, position=1e-3), Cost(2.6, label=2.8e-4, pair=1.6e-6)  # there and here: two passes
COSTS = {
    "viterbi": (Cost(2.5, position=0.9e-3), Cost(1.2, label=5e-5, pair=0.7e-6)),
    # gradients travel too
    "log_partition": (Cost(3.0, position=1e-3), Cost(3.3, label=2.8e-4, pair=1.6e-6)),
}
# there, once the same has come so often that it is recorded (see `gpu/steps.py`)
PLAYED = {"viterbi": Cost(0.5, position=0.6e-3), "log_partition": Cost(1.2, position=1e-3)}


def played(operation: str, p: Potentials, patient: bool) -> Any:
    """Return what a recording of an operation gives, None where there is none, or a CPU is done before it."""
    if operation not in PLAYED or quicker_here(operation, p, PLAYED[operation]):
        return None
    from .gpu.steps import play

    return play(operation, p, patient)


def quicker_here(operation: str, p: Potentials, there: Cost | None = None) -> bool:
    """Return whether so little is to be done that a CPU is done before a GPU."""
    if p.emissions.ndim < 2 or p.emissions.numel() == 0:  # the check at the door has a word for it
        return False
    T, C = p.emissions.shape[-2:]
    labels = p.emissions.numel() // C * (C * C if p.transitions_by_duration else C)
    usual, here = COSTS.get(operation, BOTH)
    there = there or usual
    on_gpu = there.start + there.position * min(T, ALONE)
    return here.start + labels * (here.label + here.pair * len(p.durations)) < on_gpu


def _either(operation: Callable[P, R], reason: Callable[[torch.device], str | None]) -> Callable[P, R]:
    @wraps(operation)
    def run(*arguments: P.args, **options: P.kwargs) -> R:
        models = [x for x in (*arguments, *options.values()) if isinstance(x, Potentials)]
        device = getattr(models[0].emissions, "device", None) if models else None
        if device is None or device.type == "cpu":  # what is no model, the operation has a word for
            return operation(*arguments, **options)
        for model in models:
            check_types(model)
        why = reason(device)
        here = quicker_here(operation.__name__, models[0])
        if why is None:
            try:
                found = None if options or len(arguments) > 1 else played(operation.__name__, models[0], here)
                if found is not None:
                    return found
                if not here:
                    return operation(*arguments, **options)
            except Exception as error:
                if not _compiler_failed(error):
                    raise
                why = f"Triton failed to compile ({type(error).__name__})"
        if why is not None:
            say_once(why)
        return moved(operation(*moved(arguments, "cpu"), **moved(options, "cpu")), device)

    return run


def _compiler_failed(error: BaseException | None) -> bool:
    """Return whether an error came out of Triton's compiler, assembler or its search for a C compiler."""
    while error is not None:
        if any(t.__module__.startswith("triton.") for t in type(error).__mro__) or "C compiler" in str(error):
            return True
        error = error.__cause__
    return False


def within_memory(operation: Callable[P, R]) -> Callable[P, R]:
    """Return a batch operation that tries smaller plans where memory does not suffice.

    Its keyword `memory` is the number of bytes that a plan may hold, None: what is free.
    """

    @wraps(operation)
    def run(*arguments: P.args, **options: P.kwargs) -> R:
        memory: Any = options.pop("memory", None)
        for attempt in range(ATTEMPTS):
            try:
                return operation(*arguments, memory=memory, **options)
            except torch.OutOfMemoryError as error:
                wanted = ". ".join(str(error).split(". ")[:2])  # what happened, and how much was asked for
                if attempt == ATTEMPTS - 1:
                    raise OutOfMemoryError(wanted) from None
            torch.cuda.empty_cache()
            memory = (torch.cuda.mem_get_info()[0] if memory is None else memory) // SMALLER
        raise AssertionError("unreachable")

    return run
