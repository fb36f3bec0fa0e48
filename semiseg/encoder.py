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
from torch.nn.functional import gelu, pad

from .layers import Block, ChannelNorm, Conv, Exchange, Wider

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
        self.from_bottom = Wider(shape.bottom, middle)
        self.up_middle = nn.Sequential(*halfway())
        self.from_middle = Wider(middle, shape.width)
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
        bottom = self.deep(self.to_bottom(gelu(middle)))
        middle = gelu(self.up_middle(middle + self.from_bottom(bottom)))
        return self.head(self.up_full(x + self.from_middle(middle)))


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
