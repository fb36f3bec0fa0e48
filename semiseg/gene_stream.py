"""Genes, and tracks of posteriors, of a contig that is read from left to right, or of a region of it."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from .accuracy import most_accurate
from .ahead import in_stages
from .assembly import Stretch, asked_about, assembled, concepts
from .calibration import Calibration
from .encoder import STRIDE
from .flanks import NEAR, flank
from .gene_model import PHASES, GeneModel
from .gene_tracks import tracks_of
from .kernels import Potentials
from .kernels.cpu.posteriors import Wanted
from .kernels.devices import moved
from .scoring import BESIDE, WINDOW, blocks, part_of, template
from .segment_stream import LOOK, VIEW, certain, views

ALIGNED = STRIDE * PHASES  # streams begin at multiples of it, so that windows see the same as those of the whole contig

Read = Callable[[int, int], NDArray]  # (first, last) -> letters


def find(
    model: GeneModel,
    name: str,
    pieces: Iterator[NDArray],
    device: torch.device | str = "cpu",
    calibration: Calibration | None = None,
    *,
    tracks: bool = False,
    accurate: bool = False,
    introns: bool = False,
    start: int = 0,
    window: int = WINDOW,
    view: int = VIEW,
    look: int = LOOK,
) -> Iterator[Stretch]:
    """Yield the genes of a contig's letters, which come in pieces and begin at `start`, as they become certain.

    `tracks`: with the posteriors that `gene_tracks.track_names` lists. `accurate`: the genes of what is expected to
    have most positions right, not of what is likeliest as a whole. `introns`: with what is known about introns too.
    """
    grammar = model.grammar
    asked = asked_about(grammar, introns)
    stage = in_stages(device)
    scored, laws = stage(blocks(model, pieces, device, window, start)), template(model, start)
    cut = stage(views(scored, laws, asked, view, look))
    if accurate:
        shortest = np.array([grammar.shortest[grammar.laws[law]] for law in grammar.law_of])
        cut = stage(most_accurate(cut, laws, asked, shortest))
    reduce = partial(tracks_of, model.grammar) if tracks else None
    found = certain(cut, concepts(model.grammar).numpy(), reduce, Wanted(changes=tracks))
    return assembled(found, model.grammar, name, calibration, start)


def find_in_region(
    model: GeneModel,
    name: str,
    read: Read,
    length: int,
    region: tuple[int, int],
    device: torch.device | str = "cpu",
    calibration: Calibration | None = None,
    tracks: bool = False,
    accurate: bool = False,
    introns: bool = False,
) -> Iterator[Stretch]:
    """Yield what `find` gives of a whole contig there: genes that overlap the region, and tracks inside it.

    It reads on beyond the region until what is in it is certain, and begins so far left of it that nothing further
    left matters.
    """
    first, last = region
    start = flank(lambda a, b: between(model, read, length, a, b, device), length, first, ALIGNED)

    def pieces() -> Iterator[NDArray]:
        for a, b in pairwise([*range(start, length, NEAR), length]):
            yield read(a, b)

    for stretch in find(
        model, name, pieces(), device, calibration,
        tracks=tracks, accurate=accurate, introns=introns, start=start, window=NEAR, view=NEAR, look=NEAR,
    ):  # fmt: skip
        a, b = max(stretch.first, first), min(stretch.last, last)
        genes = [g for g in stretch.genes if g.exons[0].start < last and g.exons[-1].end > first]
        inside = (
            None if stretch.tracks is None else stretch.tracks[max(0, a - stretch.first) : max(0, b - stretch.first)]
        )
        yield Stretch(min(a, last), max(min(a, last), b), genes, inside)
        if stretch.last >= last and not stretch.is_open:
            return


def between(model: GeneModel, read: Read, length: int, a: int, b: int, device: torch.device | str) -> Potentials:
    """Return the potentials of a part of a contig."""
    beside = max(model.encoder.reach, BESIDE)
    low = max(0, a - beside) // ALIGNED * ALIGNED
    return moved(part_of(model, read(low, min(length, b + beside)), low, a, b, device), "cpu")
