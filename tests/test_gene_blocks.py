"""Long contigs in blocks, as a GPU takes them: the same genes and tracks as from a stream, wherever blocks meet."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch
from decoding import ROUNDED, places
from numpy.typing import NDArray

from semiseg import bundled, scoring
from semiseg.assembly import Stretch
from semiseg.finder import load
from semiseg.formats.bed import certainty_cells
from semiseg.gene_blocks import Block, Part, agreement, find_in_blocks, joined
from semiseg.gene_model import GeneModel
from semiseg.gene_stream import find
from semiseg.kernels.errors import OutOfMemoryError
from semiseg.segment_stream import Found

CPU = torch.device("cpu")


@pytest.fixture(name="letters", scope="module")
def some_letters() -> NDArray:
    """A part of the example genome, with a gap where a seam may lie."""
    with gzip.open(Path(__file__).parents[1] / "example_data" / "genome.fa.gz") as lines:
        text = b"".join(line.strip() for line in lines if not line.startswith(b">"))
    letters = np.frombuffer(text[:60_000], np.uint8).copy()
    letters[28_000:30_000] = ord("N")
    return letters


@pytest.fixture(name="model", scope="module")
def bundled_model() -> GeneModel:
    """A model that is sure of what it calls: it soon forgets where it began."""
    return load(bundled.find("compact-eukaryote-compact")).model


@pytest.fixture(name="whole", scope="module")
def streamed(model: GeneModel, letters: NDArray) -> list[Stretch]:
    """What is found in a stream."""
    return list(find(model, "one", iter([letters]), tracks=True, introns=True))


def cells(stretches) -> list[tuple]:
    """What is said of every exon."""
    return [certainty_cells(exon.certainty) for s in stretches for gene in s.genes for exon in gene.exons]


@pytest.mark.parametrize(("block", "flank"), [(9600, 9600), (14_400, 4800)])
def test_blocks_are_the_stream(model, letters, whole, block, flank):
    pieces = [letters[a : a + 7777] for a in range(0, len(letters), 7777)]
    found = list(find_in_blocks(model, "one", iter(pieces), CPU, tracks=True, introns=True, block=block, flank=flank))
    genes, others = ([g for s in stretches for g in s.genes] for stretches in (whole, found))
    assert len(found) > 2
    assert places(genes) == places(others)
    for one, other in zip(cells(whole), cells(found), strict=True):
        np.testing.assert_allclose([float(x) for x in one[:4]], [float(x) for x in other[:4]], atol=ROUNDED)
        assert one[4:] == other[4:]
    assert [s.first for s in found[1:]] == [s.last for s in found[:-1]]
    tracks, expected = (np.concatenate([s.tracks for s in x]) for x in (found, whole))
    np.testing.assert_allclose(tracks, expected, atol=1e-4)


def test_neighbours_see_the_same_where_sums_depend_on_the_size_of_windows(model, letters, monkeypatch):
    seen = scoring.seen
    monkeypatch.setattr(scoring, "seen", lambda model, x: seen(model, x) + 0.01 * x.shape[-1])
    left, right = (
        scoring.part_of(model, letters, 0, first, last, CPU, window=4800)
        for first, last in ((4800, 22_000), (14_448, 35_000))
    )
    assert torch.equal(left.emissions[14_448 - 4800 :], right.emissions[: 22_000 - 14_448])


def rows(first: int, last: int, *edges: int, labels: str = "") -> Block:
    """A block of segments between edges."""
    at = [first, *edges, last]
    labels = labels or "ab" * len(at)
    table = [(s, t, ord(c) - ord("a")) for s, t, c in zip(at[:-1], at[1:], labels, strict=False)]
    segments = np.array(table)
    return Block(first, last, segments, segments[:, 2] == 1, None, None)


def test_blocks_meet_where_both_begin_a_segment():
    assert agreement(rows(0, 100, 50, 70), rows(40, 200, 50, 70, 120), 70, 25).at == 70
    assert agreement(rows(0, 100, 50, 71), rows(40, 200, 50, 70, 120), 70, 25) is None
    assert agreement(rows(0, 100, 50, 70), rows(40, 200, 50, 70, 120, labels="babab"), 70, 25) is None


def test_a_long_segment_that_nobody_asks_about_is_put_together():
    """It lies over several blocks, and is told once, whole; one that is asked about is decoded as one."""

    def run(labels: str) -> list[Found]:
        true = [0, 100, 4000, 4800]

        def decode(part: Part, scores: None) -> Block:
            edges = [t for t in true if part.first < t < part.last]
            begin = sum(t <= part.first for t in true) - 1
            return rows(part.first, part.last, *edges, labels=labels[begin:])

        found = list(joined(iter([np.zeros(4800, np.uint8)]), 480, 96, 10, lambda part: None, decode))
        assert np.concatenate([f.segments for f in found])[:, :2].tolist() == [[0, 100], [100, 4000], [4000, 4800]]
        assert [f.first for f in found[1:]] == [f.last for f in found[:-1]]
        assert (found[0].first, found[-1].last) == (0, 4800)
        return found

    assert len(run("bab")) == 9  # where the last two meet, something is asked about
    assert len(run("aba")) < 5


@pytest.mark.parametrize("fails", ["score", "decode"])
def test_less_memory_than_was_thought(monkeypatch, fails):
    """Blocks are halved until they fit, however long; too small ones are not."""
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr("semiseg.gene_blocks.SMALLEST", 48)

    def tried(part: Part, name: str) -> None:
        if part.last - part.first > 400 and name == fails:
            raise OutOfMemoryError("too much")

    def decode(part: Part, scores: None) -> Block:
        tried(part, "decode")
        edges = range(part.first // 48 * 48 + 48, part.last, 48)
        labels = ("ab" if part.first // 48 % 2 == 0 else "ba") * 100
        return rows(part.first, part.last, *edges, labels=labels)

    def run() -> list[Found]:
        return list(joined(iter([np.zeros(4800, np.uint8)]), 960, 96, 10, lambda part: tried(part, "score"), decode))

    assert np.concatenate([f.segments for f in run()])[:, 0].tolist() == list(range(0, 4800, 48))
    monkeypatch.setattr("semiseg.gene_blocks.SMALLEST", 1 << 16)
    with pytest.raises(OutOfMemoryError):
        run()
