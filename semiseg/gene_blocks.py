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
from .kernels import Calls, Potentials, Segments, marginals, viterbi
from .kernels.errors import OutOfMemoryError
from .scoring import BESIDE, part_of
from .segment_stream import Found, rows_of

POSITION = 3600  # bytes of a GPU's memory that a position takes
LARGEST, SMALLEST = 1 << 24, 1 << 16  # positions of a block
AT_ONCE = 1 << 20  # positions through the encoder: a GPU is four times as quick with them as with a sixteenth
FLANK = 1 << 17  # positions on either side of a block that are decoded with it
AGREE = 1e-4  # posteriors of a call in both blocks, which float32 tells apart

OUT_OF_MEMORY = (torch.OutOfMemoryError, OutOfMemoryError)

Decode = Callable[["Part", Potentials], "Block"]
Score = Callable[["Part"], Potentials]


class Part(NamedTuple):
    """A stretch of a contig, and letters around it."""

    at: int  # the block is named after: it reaches to both sides
    first: int
    last: int
    low: int  # position of the first letter
    letters: NDArray
    is_last: bool

    def joined(self, right: "Part") -> "Part":
        """Return this stretch and its right neighbour as one."""
        return right._replace(
            first=self.first,
            low=self.low,
            letters=np.concatenate([self.letters[: right.low - self.low], right.letters]),
        )


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
    beside = max(model.encoder.reach, BESIDE)
    size = block or room(device)

    def score(part: Part) -> Potentials:
        return part_of(model, part.letters, part.low, part.first, part.last, device, start, AT_ONCE)

    decode = partial(decoded, model, tracks, introns)
    found = joined(ahead(pieces), size, flank, beside, score, decode)
    return assembled(ahead(found), model.grammar, name, calibration, start)


def room(device: torch.device) -> int:
    """Return how many positions there is memory for."""
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else POSITION * LARGEST
    return max(SMALLEST, min(LARGEST, free // POSITION))


@torch.no_grad()
def decoded(model: GeneModel, tracks: bool, introns: bool, part: Part, p: Potentials) -> Block:
    """Return what is found in a part of these potentials."""
    first, last = part.first, part.last
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


def parts(pieces: Iterator[NDArray], block: int, flank: int, beside: int) -> Iterator[Part]:
    """Yield the parts of a contig, each with a flank on either side, and as many letters more as they are looked at."""
    low, held, at, over = 0, np.zeros(0, np.uint8), 0, False
    while True:
        want, fresh, have = at + block + flank, [held], low + len(held)
        while have < want + beside and not over:
            piece = next(pieces, None)
            over = piece is None
            if piece is not None:
                fresh.append(piece)
                have += len(piece)
        held = np.concatenate(fresh)
        is_last = over and have <= want
        first = max(0, (at - flank) // ALIGNED * ALIGNED)
        keep = max(low, first - beside)
        held, low = held[keep - low :], keep
        yield Part(at, first, min(want, have), low, held[: want + beside - low], is_last)
        if is_last:
            return
        at += block


def joined(
    pieces: Iterator[NDArray], block: int, flank: int, beside: int, score: Score, decode: Decode
) -> Iterator[Found]:
    """Yield what blocks found, each as far as it goes.

    One after another: a block scored while another is decoded takes the memory that keeps scores between passes, and
    its launches wait for the same interpreter.
    """
    block = max(ALIGNED, block // ALIGNED * ALIGNED)
    held: tuple[Part, Block] | None = None
    done = Seam(0, None)  # where the held block begins to count
    for part in parts(pieces, block, flank, beside):
        now = within_memory(part, flank, score, decode)
        if held is not None:
            before, left = held
            seam = agreement(left, now, part.at, flank // 2)
            if seam is None:
                part = before.joined(part)
                now = within_memory(part, flank, score, decode)
            else:
                if done.cut is not None and seam.cut is not None and seam.cut[0] < done.at:  # the same segment yet
                    seam = seam._replace(cut=(done.cut[0], *seam.cut[1:]))
                yield between(left, done, seam)
                done = seam
        held = part, now
        if part.is_last:
            yield between(now, done, Seam(part.last, None))


def within_memory(part: Part, flank: int, score: Score, decode: Decode) -> Block:
    """Return what is found in a part, in two halves where there is no room for the whole."""
    try:
        return decode(part, score(part))
    except OUT_OF_MEMORY:
        if part.last - part.first < SMALLEST + 2 * flank:
            raise
    torch.cuda.empty_cache()
    middle = (part.first + part.last) // 2 // ALIGNED * ALIGNED
    halves = part._replace(last=middle + flank), part._replace(first=(middle - flank) // ALIGNED * ALIGNED)
    left, right = (within_memory(half, flank, score, decode) for half in halves)
    seam = agreement(left, right, middle, flank // 2)
    if seam is None:
        raise OutOfMemoryError(f"{part.last - part.first} positions that cannot be told apart")
    ends = Seam(part.first, None), Seam(part.last, None)
    one, other = between(left, ends[0], seam), between(right, seam, ends[1])
    calls = [x.calls for x in (one, other) if x.calls is not None]
    tracks = [x.tracks for x in (one, other) if x.tracks is not None]
    return Block(
        part.first, part.last, np.concatenate([one.segments, other.segments]), np.concatenate([one.asked, other.asked]),
        Calls(*(torch.cat(x) for x in zip(*calls, strict=True))) if calls else None,
        np.concatenate(tracks) if tracks else None,
    )  # fmt: skip


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
