"""A genome in parts: what is learnt from, and what is set aside to validate on, by sequence or by region."""

import re
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from .errors import SemisegError, UsageError
from .formats.annotation import Selection
from .formats.fasta import Contig
from .formats.files import describe, read_lines
from .formats.sequences import no_sequence
from .genes import Gene

NUMBER = re.compile(r"[0-9]{1,18}")
SPAN = re.compile(r"([0-9]{1,18})(?:-([0-9]{1,18})?)?")


class Region(NamedTuple):
    """A stretch of a contig."""

    name: str
    start: int
    end: int


class Part(NamedTuple):
    """A stretch of a contig, with what lies in it in its own coordinates."""

    contig: Contig
    genes: list[Gene]
    hidden: list[tuple[int, int]]
    aside: bool  # to validate on


def parse(
    text: str, contigs: Mapping[str, Contig], option: str = "--val", say: Callable[[str], None] = lambda text: None
) -> Region:
    """Return the region of contigs that are in memory."""
    return region(text, {name: len(contig.sequence) for name, contig in contigs.items()}, option, say)


def region(
    text: str, lengths: Mapping[str, int], option: str, say: Callable[[str], None] = lambda text: None
) -> Region:
    """Return the region of `name`, `name:from` or `name:from-to`, 1-based and inclusive as in samtools.

    The whole text is tried as a name first, since names may hold colons. Without an end it goes to the sequence's;
    from beyond it is cut there, and `say` gets to know.
    """
    if text in lengths:
        return Region(text, 0, lengths[text])
    name, _, span = text.rpartition(":")
    found = SPAN.fullmatch(span.replace(",", ""))
    if name not in lengths:
        raise no_sequence(option, name if name and found else text, lengths)
    if found is None:
        raise UsageError(f"{option}: expected NAME or NAME:FROM-TO, got {text!r}")
    first, last = found.groups()
    length = lengths[name]
    start, end = int(first) - 1, int(last or length)
    if start < 0:
        raise UsageError(f"{option}: {text}: positions count from 1, both ends included")
    if not start < min(end, length):
        raise SemisegError(f"{option}: {text} is empty: {name} has {length} bases")
    if end > length:
        say(f"{option}: {text} is cut at the end of {name}, which has {length} bases")
    return Region(name, start, min(end, length))


def cut(contigs: Mapping[str, Contig], chosen: Selection, regions: list[Region]) -> list[Part]:
    """Return contigs cut into what is learnt from and what is set aside; a gene that is cut is hidden."""
    genes: dict[str, list[Gene]] = {name: [] for name in contigs}
    hidden: dict[str, list[tuple[int, int]]] = {name: [] for name in contigs}
    for gene in chosen.genes:
        genes[gene.contig].append(gene)
    for name, start, end in chosen.masked:
        hidden[name].append((start, end))
    parts = []
    for name, contig in contigs.items():
        own = sorted((r.start, r.end) for r in regions if r.name == name)
        if any(a[1] > b[0] for a, b in pairwise(own)):
            raise SemisegError(f"--val: regions of {name} overlap")
        edges = sorted({0, len(contig.sequence), *(edge for span in own for edge in span)})
        if len(edges) == 2:
            parts.append(Part(contig, genes[name], hidden[name], bool(own)))
            continue
        parts += [part_of(contig, genes[name], hidden[name], *span, span in own) for span in pairwise(edges)]
    return parts


def part_of(
    contig: Contig, genes: list[Gene], hidden: list[tuple[int, int]], start: int, end: int, aside: bool
) -> Part:
    """Return one stretch of a contig, named as a region."""
    name = f"{contig.name}:{start + 1}-{end}"
    inside, covered = [], [(max(a, start) - start, min(b, end) - start) for a, b in hidden if a < end and start < b]
    for gene in genes:
        low, high = gene.exons[0].start, gene.exons[-1].end
        if start <= low and high <= end:
            exons = tuple(e._replace(start=e.start - start, end=e.end - start) for e in gene.exons)
            inside.append(gene._replace(contig=name, exons=exons))
        elif low < end and start < high:
            covered.append((max(low, start) - start, min(high, end) - start))
    return Part(Contig(name, contig.sequence[start:end]), inside, covered, aside)


def set_aside(contigs: Mapping[str, Contig]) -> list[str]:
    """Return the sequence nearest to a tenth of the genome, to validate on; a genome of one sequence has none."""
    if len(contigs) < 2:
        raise SemisegError("--val: the genome is one sequence: name a region of it to validate on, NAME:FROM-TO")
    tenth = sum(len(c.sequence) for c in contigs.values()) / 10
    return [min(contigs, key=lambda name: abs(len(contigs[name].sequence) - tenth))]


def read_regions(
    path: Path, lengths: Mapping[str, int], say: Callable[[str], None] = lambda text: None
) -> list[Region]:
    """Return the regions of a BED file, cut at the sequences' ends; `say` gets how many are."""
    out, beyond = [], 0
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip() or line.startswith((b"#", b"track", b"browser")):
            continue
        cells = line.decode(errors="replace").split("\t")
        where = f"{describe(path)}, line {number}"
        if not (len(cells) > 2 and all(map(NUMBER.fullmatch, cells[1:3])) and int(cells[1]) < int(cells[2])):
            found = " ".join(cells[:3])
            raise SemisegError(f"{where}: expected BED: name, start < end, separated by tabs, found {found[:40]!r}")
        if cells[0] not in lengths:
            raise no_sequence(where, cells[0], lengths)
        start, end = int(cells[1]), min(int(cells[2]), lengths[cells[0]])
        if start >= end:
            raise SemisegError(f"{where}: {cells[0]} has {lengths[cells[0]]} bases")
        beyond += end < int(cells[2])
        out.append(Region(cells[0], start, end))
    if beyond:
        say(f"{describe(path)}: {beyond} region(s) are cut at the ends of their sequences")
    return out
