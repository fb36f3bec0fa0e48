"""What a gene model learns from: contigs with their labels, what to leave out, and what is set aside to validate on."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .depth import Depth, measured
from .errors import SemisegError
from .formats.annotation import read_annotation, select
from .formats.fasta import Contig, read_fasta
from .gene_model import EXONS, LawConfig
from .gene_windows import Strip
from .genes import Gene
from .grammar import Grammar
from .metrics import introns
from .parts import cut, parse, set_aside
from .sites import encode
from .stop_codons import with_stop_codons
from .training import UNKNOWN

BESIDE = 30  # bases around a gene left out that are left out too: what it was taken for may begin a little earlier
SITE = re.compile(r"(\w+)[+-] at \d+ is ")  # as the grammar tells a site that is none
WHERE = re.compile(r" at (\w+[+-] )?\d+(?=$| splits)")
WRONG = {
    "start": "no start codon at its start",
    "stop": "no stop codon at its end",
    "donor": "an intron without GT or GC at its start",
    "acceptor": "an intron without AG at its end",
}
FEW = 20  # lengths too few to say anything about a law


class Corpus(NamedTuple):
    """Contigs by role, and what was done to the annotation, in sentences."""

    training: list[Strip]
    validation: list[tuple[Contig, list[Gene]]]
    lengths: dict[str, list[int]]  # of what duration laws are about, in the training part
    floor: int  # the shortest intron that is believed
    depth: Depth  # of what is learnt from
    notes: list[str]


def gather(genome: Path, annotation: Path, grammar: Grammar, validation: Sequence[str]) -> Corpus:
    """Return a genome's contigs with labels; those named for validation, or regions of them, are not learnt from."""
    contigs = {contig.name: contig for contig in read_fasta(genome)}
    notes: list[str] = []
    regions = [parse(text, contigs, say=notes.append) for text in validation or set_aside(contigs)]
    said = with_stop_codons(read_annotation(annotation), contigs)
    chosen = select(said, {name: len(c.sequence) for name, c in contigs.items()})
    parts = cut(contigs, chosen, regions)
    problems: Counter[str] = Counter()
    lengths: dict[str, list[int]] = {}
    strips = []
    learnt = [part for part in parts if not part.aside]
    floor = shortest_intron([gene for part in learnt for gene in part.genes], grammar)
    for part in learnt:
        strip, spans = label(part.contig, part.genes, part.hidden, grammar, problems, floor)
        strips.append(strip)
        for law, found in spans.items():
            lengths.setdefault(law, []).extend(found)
    notes += [*chosen.notes, *(f"left out of the loss: {n} genes ({why})" for why, n in problems.most_common())]
    if not any(len(strip.genes) for strip in strips):
        where = "no gene to learn from outside of the validation sequences"
        raise SemisegError("; ".join([f"{annotation}: {where}", *notes]))
    depth = measured([part.contig for part in learnt], [gene for part in learnt for gene in part.genes])
    aside = [(part.contig, part.genes) for part in parts if part.aside]
    return Corpus(strips, aside, lengths, floor, depth, notes)


def shortest_intron(genes: list[Gene], grammar: Grammar) -> int:
    """Return a length that all but one in a thousand introns reach."""
    seen = [span.end - span.start for gene in genes for span in introns(gene)]
    return max(grammar.shortest["intron"], int(np.quantile(seen, 0.001)) if len(seen) >= FEW else 0)


def label(
    contig: Contig,
    genes: list[Gene],
    hidden: list[tuple[int, int]],
    grammar: Grammar,
    problems: Counter[str],
    floor: int = 0,
) -> tuple[Strip, dict[str, list[int]]]:
    """Return a contig with a label for every position, and the lengths of its segments by law."""
    codes = encode(contig.sequence)
    good: list[Gene] = []
    for gene in sorted(genes, key=lambda g: g.exons[0].start):
        span = gene.exons[0].start, gene.exons[-1].end
        why = grammar.problem(gene, codes)
        if why is None and any(span.end - span.start < floor for span in introns(gene)):
            why = f"an intron shorter than {floor}"
        if why is None and good and span[0] - good[-1].exons[-1].end < grammar.shortest["intergenic"]:
            why = "too close to the gene before it"
        if why is None:
            good.append(gene)
        else:
            problems[reason(why)] += 1
            hidden = [*hidden, span]
    starts, ends, names = grammar.path(good, len(codes), 0, codes)
    labels = np.repeat(names, ends - starts).astype(np.int16)
    for low, high in hidden:
        labels[max(0, low - BESIDE) : high + BESIDE] = UNKNOWN
    lengths: dict[str, list[int]] = {}
    for start, end, name in zip(starts[1:-1], ends[1:-1], names[1:-1], strict=True):
        lengths.setdefault(grammar.laws[grammar.law_of[name]], []).append(int(end - start))
    spans = np.array([(g.exons[0].start, g.exons[-1].end) for g in good], np.int64).reshape(-1, 2)
    return Strip(contig.name, contig.sequence, codes, labels, spans), lengths


def reason(problem: str) -> str:
    """Return what is wrong with a gene without where it is, to be counted."""
    if found := SITE.match(problem):
        return WRONG[found[1]]
    return WHERE.sub("", problem)


def laws(corpus: Corpus, grammar: Grammar, most: int) -> dict[str, LawConfig]:
    """Return laws to begin with: lognormal, as long as most of what was seen, introns no shorter than nearly all.

    No law has more than so many explicit lengths, or one more than are too short.
    """
    lengths = corpus.lengths
    out = {}
    for name in grammar.laws:
        seen = np.array(lengths.get(name, []), float)
        if len(seen) < FEW:  # exons of any kind stand in for one that is rare
            seen = np.array([n for kind in (*EXONS, "exon") for n in lengths.get(kind, [])] or [300], float)
        shortest = corpus.floor if name == "intron" else grammar.shortest[name]
        longest = max(shortest + 1, min(int(np.quantile(seen, 0.99)), most))
        shape = {"mean": float(np.log(seen).mean()), "deviation": float(max(0.1, np.log(seen).std()))}
        out[name] = LawConfig("lognormal", longest, shortest, shape)
    return out


def covered(strips: Sequence[Strip]) -> NDArray:
    """Return (2,) shares of positions: in genes, and left out."""
    total = sum(len(s.labels) for s in strips)
    genes = sum(int((s.labels > 0).sum()) for s in strips)
    return np.array([genes, sum(int((s.labels == UNKNOWN).sum()) for s in strips)]) / max(1, total)
