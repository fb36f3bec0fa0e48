"""log Z as a torch function: its backward is the posteriors, and their backward a complex-step Hessian product."""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

from .cpu import batch
from .devices import backend, moved, on_device, say_once
from .expansion import expand
from .potentials import Potentials
from .resolve import Layout, Leaves, resolve, weigh

P = ParamSpec("P")
R = TypeVar("R")
STEP = 1e-30  # of the complex step: products of two imaginary parts vanish, nothing cancels


class LogPartition(torch.autograd.Function):
    """(B,) log partitions of the leaves."""

    @staticmethod
    def forward(ctx: Any, layout: Layout, options: batch.Options, *leaves: Tensor) -> Tensor:
        needs = tuple(x.requires_grad for x in leaves)
        ctx.layout, ctx.options = layout, options
        ctx.save_for_backward(*leaves)
        ctx.gradients = None
        kernels = backend(leaves[0].device)
        if not any(needs):
            return kernels.log_partitions(Leaves(*leaves), layout, options)
        z, ctx.gradients = kernels.gradients(Leaves(*leaves), layout, options, needs)
        return z

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        leaves = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph: the gradient must itself be differentiable
            return (None, None, *Gradient.apply(ctx.layout, ctx.options, grads[0], *leaves))
        return (None, None, *weigh(ctx.gradients, grads[0], Leaves(*leaves)))


class Gradient(torch.autograd.Function):
    """The gradient of `sum_b weight[b] log Z[b]` for every leaf."""

    @staticmethod
    def forward(
        ctx: Any, layout: Layout, options: batch.Options, weight: Tensor, *leaves: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.layout, ctx.options = layout, options
        ctx.save_for_backward(weight, *leaves)
        kernels = backend(leaves[0].device)
        _, gradients = kernels.gradients(Leaves(*leaves), layout, options, tuple(True for _ in leaves))
        weighed = weigh(gradients, weight, Leaves(*leaves))
        return tuple(torch.zeros_like(x) if g is None else g for g, x in zip(weighed, leaves, strict=True))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *directions: Tensor) -> Any:
        weight, *leaves = ctx.saved_tensors
        device = weight.device
        if device.type != "cpu":
            say_once(f"no kernels for second derivatives on {device.type}")
            weight, leaves, directions = (moved(x, "cpu") for x in (weight, leaves, directions))
        z, gradients = batch.gradients(
            Leaves(*leaves), ctx.layout, ctx.options, tuple(True for _ in leaves), Leaves(*directions), STEP
        )
        found = (z.to(weight.dtype), *weigh(gradients, weight, Leaves(*leaves)))
        return (None, None, *moved(found, device))


def uncompiled(operation: Callable[P, R]) -> Callable[P, R]:
    """Return an operation that torch.compile goes around, with its types, which torch's decorator takes away.

    Decorating takes a second of imports, which is why this module is loaded for training only.
    """
    around: Any = torch.compiler.disable
    return around(operation)


@uncompiled
@on_device
def log_partition(
    potentials: Potentials, *, threads: int | None = None, chunks: int | None = None, warm_up: int | None = None
) -> Tensor:
    """Return log Z per item (float64), differentiable, twice too, in every tensor of the potentials.

    >>> p = Potentials(torch.zeros(4, 2), torch.zeros(3, 2), torch.zeros(2, 2))
    >>> log_partition(p).exp()  # 44 segmentations, of score 0 all
    tensor(44.0000, dtype=torch.float64)
    """
    return log_partition_of(potentials, batch.options(threads, chunks, warm_up))


def log_partition_of(potentials: Potentials, options: batch.Options) -> Tensor:
    """Return log Z per item, worked out where the potentials are."""
    leaves, layout = resolve(expand(potentials).potentials, checked=True)
    z = log_partitions(leaves, layout, options)
    return z if layout.batched else z[0]


def log_partitions(leaves: Leaves, layout: Layout, options: batch.Options) -> Tensor:
    """Return (B,) float64 log partitions, differentiable (twice) in every leaf."""
    return LogPartition.apply(layout, options, *leaves)
