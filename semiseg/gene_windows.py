"""Windows of DNA to learn from, with what is known about them."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .errors import SemisegError
from .grammar import Grammar
from .kernels import Segments
from .mutation import mutate
from .path_score import path_of
from .training import UNKNOWN, Recipe

LOOKS = 3  # for a window where everything is known
STEP = 3  # windows begin at one position modulo the codon
BASES = np.frombuffer(b"ACGT", np.uint8)
LOWER = np.uint8(0x20)  # the bit of a letter's case


class Strip(NamedTuple):
    """A contig to learn from."""

    name: str
    letters: NDArray  # (T,) uint8 ASCII
    codes: NDArray  # (T,) int8: 0..3 ACGT, 4 anything else
    labels: NDArray  # (T,) int16, UNKNOWN where masked
    genes: NDArray  # (n, 2) int64 spans of the genes


class Batch(NamedTuple):
    """Windows of one phase."""

    letters: Tensor  # (B, T) uint8
    labels: Tensor  # (B, T) int64
    forbidden: Tensor  # (B, T, C)
    impossible: Tensor  # (B, T + 1, columns)
    origin: int
    path: Segments | None  # where everything is known

    @property
    def inputs(self) -> tuple[Tensor, Tensor, Tensor, int]:
        """What the model takes."""
        return self.letters, self.forbidden, self.impossible, self.origin


def draw(grammar: Grammar, strips: list[Strip], recipe: Recipe, step: int, rank: int = 0) -> Batch:
    """Return the windows of a step: around genes, or anywhere, by contigs' lengths.

    A window with something unknown costs another pass over all of them, so others are looked at first.
    """
    rng = np.random.default_rng([recipe.seed, step, rank])
    strips = [s for s in strips if len(s.letters) >= recipe.window + STEP]
    if not strips:
        raise SemisegError(f"training: no sequence of at least {recipe.window + STEP} bases; choose a smaller window")
    origin = int(rng.integers(STEP))
    lengths = np.array([len(s.letters) for s in strips], float)
    counts = np.array([len(s.genes) for s in strips], float)
    windows = []
    for _ in range(recipe.batch):
        near = counts.sum() > 0 and rng.random() < recipe.genes
        weights = counts if near else lengths
        for _ in range(LOOKS):
            strip = strips[int(rng.choice(len(strips), p=weights / weights.sum()))]
            last = len(strip.letters) - recipe.window
            at = int(rng.integers(last + 1))
            if near:
                low, high = strip.genes[int(rng.integers(len(strip.genes)))]
                at = int(rng.integers(low - recipe.window // 2, high - recipe.window // 2 + 1))
            at = min(max(at, 0), last)
            at -= (at - origin) % STEP
            at += STEP if at < 0 else 0
            part = slice(at, at + recipe.window)
            if not (strip.labels[part] == UNKNOWN).any():
                break
        seen, codes = strip.letters[part], strip.codes[part]
        if rng.random() < recipe.mutate:
            codes = codes.copy()
            mutate(codes, strip.labels[part], at, grammar, rng, recipe.composition)
            seen = np.where(codes < len(BASES), BASES[codes % len(BASES)] | (seen & LOWER), seen)
        windows.append((seen, strip.labels[part], *grammar.masks(codes, at)))
    letters, labels, forbidden, impossible = (torch.from_numpy(np.stack(x)) for x in zip(*windows, strict=True))
    path = None if bool((labels == UNKNOWN).any()) else path_of(labels.numpy())
    return Batch(letters, labels.long(), forbidden, impossible, origin, path)
