"""Gene annotation of any of the usual formats, and the part of it that a gene finder can learn from."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from ..errors import SemisegError, show_names
from ..genes import Exon, Gene, Transcript, coding_length
from .files import describe, read_lines
from .genbank import read_genbank
from .gff_input import read_gff
from .repair import OUTSIDE, missing, repair


class Annotation(NamedTuple):
    """What a file says."""

    transcripts: list[Transcript]  # with a CDS, in the file's order
    notes: list[str]  # what was set right or left out, one sentence a kind, with its count


class Selection(NamedTuple):
    """What can be learnt from. No two genes overlap, none lies in a masked stretch, and those are apart."""

    genes: list[Gene]  # by contig, in the order of the sequences, and by start
    masked: list[tuple[str, int, int]]  # contig, start, end: has genes that cannot be learnt from
    notes: list[str]


def read_annotation(path: str | Path) -> Annotation:
    """Transcripts of a GFF3, GTF or GenBank file, which is told by its content; "-" is standard input.

    A file without features is an annotation without transcripts: a gene finder may find nothing.
    """
    source = describe(path)
    lines = ((number, line.decode(errors="replace")) for number, line in enumerate(read_lines(path), start=1))
    for number, line in lines:
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith("LOCUS"):
            read = read_genbank
        elif is_bed(line):
            raise SemisegError(
                f"{source}, line {number}: this is BED, and genes are read from GFF3, GTF or GenBank:"
                " semiseg decode --format gff3 writes GFF3"
            )
        elif "\t" in line and not line.startswith(">"):
            read = read_gff
        else:
            raise SemisegError(
                f"{source}, line {number}: expected GFF3, GTF (both with columns separated by tabs) or GenBank,"
                f" found {line[:40]!r}"
            )
        return Annotation(*read(chain([(number, line)], lines), source))
    return Annotation([], [])


def is_bed(line: str) -> bool:
    """Whether a row has its numbers where BED has them, and not where GFF has."""
    numbers = [cell.isdecimal() for cell in line.split("\t")[1:5]]
    return numbers[:2] == [True, True] and numbers[2:] != [True, True]


def select(annotation: Annotation, contigs: Mapping[str, int]) -> Selection:
    """Genes to learn from, one transcript each (the longest CDS that is usable), on sequences of the given lengths.

    A segmentation has one label a base, so genes whose spans overlap on either strand, one in another's intron too,
    cannot be learnt from. They are masked with their whole spans, and so are genes dropped for another reason: they
    are no examples of intergenic sequence. Where one ends that is said to reach beyond its sequence is not known: it is
    masked as far as the next one, and overlaps none. A gene that lacks its start or its stop may have been cut in an
    intron by the sequence's end: if it is the nearest one to that, it is masked as far.
    """
    if not annotation.transcripts:
        raise SemisegError("; ".join(["the annotation has no CDS to learn from", *annotation.notes]))
    notes = list(annotation.notes)
    transcripts = on_contigs(annotation.transcripts, contigs, notes)
    kinds: dict[str, list[Transcript]] = {}  # of what was found about them
    loci: dict[tuple[str, str, str], list[tuple[Gene, bool]]] = {}
    for transcript in transcripts:
        gene = transcript.gene
        repaired = repair(gene, contigs[gene.contig])
        for kind in repaired.found:
            kinds.setdefault(kind, []).append(transcript)
        loci.setdefault((gene.contig, gene.strand, transcript.gene_id), []).append((repaired.gene, repaired.is_usable))
    usable, unusable, isoforms = [], [], 0
    for found in loci.values():
        good = [gene for gene, is_usable in found if is_usable]
        if good:
            usable.append(max(good, key=coding_length))
            isoforms += len(good) - 1
        else:
            unusable += [gene for gene, _ in found]
    for kind, those in sorted(kinds.items()):
        where = f": {show_names(place(x, contigs) for x in those)}" if kind == OUTSIDE else ""
        notes.append(f"{len(those)} transcript(s) {kind}{where}")
    if isoforms:
        notes.append(f"{isoforms} isoform(s) dropped: of each gene the one with the longest CDS was kept")
    genes, masked, overlapping = set_apart(usable, unusable, contigs)
    if overlapping:
        notes.append(f"{overlapping} gene(s) that overlap others: masked")
    if not genes:
        raise SemisegError("; ".join(["the annotation has no gene to learn from", *notes]))
    return Selection(genes, masked, notes)


def on_contigs(transcripts: Sequence[Transcript], contigs: Mapping[str, int], notes: list[str]) -> list[Transcript]:
    """Transcripts that lie on one of the sequences; that names differ is an error if all do, else a note."""
    names = Counter(transcript.gene.contig for transcript in transcripts)
    strange = [name for name in names if name not in contigs]
    if len(strange) == len(names):
        raise SemisegError(
            f"the annotation and the sequences share no name: annotated are {show_names(names)};"
            f" the sequences are {show_names(contigs)}"
        )
    if strange:
        lost = sum(names[name] for name in strange)
        notes.append(f"{lost} transcript(s) on {show_names(strange)}, of which there is no sequence: dropped")
    return [transcript for transcript in transcripts if transcript.gene.contig in contigs]


def place(transcript: Transcript, contigs: Mapping[str, int]) -> str:
    """A gene, where it is said to lie, and on how much."""
    contig, exons = transcript.gene.contig, transcript.gene.exons
    return f"{transcript.gene_id} at {contig}:{exons[0].start + 1}-{exons[-1].end} of {contigs[contig]} bases"


def set_apart(
    usable: Iterable[Gene], unusable: Iterable[Gene], contigs: Mapping[str, int]
) -> tuple[list[Gene], list[tuple[str, int, int]], int]:
    """Usable genes that overlap no other, stretches that hold all the others, and how many usable ones are in those."""
    places = {name: place for place, name in enumerate(contigs)}
    inside: list[Gene] = []
    strays: list[Gene] = []
    for gene in unusable:
        (inside if gene.exons[-1].end <= contigs[gene.contig] else strays).append(gene)
    candidates = [(gene, True) for gene in usable] + [(gene, False) for gene in inside]
    candidates.sort(key=lambda candidate: (places[candidate[0].contig], candidate[0].exons[0].start))
    genes: list[Gene] = []
    masked: list[tuple[str, int, int]] = []
    overlapping = 0
    found = list(clusters(candidates))
    for cluster, before, behind in zip(found, [None, *found], [*found[1:], None], strict=False):
        if len(cluster) == 1 and cluster[0][1]:
            genes.append(cluster[0][0])
            continue
        overlapping += sum(is_usable for _, is_usable in cluster)
        contig = cluster[0][0].contig
        lost_low, lost_high = map(any, zip(*(missing(gene, contigs[contig]) for gene, _ in cluster), strict=True))
        is_first, is_last = (beside is None or beside[0][0].contig != contig for beside in (before, behind))
        low = 0 if lost_low and is_first else cluster[0][0].exons[0].start
        high = contigs[contig] if lost_high and is_last else max(gene.exons[-1].end for gene, _ in cluster)
        masked.append((contig, low, high))
    return genes, masked + up_to_the_next(strays, genes, masked, contigs), overlapping


def up_to_the_next(
    strays: Iterable[Gene], genes: Iterable[Gene], masked: Iterable[tuple[str, int, int]], contigs: Mapping[str, int]
) -> list[tuple[str, int, int]]:
    """Stretches from where genes begin, if nothing is there, to what comes next on the contig, or to its end."""
    taken = sorted([*((gene.contig, gene.exons[0].start, gene.exons[-1].end) for gene in genes), *masked])
    out = []
    for contig, low in sorted({(gene.contig, gene.exons[0].start) for gene in strays}):
        length = contigs[contig]
        i = bisect_right(taken, (contig, low, length))
        reached = taken[i - 1][2] if i > 0 and taken[i - 1][0] == contig else 0
        high = taken[i][1] if i < len(taken) and taken[i][0] == contig else length
        if reached <= low < length:
            out.append((contig, low, high))
            taken.insert(i, out[-1])
    return out


def count_crowded(transcripts: Iterable[Transcript]) -> tuple[int, int]:
    """How many transcripts there are beyond one a gene, and how many genes overlap others."""
    loci: dict[tuple[str, str, str], list[Gene]] = {}
    for gene, gene_id in transcripts:
        loci.setdefault((gene.contig, gene.strand, gene_id), []).append(gene)
    spans = [
        isoforms[0]._replace(
            exons=(Exon(min(x.exons[0].start for x in isoforms), max(x.exons[-1].end for x in isoforms)),)
        )
        for isoforms in loci.values()
    ]
    spans.sort(key=lambda gene: (gene.contig, gene.exons[0].start))
    sizes = [len(cluster) for cluster in clusters((gene, True) for gene in spans)]
    return sum(len(x) - 1 for x in loci.values()), sum(size for size in sizes if size > 1)


def clusters(candidates: Iterable[tuple[Gene, bool]]) -> Iterator[list[tuple[Gene, bool]]]:
    """Groups of genes whose spans overlap, directly or through others; they come sorted by contig and start."""
    cluster: list[tuple[Gene, bool]] = []
    high = 0
    for gene, is_usable in candidates:
        if cluster and (gene.contig != cluster[0][0].contig or gene.exons[0].start >= high):
            yield cluster
            cluster, high = [], 0
        cluster.append((gene, is_usable))
        high = max(high, gene.exons[-1].end)
    if cluster:
        yield cluster
