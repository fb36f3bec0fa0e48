"""Writes genome.fa.gz and genes.gff3.gz: a genome drawn from statistics.json, and where its genes are.

    python example_data/make_genome.py [FOLDER]

Coding sequence is a chain with a law of its own for every codon position; near start codons, splice sites and stop
codons its bases follow the columns of these as well. Every intron has a branch point.
"""

import gzip
import io
import json
import random
import sys
from collections.abc import Sequence
from math import fsum
from pathlib import Path
from typing import Any

from semiseg.formats.gff import write_gff3
from semiseg.genes import Exon, Gene
from semiseg.paths import exon_kinds
from semiseg.sites import STOPS

HERE = Path(__file__).parent
SEED = 27  # draws a GC-AG intron, one of a thousand, and about as many genes and introns as expected
CONTIGS = {"sim1": 140_000, "sim2": 60_000}  # a contig ends after the gene that reaches this
LINE = 60
SHORTEST_EXON = 9  # columns of start and stop codons stay inside of their exons
FORGET = 20  # bases that are drawn and dropped before a stretch: a chain must begin somewhere
START_CODE, *STOP_CODES = (["ACGT".index(base) for base in codon] for codon in ("ATG", *STOPS))
NO_PULL = (1.0,) * 4

Weights = Sequence[float]  # (4,) of bases, not normalised


class Simulator:
    """Draws parts of a genome, as numbers of bases; the same ones on every machine."""

    def __init__(self, statistics: dict[str, Any], seed: int) -> None:
        self.tables = statistics
        self.rng = random.Random(seed)  # of it only random(), which no version of Python may change

    def contig(self, name: str, length: int) -> tuple[str, list[Gene]]:
        """Return the sequence and its genes, by start."""
        strand, gap = "+-"[self.pick([1, 1])], self.length("tandem")
        beside = min(self.tables["flank"], gap // 2)
        bases = self.stretch("intergenic", gap - beside)
        genes = []
        while len(bases) < length:
            before, other = beside, "-" if strand == "+" else "+"
            following = [strand, other][self.pick([self.tables["tandem"], 1000 - self.tables["tandem"]])]
            gap = self.length("tandem" if following == strand else "convergent" if strand == "+" else "divergent")
            beside = min(self.tables["flank"], gap // 2)
            part, exons = self.gene(*((before, beside) if strand == "+" else (beside, before)))
            if strand == "-":
                part, exons = [3 - base for base in reversed(part)], [mirror(e, len(part)) for e in reversed(exons)]
            genes.append(Gene(name, strand, tuple(Exon(len(bases) + e.start, len(bases) + e.end) for e in exons)))
            bases += part + self.stretch("intergenic", gap - 2 * beside)
            strand = following
        return "".join("ACGT"[base] for base in bases), genes

    def gene(self, upstream: int, downstream: int) -> tuple[list[int], list[Exon]]:
        """Return a gene with so many bases before and after it, and its exons in there, as transcribed."""
        lengths = self.exon_lengths()
        message = self.message(lengths)
        bases = self.upstream(upstream)
        exons: list[Exon] = []
        read = 0
        for length in lengths:
            if exons:
                bases += self.intron(bases)
            exons.append(Exon(len(bases), len(bases) + length))
            bases += message[read : read + length]
            read += length
        return bases + self.downstream(downstream, bases), exons

    def exon_lengths(self) -> list[int]:
        """Return the lengths of a gene's exons, together whole codons and no fewer than real genes have."""
        count = 1 + self.pick(self.tables["exons_per_gene"])
        kinds = exon_kinds(count)
        lengths: list[int] = []
        while sum(lengths) < self.tables["lengths"]["coding"][0]:
            lengths = [max(SHORTEST_EXON, self.length(kind)) for kind in kinds]
        lengths[lengths.index(max(lengths))] += -sum(lengths) % 3
        return lengths

    def message(self, lengths: Sequence[int]) -> list[int]:
        """Return the coding sequence of exons: a start codon, codons, and a stop codon."""
        end = sum(lengths) - 3
        pull = self.pull(lengths)
        bases = self.stretch("upstream", FORGET)
        for i in range(end):
            weights = self.next_base(self.tables["coding_chain"][i % 3], bases)
            weights = [a * b for a, b in zip(weights, pull.get(i, NO_PULL), strict=True)]
            if i % 3 == 2:
                weights = [0.0 if [*bases[-2:], base] in STOP_CODES else weights[base] for base in range(4)]
            bases.append(self.pick(weights))
        stop = STOP_CODES[self.pick([self.tables["stop_codons"][codon] for codon in STOPS])]
        return bases[FORGET:] + stop

    def pull(self, lengths: Sequence[int]) -> dict[int, list[float]]:
        """Return how much likelier than elsewhere the bases are at positions of a coding sequence near its sites."""
        sites = [(0, [], self.tables["start"]["after"]), (sum(lengths) - 3, self.tables["stop"]["before"], [])]
        junction = 0
        for length in lengths[:-1]:
            junction += length
            sites.append((junction, self.tables["donor"]["before"], self.tables["acceptor"]["after"]))
        pull: dict[int, list[float]] = {}
        for at, before, after in sites:
            for i, column in enumerate([*before, *after], start=at - len(before)):
                pull[i] = tilt(pull.get(i, NO_PULL), column, self.tables["coding_bases"])
        return pull

    def intron(self, before: Sequence[int]) -> list[int]:
        """Return an intron that follows some bases."""
        donor, branch, last = self.tables["donor"]["after"], self.tables["branch"], self.tables["acceptor"]["before"]
        length = max(len(donor) + len(branch) + len(last), self.length("intron"))
        at = min(max(len(donor), length - self.length("branch_to_acceptor")), length - len(branch) - len(last))
        bases = [*before[-FORGET:], *map(self.pick, donor)]
        self.extend(bases, "intron", at - len(donor))
        bases += map(self.pick, branch)
        self.extend(bases, "intron", length - at - len(branch) - len(last))
        bases += map(self.pick, last)
        return bases[-length:]

    def upstream(self, length: int) -> list[int]:
        """Return what precedes a start codon: the first one of its open frame, as in 98 % of real genes."""
        near = self.tables["start"]["before"]
        near = near[max(0, len(near) - length) :]
        while True:
            bases = self.stretch("upstream", FORGET + length - len(near))
            for column in near:
                weights = self.next_base(self.tables["upstream_chain"], bases)
                bases.append(self.pick(tilt(weights, column, self.tables["upstream_bases"])))
            if not begins_earlier(bases[FORGET:]):
                return bases[FORGET:]

    def downstream(self, length: int, before: Sequence[int]) -> list[int]:
        """Return what follows a stop codon."""
        bases = [*before[-FORGET:], *map(self.pick, self.tables["stop"]["after"][:length])]
        self.extend(bases, "downstream", length + FORGET - len(bases))
        return bases[FORGET:]

    def stretch(self, kind: str, length: int) -> list[int]:
        """Return bases of a kind of sequence."""
        bases = [self.pick([1] * 4) for _ in range(FORGET)]
        self.extend(bases, kind, length + FORGET)
        return bases[2 * FORGET :]

    def extend(self, bases: list[int], kind: str, count: int) -> None:
        """Append bases of a kind of sequence to at least as many as it depends on."""
        chain = self.tables[f"{kind}_chain"]
        for _ in range(count):
            bases.append(self.pick(self.next_base(chain, bases)))

    @staticmethod
    def next_base(chain: Sequence[Weights], bases: Sequence[int]) -> Weights:
        """Return the weights of what follows some bases."""
        order = (len(chain).bit_length() - 1) // 2  # 4^order contexts
        context = 0
        for base in bases[-order:]:
            context = 4 * context + base
        return chain[context]

    def length(self, kind: str) -> int:
        """Return a length by its law: quantiles at the middles of even steps, linear in between."""
        law = self.tables["lengths"][kind]
        at = min(max(0.0, self.rng.random() * len(law) - 0.5), len(law) - 1.0)
        low = int(at)
        high = min(low + 1, len(law) - 1)
        return int(law[low] + (at - low) * (law[high] - law[low]) + 0.5)

    def pick(self, weights: Weights) -> int:
        """Return an index, as likely as its weight."""
        rest = self.rng.random() * fsum(weights)  # sum() rounds otherwise from Python 3.12 on
        for i, weight in enumerate(weights):
            rest -= weight
            if rest < 0:
                return i
        return max(range(len(weights)), key=weights.__getitem__)  # rounding left nothing of the last one


def tilt(weights: Weights, column: Weights, usual: Weights) -> list[float]:
    """Return the weights of a chain, moved by how far a column is from the usual composition."""
    return [a * b / c for a, b, c in zip(weights, column, usual, strict=True)]


def begins_earlier(bases: Sequence[int]) -> bool:
    """Whether there is a start codon upstream, in frame and without a stop codon behind it."""
    for i in range(len(bases) - 3, -1, -3):
        codon = [*bases[i : i + 3]]
        if codon == START_CODE or codon in STOP_CODES:
            return codon == START_CODE
    return False


def mirror(exon: Exon, length: int) -> Exon:
    """Return where an exon lies when its sequence is read from the other end."""
    return Exon(length - exon.end, length - exon.start)


def write_example(folder: Path) -> None:
    """Write both files into a folder."""
    simulator = Simulator(json.loads((HERE / "statistics.json").read_text()), SEED)
    fasta, gff, contigs = io.StringIO(), io.StringIO(), []
    for name, length in CONTIGS.items():
        sequence, found = simulator.contig(name, length)
        fasta.write(f">{name}\n" + "".join(f"{sequence[i : i + LINE]}\n" for i in range(0, len(sequence), LINE)))
        contigs.append((name, len(sequence), found))
    write_gff3(contigs, gff)
    pack(folder / "genome.fa.gz", fasta.getvalue())
    pack(folder / "genes.gff3.gz", gff.getvalue())


def pack(path: Path, text: str) -> None:
    """Write text with gzip, without a name or a time in it."""
    with path.open("wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed:
        packed.write(text.encode())


if __name__ == "__main__":
    write_example(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
