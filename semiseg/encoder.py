"""From DNA to what a gene grammar scores: strand-symmetric by construction, local, and the same for every window.

Both strands go through one network, the second one as its reverse complement read from its own 5' end, so whatever is
learnt on one strand is known on the other. Coding sequence shows in short words at one base's resolution (codons,
splice sites) and in composition over kilobases (codon usage, isochores), hence a U: residual convolutions at full
resolution, dilated ones at a sixteenth of it where a kilobase costs little, and full resolution again. Strands exchange
what they know at the bottom, since a gene on one strand speaks against one on the other. Layers normalise over channels
at each position: no statistic of the window enters, and away from its ends a window gives what the whole contig gives.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, glu, linear, pad

from .kernels.devices import obstacle

STRIDE = 16  # of the bottom; windows begin at multiples of it
CHANNELS = 5  # A, C, G, T and soft-masked


class Shape(NamedTuple):
    """Sizes of an encoder."""

    width: int  # channels at full resolution
    bottom: int  # channels at a sixteenth
    kernel: int = 9
    dilations: tuple[int, ...] = (1, 3, 9)  # of the blocks at full resolution: multiples of a codon
    depths: tuple[int, ...] = (1, 2, 4, 8, 16, 32)  # dilations of the blocks at the bottom
    halfway: tuple[int, ...] = ()  # of those at a quarter of the resolution, on the way down and up


SHAPES = {
    "full": Shape(64, 144, depths=(1, 2, 4, 8, 16, 32, 64)),
    "compact": Shape(24, 64, 7, (1, 3), (1, 2, 4, 8, 16, 32)),
}


# Where channels of a position lie side by side convolutions are three times as quick on a CPU, and half as quick again
# on a GPU; PyTorch has that layout for images, so a sequence is one of height 1 there, (B, H, 1, T). The weights are
# the same.


class Conv(nn.Conv1d):
    """A convolution of sequences, or of images of height 1."""

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim == 3:
            return super().forward(x)
        assert self.bias is not None
        if self.kernel_size == (1,):
            return linear(x.movedim(1, -1), self.weight[..., 0], self.bias).movedim(-1, 1)
        return self.part(x, self.weight, self.bias)

    def part(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Return some of the outputs for an image, those of a part of the weights."""
        at = ((0, int(self.padding[0])), (1, self.dilation[0]))
        return conv2d(x, weight[:, :, None], bias, (1, self.stride[0]), *at)

    def halves(self, x: Tensor) -> list[Tensor]:
        """Return the first and the second half of the outputs for an image, each on its own."""
        assert self.bias is not None
        return [self.part(x, *half) for half in zip(self.weight.chunk(2), self.bias.chunk(2), strict=True)]

    def added(self, x: Tensor, to: Tensor) -> Tensor:
        """Return the outputs of a convolution of width 1 for an image, added to another: in place unless one trains."""
        if to.is_cuda:  # where products are in half precision, and sums are not
            return to + self(x)
        assert self.bias is not None
        flat = to.movedim(1, -1).flatten(0, -2), x.movedim(1, -1).flatten(0, -2), self.weight[..., 0].T
        both = torch.addmm(*flat) if torch.is_grad_enabled() else flat[0].addmm_(*flat[1:])
        return both.add_(self.bias).view_as(to.movedim(1, -1)).movedim(-1, 1)


class ConvTranspose(nn.ConvTranspose1d):
    """Its transpose."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        if x.ndim == 3:
            return super().forward(x, output_size)
        at = (1, self.stride[0]), (0, int(self.padding[0]))
        return conv_transpose2d(x, self.weight[:, :, None], self.bias, *at)


class ChannelNorm(nn.Module):
    """Normalised over channels, position by position."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        rows = x.movedim(1, -1)
        if self.is_half(rows) and rows.is_contiguous() and obstacle(rows.device) is None:
            from .kernels.gpu.norm import channel_norm  # Triton need not be there

            return channel_norm(rows, self.norm.weight, self.norm.bias, self.norm.eps, torch.bfloat16).movedim(-1, 1)
        return self.norm(rows).movedim(-1, 1)

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
        if x.is_cuda or torch.is_grad_enabled():
            value, gate = self.into.halves(self.norm(x))
            return self.out.added(self.drop(gate.sigmoid_() * value), x)
        value, gate = self.into(self.norm(x)).movedim(1, -1).chunk(2, -1)  # one convolution is quicker than two there
        return self.out.added(gate.contiguous().sigmoid_().mul_(value).movedim(-1, 1), x)


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


class Pyramid(nn.Module):
    """Features of sequences at full resolution, made with a look from a quarter and a sixteenth of it."""

    times = 1  # that a position goes through it

    def __init__(self, shape: Shape, inputs: int, outputs: int, between: Callable[[int], list[nn.Module]]):
        """Build one; `between` gives what stands behind each block at the bottom, of a width."""
        super().__init__()
        self.shape = shape
        middle = (shape.width + shape.bottom) // 2
        full = lambda: [Block(shape.width, shape.kernel, d) for d in shape.dilations]  # noqa: E731
        halfway = lambda: [Block(middle, 5, d) for d in shape.halfway]  # noqa: E731
        self.stem = Conv(inputs, shape.width, 2 * shape.kernel - 1, padding=shape.kernel - 1)
        self.down_full = nn.Sequential(*full())
        self.to_middle = Conv(shape.width, middle, 8, 4, padding=2)
        self.down_middle = nn.Sequential(*halfway())
        self.to_bottom = Conv(middle, shape.bottom, 8, 4, padding=2)
        deep: list[nn.Module] = []
        for dilation in shape.depths:
            deep += [Block(shape.bottom, 5, dilation), *between(shape.bottom)]
        self.deep = nn.Sequential(*deep)
        self.from_bottom = ConvTranspose(shape.bottom, middle, 8, 4, padding=2)
        self.up_middle = nn.Sequential(*halfway())
        self.from_middle = ConvTranspose(middle, shape.width, 8, 4, padding=2)
        self.up_full = nn.Sequential(*full())
        self.head = nn.Sequential(ChannelNorm(shape.width), Conv(shape.width, outputs, 1))

    @property
    def reach(self) -> int:
        """Positions to either side that a feature may depend on, rounded up to whole strides."""
        s = self.shape
        full = (s.kernel - 1) + 2 * sum(s.kernel // 2 * d for d in s.dilations)
        halfway = 4 * 2 * sum(2 * d for d in s.halfway)
        deep = sum(2 * d for d in s.depths) + 4  # and the four convolutions between resolutions
        return -(-(full + halfway) // STRIDE) * STRIDE + STRIDE * deep

    def seen(self, x: Tensor) -> Tensor:
        """Return (B, outputs, T) features of (B, inputs, T); T is a multiple of STRIDE."""
        if x.device.type == "cpu" or not torch.is_grad_enabled():
            return self.through(x[:, :, None].contiguous(memory_format=torch.channels_last)).squeeze(2)
        return self.through(x)

    def through(self, x: Tensor) -> Tensor:
        """Return the outputs."""
        x = self.down_full(self.stem(x))
        middle = self.down_middle(self.to_middle(x))
        bottom = self.deep(self.to_bottom(nn.functional.gelu(middle)))
        middle = self.up_middle(middle + self.from_bottom(bottom))
        x = self.up_full(x + self.from_middle(nn.functional.gelu(middle)))
        return self.head(x)


class Encoder(Pyramid):
    """Features of both strands of DNA."""

    times = 2

    def __init__(self, shape: Shape, outputs: int):
        super().__init__(shape, CHANNELS, outputs, lambda width: [Exchange(width)])

    def forward(self, dna: Tensor) -> Tensor:
        """Return (2, B, outputs, T) features, the second strand's turned back to the first one's coordinates.

        `dna` (B, CHANNELS, T), from `channels`; T is a multiple of STRIDE.
        """
        both = self.seen(torch.stack([dna, reverse_complement(dna)]).flatten(0, 1))
        forward, backward = both.unflatten(0, (2, -1))
        return torch.stack([forward, backward.flip(-1)])


def reverse_complement(dna: Tensor) -> Tensor:
    """Return the other strand of (B, CHANNELS, T) DNA, from its own 5' end."""
    return dna[:, [3, 2, 1, 0, 4]].flip(-1)


# What each letter may stand for, in equal shares.
LETTERS = {
    "A": "A", "C": "C", "G": "G", "T": "T", "U": "T", "R": "AG", "Y": "CT", "S": "CG", "W": "AT", "K": "GT", "M": "AC",
    "B": "CGT", "D": "AGT", "H": "ACT", "V": "ACG", "N": "ACGT",
}  # fmt: skip


def _mixtures() -> Tensor:
    """Return (256, CHANNELS): what every ASCII letter is; unknown letters are N."""
    table = torch.full((256, CHANNELS), 0.25)
    table[:, 4] = 0
    for letter, stands_for in LETTERS.items():
        share = torch.tensor([float(base in stands_for) for base in "ACGT"]) / len(stands_for)
        table[ord(letter), :4] = table[ord(letter.lower()), :4] = share
    table[ord("a") : ord("z") + 1, 4] = 1
    return table


MIXTURES = _mixtures()


def channels(letters: Tensor, soft_masking: bool = False) -> Tensor:
    """Return (B, CHANNELS, T) of (B, T) ASCII letters, N behind the end up to a whole number of strides."""
    letters = pad(letters.long(), (0, -letters.shape[-1] % STRIDE), value=ord("N"))
    out = MIXTURES.to(letters.device)[letters].transpose(1, 2)
    return out if soft_masking else out * out.new_tensor([1, 1, 1, 1, 0])[:, None]


RATES = {
    "to_middle": 4, "down_middle": 4, "to_bottom": 16, "deep": 16, "from_bottom": 16, "up_middle": 4, "from_middle": 4,
}  # fmt: skip


def multiplications(encoder: Pyramid) -> float:
    """Return multiply-adds a position."""
    total = 0.0
    for name, module in encoder.named_modules():
        if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
            total += module.weight.numel() / RATES.get(name.split(".")[0], 1)
    return encoder.times * total
