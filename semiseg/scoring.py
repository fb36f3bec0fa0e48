"""From letters that arrive left to right to the scores of a gene model, window by window, on the host."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .encoder import STRIDE
from .gene_model import OUTPUTS, GeneModel
from .kernels import Potentials
from .kernels.devices import moved
from .layers import multiplies_halves
from .masks import masks
from .segment_stream import Block
from .sites import CHASM, encode

WINDOW = 1 << 16  # positions through the encoder at once, without what they share with their neighbours
BESIDE = CHASM  # letters around a window that its masks look at


@torch.no_grad()
def template(model: GeneModel, origin: int = 0) -> Potentials:
    """Return the potentials of one position: laws and grammar, as a stream wants them."""
    device = model.place.device
    seen = torch.zeros(2, 1, OUTPUTS, 1, device=device)
    none = torch.zeros(1, 1, len(model.grammar.labels), dtype=torch.bool, device=device)
    sites = torch.zeros(1, 2, len(model.grammar.columns), dtype=torch.bool, device=device)
    return on_host(model.potentials(seen, none, sites, origin))


def on_host(batch: Potentials) -> Potentials:
    """Return the potentials of a batch of one as those of a sequence, on the host."""
    return alone(moved(batch, "cpu"))


def alone(p: Potentials) -> Potentials:
    """Return the potentials of a batch of one as those of a sequence."""
    maps = tuple(b._replace(scores=b.scores[0]) for b in p.boundaries)
    return p._replace(emissions=p.emissions[0], boundaries=maps)


def blocks(
    model: GeneModel,
    pieces: Iterator[NDArray],
    device: torch.device | str = "cpu",
    window: int = WINDOW,
    start: int = 0,
) -> Iterator[Block]:
    """Yield the scores of a contig's letters, which begin at position `start`: a multiple of STRIDE and of 3.

    What surrounds a window goes through the encoder with it, as far as it can be seen from there.
    """
    window = max(STRIDE, -(-window // STRIDE) * STRIDE)
    reach = max(model.encoder.reach, BESIDE)
    held, low, at = np.zeros(0, np.uint8), 0, 0  # letters from `low` on; windows are done as far as `at`
    over = False
    while not over or at < low + len(held):
        while not over and low + len(held) < at + window + reach + 1:
            piece = next(pieces, None)
            over = piece is None
            if piece is not None:
                held = np.concatenate([held, piece])
        end = min(at + window, low + len(held))
        if end > at:
            yield scored(model, held[: end + reach - low], low, at, end, over and end == low + len(held), device, start)
        at = end
        keep = max(low, at - reach)
        held, low = held[keep - low :], keep


def scored(
    model: GeneModel, letters: NDArray, low: int, at: int, end: int, last: bool, device: torch.device | str, start: int
) -> Block:
    """Return the scores of [at, end) of letters that begin at `low`; `last`: with those of the last boundary."""
    first = max(at - 1, low)  # a site of the second strand is seen at the base before it
    p = moved(part_of(model, letters, low, first, end, device, start), "cpu")
    rows = slice(at - first, end - first + last)
    return Block(p.emissions[at - first :], tuple(b.scores[rows] for b in p.boundaries))


@torch.no_grad()
def part_of(
    model: GeneModel,
    letters: NDArray,
    low: int,
    first: int,
    last: int,
    device: torch.device | str,
    start: int = 0,
    window: int = WINDOW + STRIDE,  # whatever the first stride is cut by
) -> Potentials:
    """Return the potentials of [first, last) of letters that begin at `low`, as they are in the whole.

    What surrounds a window goes through the encoder with it, as far as it can be seen from there.
    """
    a, b = max(first - BESIDE, low), min(last + BESIDE, low + len(letters))
    codes = torch.from_numpy(encode(letters[a - low : b - low])).to(device)
    forbidden, impossible = masks(model.grammar, codes, start + a)
    mine = slice(first - a, last - a)
    parts, reach = [], model.encoder.reach
    begin, edge = first // STRIDE * STRIDE, -(-last // STRIDE) * STRIDE
    for at in range(begin, last, window):
        # no window is smaller: a GPU may sum in another order there, and what neighbours see in common would differ
        left = max(begin, min(at, edge - window))
        c, d = max(left - reach, low), min(left + window + reach, edge + reach, low + len(letters))
        part = torch.from_numpy(letters[c - low : d - low].copy())[None].to(device)
        parts.append(seen(model, part)[..., max(at, first) - c : min(at + window, last) - c])
    both = torch.cat(parts, -1)
    sites = impossible[first - a : last - a + 1]
    return alone(model.potentials(both, forbidden[None, mine], sites[None], start + first))


def seen(model: GeneModel, letters: Tensor) -> Tensor:
    """Return (2, B, OUTPUTS, T) features of (B, T) letters, in the precision that the device is built for."""
    kind = letters.device.type
    with torch.autocast(kind, torch.bfloat16, enabled=kind == "cuda" or multiplies_halves()):
        return model.features(letters)
