"""Gene models as paths of labels, and back."""

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .errors import SemisegError
from .genes import Exon, Gene, coding_length, phases
from .sites import REACH, SITE, SITES, gaps, left_bases

if TYPE_CHECKING:
    from .grammar import Grammar, Label

KIND_BETWEEN = {  # by whether introns lie upstream and downstream
    (False, False): "single",
    (False, True): "initial",
    (True, True): "internal",
    (True, False): "terminal",
}
STOP = 3  # bases of the stop codon, which belong to a gene and not to its exon labels
FAR = 1 << 62  # beyond every end of a sequence


def exon_kinds(count: int) -> list[str]:
    """Return the kinds of the exons of a whole gene, as transcribed."""
    return [KIND_BETWEEN[i > 0, i < count - 1] for i in range(count)]


def path(
    grammar: "Grammar", genes: Sequence[Gene], length: int, origin: int, bases: NDArray | None
) -> tuple[NDArray, NDArray, NDArray]:
    """Return starts, ends and labels of the segments of a window."""
    segments: list[tuple[int, int, int]] = []
    at, before = 0, None
    shortest = grammar.shortest["intergenic"]
    for gene in sorted(genes, key=_extent):
        low, high = _extent(gene)
        if high <= origin or origin + length <= low:
            continue
        if (reason := _misfit(grammar, gene, origin, origin + length)) is not None:
            raise SemisegError(f"{_named(gene)} does not fit the gene grammar: {reason}")
        if before is not None and low - _extent(before)[1] < shortest:
            raise SemisegError(
                f"{_named(before)} and {_named(gene)} are less than {shortest} bases apart without their stop codons"
            )
        before = gene
        for piece_start, piece_end, label in _pieces(grammar, gene, origin, origin + length, bases):
            start, end = max(0, piece_start - origin), min(length, piece_end - origin)
            if start < end:
                if at < start:
                    segments.append((at, start, 0))
                segments.append((start, end, label))
                at = end
    if at < length:
        segments.append((at, length, 0))
    starts, ends, labels = np.array(segments, np.int64).reshape(-1, 3).T
    return starts, ends, labels


def genes(
    grammar: "Grammar", starts: NDArray, ends: NDArray, labels: NDArray, contig: str, length: int, origin: int
) -> list[Gene]:
    """Return the genes of the segments of a window."""
    out = []
    for run in _runs(starts.tolist(), ends.tolist(), [grammar.labels[c] for c in labels.tolist()]):
        exons = [segment for segment in run if segment[2].is_exon]
        if not exons:  # the whole window lies in an intron
            continue
        low, high = run[0][0], run[-1][1]
        plus = exons[0][2].strand == 0
        start, end, label = exons[0 if plus else -1]
        phase = (label.frame - start - origin) % 3 if plus else (end + origin - label.frame) % 3
        bounds = [[start, end] for start, end, _ in exons]
        if plus and high < length:
            high += STOP
            bounds[-1][1] = min(high, length)
        elif not plus and low > 0:
            low -= STOP
            bounds[0][0] = max(low, 0)
        # a stop codon may be cut off in its middle; one that ends with the sequence is whole
        partial = (low < 0 or run[0][0] == 0, high > length or run[-1][1] == length)
        parts = tuple(Exon(start + origin, end + origin) for start, end in bounds)
        out.append(Gene(contig, "+" if plus else "-", parts, phase=phase, partial=partial))
    return out


def problem(grammar: "Grammar", gene: Gene, bases: NDArray) -> str | None:
    """Return why a gene cannot be said, or None."""
    if (reason := _misfit(grammar, gene, 0, len(bases))) is not None:
        return reason
    low, high = gene.exons[0].start, gene.exons[-1].end
    if low < 0 or high > len(bases):
        return f"it lies outside its sequence of {len(bases)} bases"
    low, high = max(0, low - REACH), min(len(bases), high + REACH)
    around = bases[low:high]
    starts, ends, labels = path(grammar, [gene], high - low, low, around)
    forbidden, impossible = grammar.masks(around, low)
    for start, end, label in zip(starts.tolist(), ends.tolist(), labels.tolist(), strict=True):
        if (inside := forbidden[start:end, label]).any():
            at = start + int(inside.argmax())
            return f"{'unknown bases' if gaps(around)[at] else 'in-frame stop codon'} at {low + at + 1}"
    for t, change in zip(starts[1:].tolist(), pairwise(labels.tolist()), strict=True):
        if impossible[t, column := grammar.types[change]]:
            return _unlike(SITES[grammar.type_sites[column]], around, t, low)
    return None


class Part(NamedTuple):
    """An exon without the stop codon."""

    start: int
    end: int
    kind: str
    is_cut: bool  # by the end of the sequence


def _parts(grammar: "Grammar", gene: Gene, low: int, high: int) -> list[Part]:
    """The exons of a gene of the sequence [low, high); one that is cut off there counts as its gene's first or last."""
    plus, n = gene.strand == "+", len(gene.exons)
    bounds = [(exon.start, exon.end) for exon in gene.exons]
    cut_low, cut_high = gene.partial[0] and bounds[0][0] <= low, gene.partial[1] and bounds[-1][1] >= high
    if plus and not gene.partial[1]:
        bounds[-1] = (bounds[-1][0], bounds[-1][1] - STOP)
    elif not plus and not gene.partial[0]:
        bounds[0] = (bounds[0][0] + STOP, bounds[0][1])
    out = []
    for i, (start, end) in enumerate(bounds):
        left = i > 0 or (gene.partial[0] and not cut_low)  # an intron lies there
        right = i < n - 1 or (gene.partial[1] and not cut_high)
        kind = KIND_BETWEEN[(left, right) if plus else (right, left)] if grammar.has_kinds else "exon"
        out.append(Part(start, end, kind, (i == 0 and cut_low) or (i == n - 1 and cut_high)))
    return out


def _misfit(grammar: "Grammar", gene: Gene, low: int, high: int) -> str | None:
    """Why a gene of the sequence [low, high) cannot be said whatever its bases are."""
    cut_before, cut_behind = gene.partial if gene.strand == "+" else gene.partial[::-1]
    if any(exon.start >= exon.end for exon in gene.exons):
        return "an exon is empty"
    for left, right in pairwise(gene.exons):
        if (gap := right.start - left.end) < grammar.shortest["intron"]:
            return f"intron of {gap} bases" if gap >= 0 else "its exons overlap or are not in order"
    coding = coding_length(gene) - gene.phase
    if gene.phase and not cut_before:
        return f"phase {gene.phase}, though its start is not cut off"
    if coding % 3 and not cut_behind:
        return f"its {coding} coding bases are no multiple of three"
    for part in _parts(grammar, gene, low, high):
        size = part.end - part.start
        if size <= 0:
            return "its last exon holds no more than its stop codon"
        if size < grammar.shortest[part.kind] and not part.is_cut:
            return f"{part.kind} of {size} bases, which is shorter than {grammar.shortest[part.kind]}"
    return None


def _extent(gene: Gene) -> tuple[int, int]:
    """From where to where a gene has labels: without its stop codon, and without end where it is cut off."""
    stop_low, stop_high = (0, STOP) if gene.strand == "+" else (STOP, 0)
    return (
        -FAR if gene.partial[0] else gene.exons[0].start + stop_low,
        FAR if gene.partial[1] else gene.exons[-1].end - stop_high,
    )


def _pieces(
    grammar: "Grammar", gene: Gene, low: int, high: int, bases: NDArray | None
) -> Iterator[tuple[int, int, int]]:
    """Start, end and label of every segment of a gene of the window [low, high); cut introns have no end."""
    strand = int(gene.strand == "-")
    index = _index(grammar)
    at = -FAR
    for i, (part, frame) in enumerate(zip(_parts(grammar, gene, low, high), _frames(gene), strict=True)):
        if i > 0 or gene.partial[0]:
            phase = _phase(strand, part.start, frame)
            memory = _word(bases, at - low, left_bases(strand, phase))
            yield at, part.start, index.get(("intron", strand, phase, memory), index["intron", strand, phase, ""])
        yield part.start, part.end, index[part.kind, strand, frame, ""]
        at = part.end
    if gene.partial[1]:
        phase = _phase(strand, at, frame)
        memory = _word(bases, at - low, left_bases(strand, phase))
        yield at, FAR, index.get(("intron", strand, phase, memory), index["intron", strand, phase, ""])


def _frames(gene: Gene) -> list[int]:
    """The low edge of the codons of every exon, modulo 3."""
    pairs = zip(gene.exons, phases(gene), strict=True)
    return [(exon.start + phase if gene.strand == "+" else exon.end - phase) % 3 for exon, phase in pairs]


def _phase(strand: int, t: int, frame: int) -> int:
    """How many bases of the codon that is split at t are transcribed before the intron there."""
    return (t - frame) % 3 if strand == 0 else (frame - t) % 3


def _word(bases: NDArray | None, end: int, size: int) -> str:
    """The bases before a position; empty where some lie outside."""
    if bases is None or not size <= end <= len(bases):
        return ""
    return "".join("ACGTN"[code] for code in bases[end - size : end])


@cache
def _index(grammar: "Grammar") -> dict[tuple[str, int, int, str], int]:
    """The label of each kind, strand, frame and word left of an intron; the empty word stands for all others."""
    return {
        (label.kind, label.strand, label.frame, word): c
        for c, label in enumerate(grammar.labels)
        for word in label.memory or ("",)
    }


def _runs(starts: list[int], ends: list[int], labels: "list[Label]") -> Iterator[list[tuple[int, int, "Label"]]]:
    """The segments of every gene."""
    segments = zip(starts, ends, labels, strict=True)
    for inside, run in groupby(segments, key=lambda segment: segment[2].kind != "intergenic"):
        if inside:
            yield list(run)


def _unlike(site: str, bases: NDArray, t: int, low: int) -> str:
    """What is wrong with a boundary at t of some bases, of which the first lies at `low`."""
    words, offset = SITE[site]
    at = t + offset
    found = "".join("ACGTN"[code] for code in bases[max(0, at) : at + len(words[0])])
    if any(all(letter in ("N", base) for letter, base in zip(found, word, strict=False)) for word in words):
        return f"the intron at {site} {low + t} splits an in-frame stop codon"
    return f"{site} at {low + t} is {found}, not {' or '.join(words)}"


def _named(gene: Gene) -> str:
    """Name and place of a gene, for messages; as GFF counts."""
    place = f"{gene.contig}:{gene.exons[0].start + 1}-{gene.exons[-1].end} ({gene.strand})"
    return f"gene {gene.name}, {place}," if gene.name else f"the gene {place}"
