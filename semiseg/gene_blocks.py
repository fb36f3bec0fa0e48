"""Genes of a long contig on a GPU: blocks that overlap, each decoded at once, joined where neighbours agree.

A block knows nothing of what lies beyond its ends, but they are far from where it is joined: over the whole middle of
the overlap both must say the same segments, with the same posteriors. A best path of the whole contig that shares one
boundary with both there is the joined one; the next block begins from what only the left one knows, and the left one
ends in what only the right one knows. Where they do not agree, the two are decoded as one.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from .ahead import ahead
from .assembly import Stretch, asked_about, assembled, concepts
from .calibration import Calibration
from .gene_model import GeneModel
from .gene_stream import ALIGNED
from .gene_tracks import track_values
from .kernels import Calls, Segments, marginals, viterbi
from .kernels.errors import OutOfMemoryError
from .scoring import BESIDE, part_of
from .segment_stream import Found, rows_of

POSITION = 3600  # bytes of a GPU's memory that a position takes
LARGEST, SMALLEST = 1 << 24, 1 << 16  # positions of a block
FLANK = 1 << 17  # positions on either side of a block that are decoded with it
AGREE = 1e-4  # posteriors of a call in both blocks, which float32 tells apart

Decode = Callable[[int, int], "Block"]


class Block(NamedTuple):
    """What was found in one block."""

    first: int
    last: int
    segments: NDArray  # (N, 3) start, end, label
    asked: NDArray  # (N,) bool
    calls: Calls | None  # of those asked about
    tracks: NDArray | None  # (last - first, tracks)


class Seam(NamedTuple):
    """Where two blocks are joined."""

    at: int
    cut: tuple[int, int, int] | None  # the segment that lies over it, which nobody asks about


class Letters:
    """Letters that come in pieces, as many of them as are needed at once."""

    def __init__(self, pieces: Iterator[NDArray]):
        self.pieces = ahead(pieces)
        self.low, self.held, self.over = 0, np.zeros(0, np.uint8), False

    def read(self, end: int) -> int:
        """Read on up to a position, and return how far letters go."""
        parts, have = [self.held], self.low + len(self.held)
        while have < end and not self.over:
            piece = next(self.pieces, None)
            self.over = piece is None
            if piece is not None:
                parts.append(piece)
                have += len(piece)
        self.held = np.concatenate(parts)
        return have

    def forget(self, before: int) -> None:
        """Let go of letters."""
        if before > self.low:
            self.held, self.low = self.held[before - self.low :].copy(), before


def find_in_blocks(
    model: GeneModel,
    name: str,
    pieces: Iterator[NDArray],
    device: torch.device,
    calibration: Calibration | None = None,
    *,
    tracks: bool = False,
    introns: bool = False,
    block: int | None = None,
    flank: int = FLANK,
    start: int = 0,
) -> Iterator[Stretch]:
    """Yield what `gene_stream.find` does, from a GPU; `block`: positions at once, None: as there is room."""
    letters = Letters(pieces)
    decode = partial(decoded, model, letters, device, start, tracks, introns)
    found = joined(letters, decode, block or room(device), flank, max(model.encoder.reach, BESIDE))
    return assembled(ahead(found), model.grammar, name, calibration, start)


def room(device: torch.device) -> int:
    """Return how many positions there is memory for."""
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else POSITION * LARGEST
    return max(SMALLEST, min(LARGEST, free // POSITION))


@torch.no_grad()
def decoded(
    model: GeneModel,
    letters: Letters,
    device: torch.device,
    start: int,
    tracks: bool,
    introns: bool,
    first: int,
    last: int,
) -> Block:
    """Return what is found in [first, last) of letters that are held."""
    p = part_of(model, letters.held, letters.low, first, last, device, start)
    best = viterbi(p).segments
    about = torch.from_numpy(asked_about(model.grammar, introns)).to(best.label.device)
    asked = about[best.label]
    rows = Segments(*(x[asked] for x in best)) if bool(asked.any()) else None
    calls = values = None
    if rows is not None or tracks:
        want = ("position", "boundaries") if tracks else ()
        known = marginals(p, want=want, segments=rows, concepts=concepts(model.grammar))
        if known.calls is not None:
            calls = Calls(*(x.cpu() for x in known.calls))
            for field in ("start_low", "start_high", "end_low", "end_high"):
                calls = calls._replace(**{field: getattr(calls, field) + first})
        if tracks:
            assert known.position is not None
            assert known.boundaries is not None
            values = track_values(model.grammar, known.position, known.boundaries[0][:-1]).cpu().numpy()
    return Block(first, last, rows_of(best) + np.array([first, first, 0]), asked.cpu().numpy(), calls, values)


def joined(letters: Letters, decode: Decode, block: int, flank: int, beside: int) -> Iterator[Found]:
    """Yield what blocks found, each as far as it goes."""
    block = max(ALIGNED, block // ALIGNED * ALIGNED)
    held: Block | None = None
    done, at = Seam(0, None), 0  # where the held block begins to count, and the next one in name
    while True:
        want = at + block + flank
        end = min(want, letters.read(want + beside))
        is_last = letters.over and letters.low + len(letters.held) <= want
        first = max(0, (at - flank) // ALIGNED * ALIGNED)
        try:
            now = decode(first, end)
            seam = None if held is None else agreement(held, now, at, flank // 2)
            if held is not None and seam is None:
                now = decode(held.first, end)
            elif held is not None and seam is not None:
                if done.cut is not None and seam.cut is not None and seam.cut[0] < done.at:  # the same segment yet
                    seam = seam._replace(cut=(done.cut[0], *seam.cut[1:]))
                yield between(held, done, seam)
                done = seam
        except (torch.OutOfMemoryError, OutOfMemoryError):
            block = block // 2 // ALIGNED * ALIGNED
            if block < SMALLEST:
                raise
            torch.cuda.empty_cache()
            continue
        held, at = now, at + block
        if is_last:
            yield between(held, done, Seam(end, None))
            return
        letters.forget(held.first - beside)


def agreement(left: Block, right: Block, at: int, reach: int) -> Seam | None:
    """Return where to join two blocks near a position: nearest to it of where they begin a segment; None: nowhere.

    They agree if they say the same all over [at - reach, at + reach).
    """
    low, high = max(at - reach, right.first), min(at + reach, left.last)
    a, b = over(left, low, high), over(right, low, high)
    rows, others = left.segments[a], right.segments[b]
    same = len(rows) == len(others) and (rows[:, 2] == others[:, 2]).all() and (rows[1:, 0] == others[1:, 0]).all()
    if not same:
        return None
    inside = np.zeros(len(rows), bool)
    inside[1:-1] = True
    for here, there in zip(known(left, a, inside), known(right, b, inside), strict=True):
        if np.abs(here - there).max(initial=0) > AGREE:
            return None
    if len(rows) > 1:
        begins = rows[1:, 0]
        return Seam(int(begins[np.abs(begins - at).argmin()]), None)
    if left.asked[a][0]:
        return None
    return Seam(at, (int(rows[0, 0]), int(others[0, 1]), int(rows[0, 2])))


def over(block: Block, low: int, high: int) -> slice:
    """Return which segments overlap [low, high)."""
    rows = block.segments
    return slice(int(np.searchsorted(rows[:, 1], low, "right")), int(np.searchsorted(rows[:, 0], high)))


def known(block: Block, part: slice, which: NDArray) -> list[NDArray]:
    """Return posteriors of those of some segments that are asked about."""
    if block.calls is None:
        return [np.zeros(0)] * 3
    before = int(block.asked[: part.start].sum())
    chosen = which[block.asked[part]]
    calls = slice(before, before + len(chosen))
    return [x[calls].numpy()[chosen] for x in (block.calls.start, block.calls.end, block.calls.segment)]


def between(block: Block, left: Seam, right: Seam) -> Found:
    """Return what a block found between two seams; a segment that lies over the left one is counted here, whole."""
    rows, asked = block.segments, block.asked
    mine = (rows[:, 0] >= left.at) & (rows[:, 1] <= right.at)
    calls = None if block.calls is None else Calls(*(x[torch.from_numpy(mine[asked])] for x in block.calls))
    rows, asked = rows[mine], asked[mine]
    if left.cut is not None and left.cut[1] <= right.at:
        rows, asked = np.concatenate([[left.cut], rows]), np.concatenate([[False], asked])
    tracks = None if block.tracks is None else block.tracks[left.at - block.first : right.at - block.first]
    return Found(left.at, right.at, rows, asked, calls, tracks)
