"""All contigs of a genome, or regions of it, through a gene finder: short ones together, long ones as streams."""

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from .assembly import Stretch
from .decode import decode_packs, packed
from .finder import Finder
from .following import Result
from .formats.sequences import Sequences
from .gene_blocks import find_in_blocks
from .gene_stream import find, find_in_region
from .parts import Region
from .scoring import WINDOW

SHORT = 1 << 13  # bases of a contig that is decoded at once, along with others
TOGETHER = 1 << 20  # bases of short contigs that are held
WHOLE = 1 << 23  # bases of a contig that is decoded at once on a GPU


class Settings(NamedTuple):
    """How to decode."""

    device: torch.device
    tracks: bool = False  # posteriors along the contigs too
    isolated: bool = False  # regions as if nothing lay around them
    accurate: bool = False  # what is expected to be right at most positions, and not the likeliest as a whole
    introns: bool = False  # with what is known about introns
    batch: int | None = None  # positions that a GPU decodes at once; None: as many as it has memory for

    @property
    def wanted(self) -> dict[str, bool]:
        """What streams of contigs are asked for."""
        return {"tracks": self.tracks, "accurate": self.accurate, "introns": self.introns}


class Census:
    """Counts what depth warnings are about: known bases, G and C, and bases in genes."""

    def __init__(self) -> None:
        self.bases = self.known = self.gc = self.genic = self.genes = 0

    def letters(self, piece: NDArray) -> NDArray:
        """Count the letters of a piece and hand it on."""
        n = np.bincount(piece & 0xDF, minlength=256)  # in upper case
        self.bases += len(piece)
        self.known += int(n[list(b"ACGT")].sum())
        self.gc += int(n[list(b"CG")].sum())
        return piece

    def found(self, stretch: Stretch) -> Stretch:
        """Count the genes of a stretch and hand it on."""
        self.genes += len(stretch.genes)
        self.genic += sum(gene.exons[-1].end - gene.exons[0].start for gene in stretch.genes)
        return stretch


def decode_genome(
    sequences: Sequences, finder: Finder, settings: Settings, census: Census, raw: bool = False, skip: int = 0
) -> Iterator[Result[Stretch]]:
    """Yield every record's genes, in order, but for the first so many; each is used before the next is asked for."""
    calibration = None if raw else finder.calibration
    streamed = settings.tracks or settings.accurate  # all contigs are, and short ones with them
    most = WHOLE if settings.device.type == "cuda" and not streamed else SHORT
    at_once = TOGETHER if settings.device.type == "cuda" else WINDOW  # more is no quicker on a CPU, and takes memory
    waiting: list[tuple[str, NDArray]] = []

    def together() -> Iterator[Result[Stretch]]:
        done: dict[int, Stretch] = {}
        if streamed:
            for name, letters in waiting:
                yield Result(name, len(letters), stream(name, iter([letters])) if len(letters) else iter(()))
            waiting.clear()
            return
        groups = list(packed([len(letters) for _, letters in waiting], at_once))
        packs = ([waiting[i] for i in group] for group in groups)
        every = decode_packs(finder.model, packs, settings.device, calibration, settings.introns)
        for group, found in zip(groups, every, strict=True):
            done |= {i: Stretch(0, len(waiting[i][1]), genes, None) for i, genes in zip(group, found, strict=True)}
        for i, (name, letters) in enumerate(waiting):
            yield Result(name, len(letters), iter([census.found(done[i])]))
        waiting.clear()

    def stream(name: str, pieces: Iterator[NDArray]) -> Iterator[Stretch]:
        if settings.device.type == "cuda" and not settings.accurate:
            found = find_in_blocks(
                finder.model, name, pieces, settings.device, calibration,
                tracks=settings.tracks, introns=settings.introns, block=settings.batch,
            )  # fmt: skip
        else:
            found = find(finder.model, name, pieces, settings.device, calibration, **settings.wanted)
        return map(census.found, found)

    held = 0
    for record in islice(sequences, skip, None):
        pieces = map(census.letters, record.pieces(most + 1))
        first = next(pieces, np.zeros(0, np.uint8))
        if len(first) <= most:
            waiting.append((record.name, first))
            held += len(first) + 1  # empty ones are held too
            if held >= TOGETHER:
                yield from together()
                held = 0
            continue
        held = 0
        yield from together()
        yield Result(record.name, record.length, stream(record.name, chain([first], pieces)))
    yield from together()


def decode_regions(
    sequences: Sequences,
    regions: Sequence[Region],
    finder: Finder,
    settings: Settings,
    census: Census,
    raw: bool = False,
) -> Iterator[Result[Stretch]]:
    """Yield every region's genes, those that reach beyond it too, as they are found in the whole contig.

    Regions come in order and apart from each other; a gene that overlaps several of them belongs to the first.
    """
    calibration = None if raw else finder.calibration
    lengths = sequences.lengths
    assert lengths is not None

    def stretches(where: Region, done: int) -> Iterator[Stretch]:
        name, start, end = where

        def read(a: int, b: int) -> NDArray:
            return sequences.read(name, a, b)

        pieces = (census.letters(read(a, min(end, a + TOGETHER))) for a in range(start, end, TOGETHER))
        if settings.isolated:
            found = find(finder.model, name, pieces, settings.device, calibration, start=start, **settings.wanted)
        else:
            for _ in pieces:  # counted alone: what is read around the region is not
                pass
            length = lengths[name]
            found = find_in_region(
                finder.model, name, read, length, (start, end), settings.device, calibration, **settings.wanted
            )
        for stretch in found:
            yield census.found(stretch._replace(genes=[g for g in stretch.genes if g.exons[0].start >= done]))

    before: Region | None = None
    for where in regions:
        done = before.end if before is not None and before.name == where.name else 0
        yield Result(where.name, lengths[where.name], stretches(where, done))
        before = where
