"""The score of known tags under a linear chain: few operations, however long it is, and no atomic ones among them."""

from typing import Any

import torch
from torch import Tensor

from .kernels import Potentials


class ChainScore(torch.autograd.Function):
    """(B,) float64 scores of tags (B, T), where `inside` (B, T) says that they count; None: everywhere."""

    @staticmethod
    def forward(
        ctx: Any, tags: Tensor, inside: Tensor | None, emissions: Tensor, transitions: Tensor, *ends: Tensor
    ) -> Tensor:
        final = tags[:, -1] if inside is None else tags.gather(1, inside.sum(1, keepdim=True) - 1)[:, 0]
        ctx.save_for_backward(tags, final, inside)
        ctx.like = emissions, transitions, *ends
        found = emissions.gather(2, tags[..., None])[..., 0].double()
        change = transitions[tags[:, :-1], tags[:, 1:]].double()
        if inside is not None:
            found, change = torch.where(inside, found, 0.0), torch.where(inside[:, 1:], change, 0.0)
        first, last = ends
        return found.sum(1) + change.sum(1) + (first[tags[:, 0]] + last[final])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        tags, final, inside = ctx.saved_tensors
        B, T, C = ctx.like[0].shape
        share = grads[0][:, None].expand(B, T)
        if inside is not None:
            share = torch.where(inside, share, 0.0)
        zeros = share.new_zeros(B, T, C)
        at = zeros.scatter(2, tags[..., None], share[..., None])
        before = zeros[:, 1:].scatter(2, tags[:, :-1, None], 1.0)
        changes = before.flatten(0, 1).T @ at[:, 1:].flatten(0, 1)
        ends = zeros[:, 0].scatter(1, final[:, None], grads[0][:, None])
        out = at, changes, at[:, 0].sum(0), ends.sum(0)
        return (None, None, *(x.to(like.dtype) for x, like in zip(out, ctx.like, strict=True)))


def chain_score(p: Potentials, tags: Tensor, inside: Tensor | None) -> Tensor:
    """Return (B,) float64 scores of tags, differentiable in emissions, transitions and ends."""
    return ChainScore.apply(tags, inside, p.emissions, p.transitions, p.first, p.last)
