"""log Z as a torch function: its backward is the posteriors, and their backward a complex-step Hessian product."""

from typing import Any

import torch
from torch import Tensor

from .cpu import batch
from .resolve import Layout, Leaves

STEP = 1e-30  # of the complex step: products of two imaginary parts vanish, nothing cancels


class LogPartition(torch.autograd.Function):
    """(B,) log partitions of the leaves."""

    @staticmethod
    def forward(ctx: Any, layout: Layout, options: batch.Options, *leaves: Tensor) -> Tensor:
        needs = tuple(x.requires_grad for x in leaves)
        ctx.layout, ctx.options = layout, options
        ctx.save_for_backward(*leaves)
        ctx.gradients = None
        if not any(needs):
            return batch.log_partitions(Leaves(*leaves), layout, options)
        z, ctx.gradients = batch.gradients(Leaves(*leaves), layout, options, needs)
        return z

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        leaves = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph: the gradient must itself be differentiable
            return (None, None, *Gradient.apply(ctx.layout, ctx.options, grads[0], *leaves))
        return (None, None, *batch.weigh(ctx.gradients, grads[0], Leaves(*leaves)))


class Gradient(torch.autograd.Function):
    """The gradient of `sum_b weight[b] log Z[b]` for every leaf."""

    @staticmethod
    def forward(ctx: Any, layout: Layout, options: batch.Options, weight: Tensor, *leaves: Tensor) -> tuple[Tensor, ...]:
        ctx.layout, ctx.options = layout, options
        ctx.save_for_backward(weight, *leaves)
        _, gradients = batch.gradients(Leaves(*leaves), layout, options, tuple(True for _ in leaves))
        return batch.weigh(gradients, weight, Leaves(*leaves))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *directions: Tensor) -> Any:
        weight, *leaves = ctx.saved_tensors
        z, gradients = batch.gradients(
            Leaves(*leaves), ctx.layout, ctx.options, tuple(True for _ in leaves), Leaves(*directions), STEP
        )
        return (None, None, z.to(weight.dtype), *batch.weigh(gradients, weight, Leaves(*leaves)))


def log_partitions(leaves: Leaves, layout: Layout, options: batch.Options) -> Tensor:
    """Return (B,) float64 log partitions, differentiable (twice) in every leaf."""
    return LogPartition.apply(layout, options, *leaves)
