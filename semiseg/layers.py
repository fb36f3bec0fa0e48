"""Layers of encoders: sequences (B, H, T), or images of height 1 (B, H, 1, T) where that layout is the quicker one.

Where channels of a position lie side by side convolutions are three times as quick on a CPU, and half as quick again on
a GPU; PyTorch has that layout for images. The weights are the same.
"""

from functools import cache

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, glu, linear, pad

from .kernels.cpu.norm import channel_norm as rows_between_margins
from .kernels.devices import obstacle


@cache
def multiplies_halves() -> bool:
    """Return whether this CPU multiplies pairs of bfloat16: twice as many as it does float32."""
    known: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))


def at_rest(x: Tensor) -> bool:
    """Return whether nobody learns from an image on a CPU: then a layer may go the quickest way."""
    return x.ndim == 4 and x.device.type == "cpu" and not torch.is_grad_enabled()


class Conv(nn.Conv1d):
    """A convolution."""

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim == 3:
            return super().forward(x)
        assert self.bias is not None
        if self.kernel_size == (1,):
            return linear(x.movedim(1, -1), self.weight[..., 0], self.bias).movedim(-1, 1)
        found = self.part(x, self.weight, self.bias)
        return found.float() if at_rest(x) else found  # blocks add to it

    def part(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Return some of the outputs for an image, those of a part of the weights."""
        at = ((0, int(self.padding[0])), (1, self.dilation[0]))
        return conv2d(x, weight[:, :, None], bias, (1, self.stride[0]), *at)

    def halves(self, x: Tensor) -> list[Tensor]:
        """Return the first and the second half of the outputs for an image, each on its own."""
        assert self.bias is not None
        return [self.part(x, *half) for half in zip(self.weight.chunk(2), self.bias.chunk(2), strict=True)]

    def taps(self, length: int) -> int:
        """Return how many taps on either side of the middle one see any of so many positions."""
        return min(self.kernel_size[0] // 2, (length - 1) // self.dilation[0])

    def inside(self, x: Tensor, taps: int) -> Tensor:
        """Return the outputs for an image that has its margins, from so many taps on either side."""
        middle = self.kernel_size[0] // 2
        weight = self.weight[:, :, None, middle - taps : middle + taps + 1]
        return conv2d(x, weight, self.bias, 1, 0, (1, self.dilation[0]))

    def added(self, x: Tensor, to: Tensor) -> Tensor:
        """Return the outputs of a convolution of width 1 for an image, added to another: in place unless one trains."""
        if to.is_cuda or torch.is_autocast_enabled("cpu"):  # products may be in half precision, and sums are not
            return to.add_(self(x)) if at_rest(to) else to + self(x)
        assert self.bias is not None
        flat = to.movedim(1, -1).flatten(0, -2), x.movedim(1, -1).flatten(0, -2), self.weight[..., 0].T
        both = torch.addmm(*flat) if torch.is_grad_enabled() else flat[0].addmm_(*flat[1:])
        return both.add_(self.bias).view_as(to.movedim(1, -1)).movedim(-1, 1)


class Wider(nn.ConvTranspose1d):
    """Four positions of each: the transpose of a convolution of eight taps in steps of four."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__(inputs, outputs, 8, 4, padding=2)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        if x.ndim == 3:
            return super().forward(x, output_size)
        if not at_rest(x):
            return conv_transpose2d(x, self.weight[:, :, None], self.bias, (1, 4), (0, 2))
        # what becomes of a position and its neighbours, all four places at once: as a convolution of three taps
        assert self.bias is not None
        taps = pad(self.weight, (2, 2)).unflatten(2, (3, 4)).flip(2)  # (inputs, outputs, 3, 4)
        places = taps.permute(3, 1, 0, 2).flatten(0, 1)[:, :, None]
        four = conv2d(x, places, self.bias.repeat(4), padding=(0, 1)).movedim(1, -1)
        return four.unflatten(-1, (4, -1)).flatten(2, 3).movedim(-1, 1)


class ChannelNorm(nn.Module):
    """Normalised over channels, position by position."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        if at_rest(x):
            return self.between_margins(x, 0)
        rows = x.movedim(1, -1)
        if self.is_half(rows) and rows.is_contiguous() and obstacle(rows.device) is None:
            from .kernels.gpu.norm import channel_norm  # Triton need not be there

            return channel_norm(rows, self.norm.weight, self.norm.bias, self.norm.eps, torch.bfloat16).movedim(-1, 1)
        return self.norm(rows).movedim(-1, 1)

    def between_margins(self, x: Tensor, margin: int) -> Tensor:
        """Return an image on a CPU normalised, with so many zeros before and behind it."""
        rows, own = x[:, :, 0].transpose(1, 2), self.norm
        return rows_between_margins(rows, own.weight, own.bias, own.eps, margin)[:, None].movedim(-1, 1)

    @staticmethod
    def is_half(x: Tensor) -> bool:
        """Return whether what follows takes bfloat16, and no gradients are asked for."""
        return x.is_cuda and torch.is_autocast_enabled("cuda") and not torch.is_grad_enabled()


class Block(nn.Module):
    """A gated residual convolution."""

    def __init__(self, width: int, kernel: int, dilation: int):
        super().__init__()
        self.norm = ChannelNorm(width)
        self.into = Conv(width, 2 * width, kernel, padding=kernel // 2 * dilation, dilation=dilation)
        self.drop = nn.Dropout(0.0)  # a training run sets its share
        self.out = Conv(width, width, 1)
        nn.init.zeros_(self.out.weight)  # to begin with, a block passes on what it gets

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim == 3:
            return x + self.out(self.drop(glu(self.into(self.norm(x)), 1)))
        if not at_rest(x):
            value, gate = self.into.halves(self.norm(x))
            return self.out.added(self.drop(gate.sigmoid_() * value), x)
        taps = self.into.taps(x.shape[-1])
        both = self.into.inside(self.norm.between_margins(x, taps * self.into.dilation[0]), taps)
        gated = glu(both.movedim(1, -1), -1)  # one convolution is quicker than two there
        return self.out.added(gated.movedim(-1, 1), x)


class Exchange(nn.Module):
    """What each strand takes from the other at the same place."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = ChannelNorm(width)
        self.take = Conv(width, width, 1)
        nn.init.zeros_(self.take.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return x (2 B, H, T): both strands, each in its own direction."""
        there = x.unflatten(0, (2, -1)).flip(0).flatten(0, 1).flip(-1)
        return x + self.take(self.norm(there))
