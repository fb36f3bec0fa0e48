"""What bases forbid at every place of a sequence, looked up: no rule but that of gaps looks further than REACH."""

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from .sites import CHASM, CODES, OUTSIDE, REACH, STOP_WORDS, UNKNOWN, Windows, gaps, possible

if TYPE_CHECKING:
    from .grammar import Grammar

AROUND = 2 * REACH  # bases of a context
CONTEXTS = CODES**AROUND
PHASES = 3


class Tables(NamedTuple):
    """What is forbidden, by the bases around a boundary: the number that their codes make in base CODES."""

    forbidden: Tensor  # (CONTEXTS * PHASES, C) bool: labels of the position behind it, by its place modulo 3 too
    impossible: Tensor  # (CONTEXTS, columns) bool: types of the boundary
    is_exon: Tensor  # (C,) bool
    in_gene: Tensor  # (C,) bool


@cache
def tables(grammar: "Grammar", device: torch.device) -> Tables:
    """Return a grammar's tables, from a sequence that has every context once, side by side."""
    every = np.indices((CODES,) * AROUND, np.uint8).reshape(AROUND, CONTEXTS).T.ravel()
    windows = Windows(every)
    labels = grammar.labels
    forbidden = np.zeros((CONTEXTS, PHASES, len(labels)), bool)
    for strand in (0, 1):
        # the last transcribed base of a stop codon lies behind the boundary: the codon's low edge is there, or 2 before
        back = 2 if strand == 0 else 0
        stops = windows.read(STOP_WORDS[strand], 0)[REACH - back : -1 : AROUND]
        for phase in range(PHASES):
            of = (strand, (phase - back) % PHASES)
            exons = [c for c, label in enumerate(labels) if label.is_exon and label[1:3] == of]
            forbidden[:, phase, exons] = stops[:, None]
    impossible = np.stack([~possible(windows, column)[REACH:-1:AROUND] for column in grammar.columns], 1)
    return Tables(
        torch.from_numpy(forbidden.reshape(CONTEXTS * PHASES, -1)).to(device),
        torch.from_numpy(impossible).to(device),
        torch.tensor([label.is_exon for label in labels], device=device),
        torch.tensor([label.kind != "intergenic" for label in labels], device=device),
    )


def contexts(codes: Tensor) -> Tensor:
    """Return (T + 1,) int32 contexts of the boundaries of (T,) codes."""
    padded = pad(codes.to(torch.int32), (REACH, REACH), value=OUTSIDE)
    n, out = len(codes) + 1, torch.zeros(len(codes) + 1, dtype=torch.int32, device=codes.device)
    for i in range(AROUND):
        out = out * CODES + padded[i : i + n]
    return out


def masks(grammar: "Grammar", codes: Tensor, origin: int = 0) -> tuple[Tensor, Tensor]:
    """Return forbidden emissions (T, C) and impossible boundaries (T + 1, columns), see `Grammar.masks`."""
    known = tables(grammar, codes.device)
    at = contexts(codes)
    phase = torch.arange(origin % PHASES, origin % PHASES + len(codes), dtype=torch.int32, device=codes.device) % PHASES
    forbidden = known.forbidden.index_select(0, at[:-1] * PHASES + phase)
    if bool((codes == UNKNOWN).any()):
        bases = codes.cpu().numpy()
        forbidden |= there(gaps(bases), codes.device)[:, None] & known.is_exon
        forbidden |= there(gaps(bases, CHASM), codes.device)[:, None] & known.in_gene
    return forbidden, known.impossible.index_select(0, at)


def there(mask: NDArray, device: torch.device) -> Tensor:
    """Return a mask on a device."""
    return torch.from_numpy(mask).to(device)
