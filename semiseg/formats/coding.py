"""One gene from the coding parts that a file lists."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ..genes import Exon, Gene


class Part(NamedTuple):
    """One stretch of a coding sequence as a file gives it, 0-based and half-open."""

    start: int
    end: int
    phase: int | None = None  # None: not given
    score: float | None = None
    cut: tuple[bool, bool] = (False, False)  # said to go on beyond its low, and its high coordinate
    partial: bool = False  # said to be incomplete, without saying where


class Joined(NamedTuple):
    """A gene and what had to be set right."""

    gene: Gene
    wrong_phase: bool


def join_parts(contig: str, strand: str, name: str, parts: Iterable[Part], posterior: float | None = None) -> Joined:
    """The gene that the parts make up, in any order.

    Incomplete without saying where is taken as incomplete at both ends; so is a gene that begins within a codon at its
    beginning, if that makes its length whole.
    """
    parts = sorted(parts)
    low, high = parts[0].cut[0], parts[-1].cut[1]
    if not low and not high and any(part.partial for part in parts):
        low = high = True
    forward = strand == "+"
    phase, wrong = first_phase(parts if forward else parts[::-1], low if forward else high)
    if phase:
        low, high = (True, high) if forward else (low, True)
    exons = tuple(Exon(part.start, part.end, part.score) for part in parts)
    return Joined(Gene(contig, strand, exons, name, phase, (low, high), posterior), wrong)


def first_phase(parts: Sequence[Part], cut: bool) -> tuple[int, bool]:
    """Phase of the first of the parts in the order of transcription, and whether the phases given are wrong.

    Each part's phase implies the first one's. They are right if all imply the same and, where a gene is complete at its
    beginning, this is 0. If wrong, a complete gene begins with a whole codon, and a cut one as most of its parts say.
    """
    length = 0
    implied = []
    for part in parts:
        if part.phase is not None:
            implied.append((part.phase + length) % 3)
        length += part.end - part.start
    if not implied:
        return 0, False
    phase, votes = Counter(implied).most_common(1)[0]
    if votes == len(implied) and (phase == 0 or cut or (length - phase) % 3 == 0):
        return phase, False
    return (phase if cut else 0), True


def merge_stops(parts: Iterable[Part], stops: Iterable[tuple[int, int]]) -> list[Part]:
    """The parts with the stop codons that a file lists apart: joined to what they touch, else a part of their own.

    A stop codon that touches nothing follows an intron, as does the second piece of a split one.
    """
    merged = list(parts)
    for start, end in sorted(stops):
        for i, part in enumerate(merged):
            if part.start <= end and start <= part.end:
                merged[i] = part._replace(start=min(start, part.start), end=max(end, part.end))
                break
        else:
            merged.append(Part(start, end))
    return merged
