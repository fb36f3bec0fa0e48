"""Tensors of other devices make the way to the CPU and back, gradients included, until there are kernels for them."""

import warnings
from collections.abc import Callable
from functools import cache, wraps
from typing import Any, ParamSpec, TypeVar

import torch

from .checks import check_types
from .potentials import Potentials

P = ParamSpec("P")
R = TypeVar("R")


def moved(x: Any, device: torch.device | str) -> Any:
    """Return a tensor, or a record, tuple, list or dict of tensors, on a device."""
    if isinstance(x, torch.Tensor):
        return x.to(device)
    if isinstance(x, dict):
        return {key: moved(value, device) for key, value in x.items()}
    if isinstance(x, tuple | list):
        parts = [moved(part, device) for part in x]
        return type(x)(*parts) if hasattr(x, "_fields") else type(x)(parts)
    return x


@cache
def say_once(device: str) -> None:
    """Warn that a device is not made use of."""
    message = f"semiseg: no kernels for {device} tensors in this version, they are computed on the CPU"
    warnings.warn(message, stacklevel=4)


def on_cpu(operation: Callable[P, R]) -> Callable[P, R]:
    """Return an operation on `Potentials` of any device; what comes back is where the first of them was."""

    @wraps(operation)
    def run(*arguments: P.args, **options: P.kwargs) -> R:
        models = [x for x in (*arguments, *options.values()) if isinstance(x, Potentials)]
        for model in models:
            check_types(model)
        if not models or models[0].emissions.device.type == "cpu":
            return operation(*arguments, **options)
        device = models[0].emissions.device
        say_once(device.type)
        return moved(operation(*moved(arguments, "cpu"), **moved(options, "cpu")), device)

    return run
