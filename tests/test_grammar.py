"""The gene grammar against random spliced genes, and against all genes that a short sequence can hold."""

import math
from collections.abc import Iterator
from itertools import pairwise, product
from typing import NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tolerances import EXACT

from semiseg.errors import SemisegError
from semiseg.genes import Exon, Gene, phases
from semiseg.grammar import Grammar, grammar
from semiseg.kernels import Boundary, Potentials, log_partition, viterbi
from semiseg.sites import SITES, complement, encode

ALL = (13, 19, 31, 37)
STOPS = ("TAA", "TAG", "TGA")
CODONS = [word for letters in product("ACGT", repeat=3) if (word := "".join(letters)) not in STOPS]


class Planted(NamedTuple):
    text: str
    genes: list[Gene]


def mirrored(gene: Gene, length: int) -> Gene:
    """The same gene on the other strand of a contig."""
    exons = tuple(Exon(length - exon.end, length - exon.start) for exon in gene.exons[::-1])
    return gene._replace(strand="-+"[gene.strand == "-"], exons=exons, partial=gene.partial[::-1])


def random_text(rng: np.random.Generator, length: int) -> str:
    return "".join(rng.choice(list("ACGT"), length))


def spliced(rng: np.random.Generator, message: str, cuts: list[int], intron: int = 12) -> Planted:
    """A gene on the + strand whose message is cut by introns before some of its bases."""
    text, exons = "", []
    for start, end in pairwise([0, *cuts, len(message)]):
        if exons:
            text += str(rng.choice(["GT", "GT", "GC"])) + random_text(rng, int(rng.integers(intron))) + "AG"
        exons.append(Exon(len(text), len(text) + end - start))
        text += message[start:end]
    return Planted(text, [Gene("c", "+", tuple(exons))])


def random_gene(rng: np.random.Generator, shortest: dict[str, int], codons: int = 20) -> Planted:
    """A gene with up to 8 introns, which leave some exons as short as may be."""
    message = "ATG" + "".join(rng.choice(CODONS, int(rng.integers(1, codons)))) + str(rng.choice(STOPS))
    low, high = shortest["initial"], len(message) - 3 - shortest["terminal"]
    cuts: list[int] = []
    for cut in sorted(rng.integers(low, high + 1, int(rng.integers(9))).tolist()):
        if not cuts or cut - cuts[-1] >= shortest["internal"]:
            cuts.append(cut)
    return spliced(rng, message, cuts)


def random_contig(seed: int, has_kinds: bool = True, number: int = 4, codons: int = 20, gap: int = 40) -> Planted:
    """Some genes of both strands between random bases."""
    rng = np.random.default_rng(seed)
    shortest = {"initial": 3, "internal": 2, "terminal": 1} if has_kinds else dict.fromkeys(KINDS, 3)
    text, genes = random_text(rng, int(rng.integers(6, gap))), []
    for _ in range(number):
        one = random_gene(rng, shortest, codons)
        gene = one.genes[0]
        piece = one.text
        if rng.random() < 0.5:
            piece, gene = complement(piece), mirrored(gene, len(piece))
        genes.append(moved(gene, len(text)))
        text += piece + random_text(rng, int(rng.integers(6, gap)))
    return Planted(text, genes)


KINDS = ("initial", "internal", "terminal")


def moved(gene: Gene, by: int) -> Gene:
    return gene._replace(exons=tuple(Exon(exon.start + by, exon.end + by) for exon in gene.exons))


def illegal(g: Grammar, text: str, path: tuple[NDArray, NDArray, NDArray], origin: int = 0) -> list[str]:
    """Every rule of the grammar that a path breaks."""
    starts, ends, labels = (array.tolist() for array in path)
    assert starts == [0, *ends[:-1]]
    assert ends[-1] == len(text)
    forbidden, impossible = g.masks(encode(text.encode()), origin)
    found = [f"stop in {g.labels[c]}" for s, e, c in zip(*path, strict=True) if forbidden[s:e, c].any()]
    for t, (a, b) in zip(starts[1:], pairwise(labels), strict=True):
        if not g.transitions[(origin + t) % 3, a, b]:
            found.append(f"change at {t} from {g.labels[a]} to {g.labels[b]}")
        elif impossible[t, g.types[a, b]]:
            found.append(f"site at {t}: {g.columns[g.types[a, b]]}")
    for start, end, c in list(zip(starts, ends, labels, strict=True))[1:-1]:
        if end - start < g.shortest[g.laws[g.law_of[c]]]:
            found.append(f"{g.labels[c]} of {end - start}")
    return found


def variants(g: Grammar, labels: NDArray) -> Iterator[NDArray]:
    """The same labels with everything that their introns could remember."""
    same = [[d for d, other in enumerate(g.labels) if other[:3] == g.labels[c][:3]] for c in labels]
    yield from map(np.array, product(*same))


def test_sizes() -> None:
    for size in ALL:
        g = grammar(size)
        C = len(g.labels)
        assert C == size
        assert g.labels[0].kind == "intergenic"
        assert g.transitions.shape == (3, C, C)
        assert ((g.types >= 0) == g.transitions.any(0)).all()  # a type for every change that some phase allows
        assert (g.transitions.sum(0)[g.types >= 0] == 1).all()  # one phase each: frames are absolute
        assert set(g.types[g.types >= 0].tolist()) == set(range(len(g.columns)))
        assert [SITES[i] for i in g.type_sites] == [column.site for column in g.columns]
        assert set(g.type_sites.tolist()) == set(range(8))
        assert set(g.shortest) == set(g.laws)
        assert [g.laws[i] for i in g.law_of] == [label.kind for label in g.labels]
        assert sum(label.kind == "intron" for label in g.labels) == (12 if g.has_memory else 6)


def test_a_grammar_is_made_once_and_cannot_be_changed() -> None:
    g = grammar(37)
    assert g is grammar(37)
    for array in (g.transitions, g.types, g.type_sites, g.law_of):
        with pytest.raises(ValueError, match="read-only"):
            array[:] = 0
    with pytest.raises(TypeError):
        g.shortest["intron"] = 1  # type: ignore[index]
    with pytest.raises(AttributeError):
        g.labels = ()  # type: ignore[misc]


@pytest.mark.parametrize("size", ALL)
def test_true_paths_are_legal_and_give_the_genes_back(size: int) -> None:
    g = grammar(size)
    strands, splices, sizes = {"+": 0, "-": 0}, set(), set()
    for seed in range(120):
        text, genes = random_contig(seed, g.has_kinds)
        bases, origin = encode(text.encode()), seed % 7
        shifted = [moved(gene, origin) for gene in genes]
        path = g.path(shifted, len(text), origin, bases)
        assert illegal(g, text, path, origin) == []
        assert g.genes(*path, "c", len(text), origin) == shifted
        for gene in genes:
            assert g.problem(gene, bases) is None
            strands[gene.strand] += 1
            splices |= {(gene.strand, phase) for phase in phases(gene)}
            sizes |= {exon.end - exon.start for exon in gene.exons}
    assert min(strands.values()) > 200
    assert len(splices) == 6
    assert min(sizes) == (2 if g.has_kinds else 3)


@pytest.mark.parametrize("strand", "+-")
@pytest.mark.parametrize("stop", STOPS)
@pytest.mark.parametrize("left", [0, 1, 2, 3])
def test_a_stop_codon_split_by_an_intron_has_no_path(stop: str, left: int, strand: str) -> None:
    rng = np.random.default_rng(left)
    message = "ATGGCCGCC" + stop + "GCCGGCTAA"
    for size in ALL:
        g = grammar(size)
        for unsplit in (False, True):
            cuts = [4, 14] if unsplit else [4, 9 + left]
            text, [gene] = spliced(rng, message, cuts)
            text, gene = random_text(rng, 9) + text + random_text(rng, 9), moved(gene, 9)
            if strand == "-":
                text, gene = complement(text), mirrored(gene, len(text))
            bases = encode(text.encode())
            starts, ends, labels = g.path([gene], len(text), 0, bases)
            legal = [v for v in variants(g, labels) if illegal(g, text, (starts, ends, v)) == []]
            is_split = left in (1, 2) and not unsplit
            assert len(legal) == (1 if is_split and not g.has_memory else 0)
            assert ("stop codon" in (g.problem(gene, bases) or "")) == (not legal)


@pytest.mark.parametrize("strand", "+-")
@pytest.mark.parametrize("left", [1, 2])
def test_every_codon_may_be_split_unless_it_is_a_stop(left: int, strand: str) -> None:
    rng = np.random.default_rng(0)
    for size in (19, 37):
        g = grammar(size)
        for codon in map("".join, product("ACGT", repeat=3)):
            text, [gene] = spliced(rng, f"ATGGCC{codon}GCCTAA", [6 + left])
            text, gene = random_text(rng, 9) + text + random_text(rng, 9), moved(gene, 9)
            if strand == "-":
                text, gene = complement(text), mirrored(gene, len(text))
            starts, ends, labels = g.path([gene], len(text), 0, encode(text.encode()))
            legal = sum(illegal(g, text, (starts, ends, v)) == [] for v in variants(g, labels))
            assert legal == (codon not in STOPS)  # 1: what an intron remembers is unambiguous


def mirror_label(g: Grammar, c: int, length: int) -> tuple[str, int, int]:
    """Kind, strand and frame of a label on the other strand."""
    kind, strand, frame, _ = g.labels[c]
    if kind == "intergenic":
        return kind, 0, 0
    return kind, 1 - strand, (length - frame) % 3 if g.labels[c].is_exon else frame


@pytest.mark.parametrize("size", ALL)
def test_the_reverse_complement_has_the_mirrored_path(size: int) -> None:
    g = grammar(size)
    for seed in range(30):
        text, genes = random_contig(seed + 1000, g.has_kinds)
        T = len(text)
        starts, ends, labels = g.path(genes, T, 0, encode(text.encode()))
        other = g.path([mirrored(gene, T) for gene in genes], T, 0, encode(complement(text).encode()))
        assert (T - ends[::-1]).tolist() == other[0].tolist()
        assert (T - starts[::-1]).tolist() == other[1].tolist()
        assert [mirror_label(g, c, T) for c in labels[::-1]] == [g.labels[c][:3] for c in other[2]]
        assert illegal(g, complement(text), other) == []
        forbidden, impossible = g.masks(encode(text.encode()))
        forbidden_back, impossible_back = g.masks(encode(complement(text).encode()))
        index = {label[:3]: c for c, label in enumerate(g.labels) if not label.memory}
        exons = [c for c, label in enumerate(g.labels) if label.is_exon]
        mirror = [index[mirror_label(g, c, T)] for c in exons]
        assert (forbidden[:, exons] == forbidden_back[::-1][:, mirror]).all()
        assert forbidden.any()
        # sites alone; what introns remember is read from left to right on both strands
        sites, back = (sites_only(g, mask) for mask in (impossible, impossible_back))
        assert (sites == np.roll(back[::-1], 4, axis=1)).all()


def sites_only(g: Grammar, impossible: NDArray) -> NDArray:
    """(T + 1, 8) where a site cannot stand, whatever is remembered."""
    return np.stack([impossible[:, g.type_sites == site].all(1) for site in range(8)], 1)


def possible_genes(text: str, g: Grammar) -> Iterator[list[tuple[int, int]]]:
    """Exons (without stop) of all genes on the + strand, by trying; the only rule not looked up is how to read."""
    least = g.shortest

    def grow(exons: list[tuple[int, int]], start: int) -> Iterator[list[tuple[int, int]]]:
        first = not exons
        for end in range(start + 1, len(text)):
            here = [*exons, (start, end)]
            size = end - start
            if text[end : end + 3] in STOPS and size >= least.get("single" if first else "terminal", 3):
                yield here
            if text[end : end + 2] in ("GT", "GC") and size >= least.get("initial" if first else "internal", 3):
                for after in range(end + 4, len(text)):
                    if text[after - 2 : after] == "AG":
                        yield from grow(here, after)

    for start in range(len(text)):
        if text[start : start + 3] == "ATG":
            for exons in grow([], start):
                at = [i for low, high in exons for i in range(low, high)]
                codons = [at[i : i + 3] for i in range(0, len(at), 3)]
                whole = len(at) % 3 == 0
                stops = [codon for codon in codons if "".join(text[i] for i in codon) in STOPS]
                seen = stops if g.has_memory else [codon for codon in stops if codon[2] - codon[0] == 2]
                if whole and not seen:
                    yield exons


def rich_text(rng: np.random.Generator, length: int) -> str:
    """Bases with many sites."""
    words = ["ATG", "TAA", "TGA", "GT", "AG", "GT", "AG", "T", "TA", "TG", "A", "G", "C"]
    text = "".join(rng.choice(words, length))
    return text[:length] if rng.random() < 0.5 else complement(text[:length])


def count_segmentations(text: str, g: Grammar) -> tuple[int, int]:
    """How many sets of genes a sequence can hold that begins and ends outside genes, and how many genes."""
    T = len(text)
    spans = [(exons[0][0], exons[-1][1]) for exons in possible_genes(text, g)]
    spans += [(T - exons[-1][1], T - exons[0][0]) for exons in possible_genes(complement(text), g)]
    apart = g.shortest["intergenic"]
    spans = sorted(span for span in spans if span[0] >= apart)
    total, chains = 1, []
    for low, high in spans:
        count = 1 + sum(n for end, n in chains if low - end >= apart)
        chains.append((high, count))
        total += count if T - high >= apart else 0
    return total, len(spans)


@pytest.mark.parametrize("size", ALL)
def test_as_many_paths_as_sets_of_genes(size: int) -> None:
    """All scores zero: the partition counts legal paths, one for every set of genes that another program finds."""
    g = grammar(size)
    rng = np.random.default_rng(11)
    found = ruled_out = 0
    for origin in range(6):
        text = rich_text(rng, 80)
        count, genes = count_segmentations(text, g)
        found += genes
        ruled_out += count_segmentations(text, grammar(size - 6))[1] - genes if g.has_memory else 0
        logz = log_partition(potentials(g, text, longest=len(text), origin=origin)).item()
        assert logz == pytest.approx(math.log(count), abs=EXACT)
    assert found > 300
    assert not g.has_memory or ruled_out > 20  # by stop codons split by an intron


def potentials(
    g: Grammar,
    text: str,
    longest: int,
    emissions: NDArray | None = None,
    origin: int = 0,
    use_masks: bool = True,
) -> Potentials:
    """What the grammar allows of a sequence that begins and ends outside genes."""
    forbidden, impossible = g.masks(encode(text.encode()), origin)
    C = len(g.labels)
    if not use_masks:
        forbidden[:], impossible[:] = False, False
    scores = np.where(forbidden, -np.inf, np.zeros((len(text), C)) if emissions is None else emissions)
    durations = np.full((longest + 1, C), -np.inf)
    for c in range(C):
        durations[g.shortest[g.laws[g.law_of[c]]] :, c] = 0.0
    with np.errstate(divide="ignore"):
        transitions = np.log(g.transitions.astype(float))
    outside = torch.from_numpy(np.where(np.arange(C) == 0, 0.0, -np.inf))
    sites = torch.from_numpy(np.where(impossible, -np.inf, 0.0))
    return Potentials(
        torch.from_numpy(scores),
        torch.from_numpy(durations),
        torch.from_numpy(transitions),
        tail=torch.full((C,), -1e-3, dtype=torch.float64),
        boundaries=(Boundary(sites, torch.from_numpy(g.types.copy())),),
        first=outside,
        last=outside,
        origin=origin,
    )


@pytest.mark.parametrize("size", ALL)
def test_decoding_finds_planted_genes(size: int) -> None:
    """Exons are known by noisy emissions in their frame alone; without the masks their ends would be lost."""
    g = grammar(size)
    text, genes = random_contig(5, g.has_kinds, number=6, codons=120, gap=200)
    starts, ends, labels = g.path(genes, len(text), 0, encode(text.encode()))
    rng = np.random.default_rng(0)
    noise = rng.normal(-1.0, 0.8, (len(text), 6))
    for start, end, c in zip(starts, ends, labels, strict=True):
        if g.labels[c].is_exon:
            noise[start:end, 3 * g.labels[c].strand + g.labels[c].frame] += 2.0
    emissions = np.zeros((len(text), size))
    for c, label in enumerate(g.labels):
        if label.is_exon:
            emissions[:, c] = noise[:, 3 * label.strand + label.frame]
    called = {}
    for use_masks in (True, False):
        best = viterbi(potentials(g, text, 30, emissions, use_masks=use_masks)).segments
        called[use_masks] = g.genes(best.start.numpy(), best.end.numpy(), best.label.numpy(), "c", len(text))
    assert called[True] == genes
    assert called[False] != genes


def cropped(path: tuple[NDArray, NDArray, NDArray], low: int, high: int) -> tuple[NDArray, NDArray, NDArray]:
    """The part of a path inside a window."""
    starts, ends, labels = path
    inside = (ends > low) & (starts < high)
    return np.maximum(starts[inside] - low, 0), np.minimum(ends[inside], high) - low, labels[inside]


@pytest.mark.parametrize("size", ALL)
def test_a_window_cuts_genes_at_its_ends(size: int) -> None:
    g = grammar(size)
    rng = np.random.default_rng(3)
    cuts_in = set()
    for seed in range(60):
        text, genes = random_contig(seed + 500, g.has_kinds)
        bases = encode(text.encode())
        whole = g.path(genes, len(text), 0, bases)
        low, high = sorted(rng.choice(len(text), 2, replace=False).tolist())
        part = cropped(whole, low, high)
        assert illegal(g, text[low:high], part, low) == []  # a window forbids nothing that the contig allows
        window = g.path(genes, high - low, low, bases[low:high])
        assert illegal(g, text[low:high], window, low) == []
        assert window[0].tolist() == part[0].tolist()
        assert window[1].tolist() == part[1].tolist()
        assert [g.labels[c][:3] for c in window[2]] == [g.labels[c][:3] for c in part[2]]
        cuts_in |= {(g.labels[c].kind, g.labels[c].strand, side) for side, c in enumerate(part[2][[0, -1]])}
    assert {("intron", s, side) for s in (0, 1) for side in (0, 1)} <= cuts_in
    assert {(kind, s, 0) for kind in (["internal"] if g.has_kinds else ["exon"]) for s in (0, 1)} <= cuts_in


@pytest.mark.parametrize("size", [19, 37])
def test_a_window_may_begin_behind_what_an_intron_remembers(size: int) -> None:
    g = grammar(size)
    remembered = 0
    for seed in range(50):
        text, genes = random_contig(seed + 700, g.has_kinds)
        starts, ends, labels = g.path(genes, len(text), 0, encode(text.encode()))
        for start, c in zip(starts[1:].tolist(), labels[1:].tolist(), strict=True):
            part = cropped((starts, ends, labels), start - 1, len(text))
            assert illegal(g, text[start - 1 :], part, start - 1) == []
            remembered += max((len(word) for word in g.labels[c].memory), default=0) > 1
    assert remembered > 10


def codons_at(gene: Gene) -> set[tuple[int, ...]]:
    """Positions of all whole codons in the order of transcription, the stop codon too."""
    at = [i for exon in gene.exons for i in range(exon.start, exon.end)]
    at = (at if gene.strand == "+" else at[::-1])[gene.phase :]
    return {tuple(at[i : i + 3]) for i in range(0, len(at) - 2, 3)}


@pytest.mark.parametrize("size", ALL)
def test_genes_cut_by_the_ends_of_a_sequence_keep_their_frame(size: int) -> None:
    g = grammar(size)
    rng = np.random.default_rng(4)
    seen = set()
    for seed in range(80):
        text, genes = random_contig(seed + 900, g.has_kinds)
        low, high = sorted(rng.choice(len(text), 2, replace=False).tolist())
        piece = text[low:high]
        bases, T = encode(piece.encode()), high - low
        cut = g.genes(*g.path(genes, T, low, bases), "c", T, low)
        for gene in cut:
            (source,) = [
                g for g in genes if g.exons[0].start < gene.exons[-1].end and gene.exons[0].start < g.exons[-1].end
            ]
            assert codons_at(gene) <= codons_at(source)
            assert gene.partial == (source.exons[0].start < low, source.exons[-1].end > high) or (
                touches(source, low, high)  # begins with the first base of the window, for all that can be known
            )
            assert sum(exon.end - exon.start for exon in gene.exons) == sum(
                max(0, min(high, exon.end) - max(low, exon.start)) for exon in source.exons
            )
            seen.add((gene.strand, gene.partial, gene.phase))
        # the piece as a contig of its own
        own = [moved(gene, -low) for gene in cut]
        path = g.path(own, T, 0, bases)
        assert illegal(g, piece, path) == []
        assert g.genes(*path, "c", T) == own
        assert [g.problem(gene, bases) for gene in own] == [None] * len(own)
    assert {(s, p, phase) for s, p in (("+", (True, False)), ("-", (False, True))) for phase in range(3)} <= seen
    assert {("+", (False, True), 0), ("-", (True, False), 0)} <= seen


def overlap(a: Gene, b: Gene) -> bool:
    return a.exons[0].start < b.exons[-1].end and b.exons[0].start < a.exons[-1].end


def touches(gene: Gene, low: int, high: int) -> bool:
    """Whether the exon labels of a gene reach an end of a window and not beyond."""
    return gene.exons[0].start == low if gene.strand == "+" else gene.exons[-1].end == high


def test_a_stop_codon_cut_off_in_its_middle_makes_a_gene_partial() -> None:
    g = grammar(37)
    text = "CCCCCCCATGGCCTA"  # TA of TAA
    gene = Gene("c", "+", (Exon(7, 16),))
    path = g.path([gene], len(text), 0, encode(text.encode()))
    assert illegal(g, text, path) == []
    assert g.genes(*path, "c", len(text)) == [Gene("c", "+", (Exon(7, 15),), partial=(False, True))]
    back = g.path([mirrored(gene, 15)], len(text), 0, encode(complement(text).encode()))
    assert g.genes(*back, "c", len(text)) == [Gene("c", "-", (Exon(0, 8),), partial=(True, False))]


def test_no_gene_is_made_of_an_intron_alone() -> None:
    g = grammar(37)
    gene = Gene("c", "+", (Exon(0, 9), Exon(109, 118)))
    path = g.path([gene], 50, 30, np.zeros(50, np.int8))
    assert [g.labels[c].kind for c in path[2]] == ["intron"]
    assert g.genes(*path, "c", 50, 30) == []


def test_an_empty_window_has_no_segments() -> None:
    g = grammar(13)
    assert [array.tolist() for array in g.path([], 0)] == [[], [], []]
    assert [array.tolist() for array in g.path([], 5)] == [[0], [5], [0]]
    forbidden, impossible = g.masks(np.zeros(0, np.int8))
    assert forbidden.shape == (0, 13)
    assert impossible.shape == (1, 8)


@pytest.mark.parametrize("size", ALL)
def test_unknown_bases_are_no_evidence(size: int) -> None:
    """They never stand against a site, nor make a stop; an intron remembers nothing of them."""
    g = grammar(size)
    forbidden, impossible = g.masks(encode(b"NNNNNNryswNNN"))
    assert not forbidden.any()
    remembered = np.array([bool(column.after) for column in g.columns])
    assert not impossible[:, ~remembered].any()
    assert impossible[2:, remembered].all()
    rng = np.random.default_rng(8)
    for seed in range(20):
        text, genes = random_contig(seed, g.has_kinds)
        holes = "".join("N" if rng.random() < 0.3 else base for base in text)
        path = g.path(genes, len(holes), 0, encode(holes.encode()))
        assert illegal(g, holes, path) == []


def test_bases_are_read_in_either_case() -> None:
    assert encode(b"ACGTacgtNnRYU-").tolist() == [0, 1, 2, 3] * 2 + [4] * 6


def gene(*exons: tuple[int, int], strand: str = "+", **more: object) -> Gene:
    return Gene("chr1", strand, tuple(Exon(*exon) for exon in exons), **more)  # type: ignore[arg-type]


GOOD = "CCCCCC{}{}{}{}CCCCCCCCC".format("ATGGCCGCT", "GTAAAAG", "GGATCC", "TAA")
PROBLEMS = {
    "none": (GOOD, gene((6, 15), (22, 31)), None),
    "no start": (GOOD.replace("ATGG", "CTGG"), gene((6, 15), (22, 31)), "start+ at 6 is CTG, not ATG"),
    "no donor": (GOOD.replace("TGTA", "TATA"), gene((6, 15), (22, 31)), "donor+ at 15 is AT, not GT or GC"),
    "no acceptor": (GOOD.replace("AAGGG", "AACGG"), gene((6, 15), (22, 31)), "acceptor+ at 22 is AC, not AG"),
    "no stop": (GOOD.replace("TAACC", "TACCC"), gene((6, 15), (22, 31)), "stop+ at 28 is TAC, not TAA or TAG or TGA"),
    "stop inside": (GOOD.replace("GCCGC", "TAAGC"), gene((6, 15), (22, 31)), "in-frame stop codon at 12"),
    "frame": (GOOD, gene((6, 15), (22, 30)), "17 coding bases are no multiple of three"),
    "phase": (GOOD, gene((6, 15), (22, 32), phase=1), "phase 1, though its start is not cut off"),
    "initial": (GOOD, gene((6, 8), (22, 32)), "initial of 2 bases, which is shorter than 3"),
    "internal": (GOOD, gene((6, 10), (14, 15), (22, 29)), "internal of 1 bases, which is shorter than 2"),
    "intron": (GOOD, gene((6, 15), (18, 30)), "intron of 3 bases"),
    "order": (GOOD, gene((6, 15), (12, 30)), "its exons overlap or are not in order"),
    "empty": (GOOD, gene((6, 6), (12, 30)), "an exon is empty"),
    "stop alone": (GOOD, gene((6, 15), (22, 25)), "last exon holds no more than its stop codon"),
    "stop split": (GOOD, gene((6, 16), (22, 24)), "last exon holds no more than its stop codon"),
    "outside": (GOOD, gene((24, 42)), "outside its sequence of 40 bases"),
    "cut in an intron": (GOOD, gene((22, 31), partial=(True, False)), None),
    "cut, wrong site": (GOOD, gene((20, 31), phase=2, partial=(True, False)), "acceptor+ at 20 is AA, not AG"),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_problems_say_what_is_wrong(name: str) -> None:
    text, one, expected = PROBLEMS[name]
    g = grammar(37)
    found = g.problem(one, encode(text.encode()))
    assert (found is None) if expected is None else (expected in (found or "")), found
    if expected is not None and any(word in expected for word in ("bases", "phase", "exon")) and name != "outside":
        with pytest.raises(SemisegError, match=r"the gene chr1:\d+-\d+ \(\+\) does not fit"):
            g.path([one], len(text), 0, encode(text.encode()))


def test_problems_of_the_other_strand() -> None:
    g = grammar(37)
    for text, one, expected in PROBLEMS.values():
        back = g.problem(mirrored(one, len(text)), encode(complement(text).encode()))
        assert (back is None) == (expected is None)


def test_genes_that_a_path_cannot_hold() -> None:
    g = grammar(13)
    pairs = [
        (gene((6, 15)), gene((14, 32))),
        (gene((0, 90)), gene((30, 36))),  # nested
        (gene((6, 15)), gene((14, 23), strand="-")),
        (gene((6, 15)), gene((20, 29), partial=(True, False), strand="-")),  # reaches to the low end by its intron
    ]
    for pair in pairs:
        with pytest.raises(SemisegError, match="are less than 6 bases apart"):
            g.path(list(pair), 100)
    together = [gene((6, 15)), gene((15, 24), strand="-")]  # two stop codons between them
    assert g.genes(*g.path(together, 30), "chr1", 30) == together


def test_what_else_is_refused() -> None:
    with pytest.raises(SemisegError, match="no gene grammar of 14 labels"):
        grammar(14)
    for bases in (None, np.zeros(9, np.int8)):
        with pytest.raises(SemisegError, match="needs the 10 bases"):
            grammar(37).path([], 10, 0, bases)
