"""Scores of called genes against enumerations, against another program, and through the command line."""

import json
import random
import re
import shutil
import subprocess
import sys
import tracemalloc
from collections.abc import Sequence
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from semiseg import SemisegError
from semiseg.cli import console
from semiseg.cli.main import group
from semiseg.formats import gff
from semiseg.formats.annotation import read_annotation
from semiseg.genes import Exon, Gene
from semiseg.metrics import Accuracy, Scores, as_dict, count_pairs, score, score_files
from semiseg.plots import plot_scores
from semiseg.reliability import CURVE, Bin, CurvePoint, measure

CONTIGS = ("one", "two", "three")
EDGES = (0, 0.5, 0.7, 0.8, 0.9, 0.98, 1.0001)
LENGTH = 6000  # of a contig


def make_gene(*ends: int, contig: str = "one", strand: str = "+", posterior: float | None = None) -> Gene:
    """A gene with exons from the ends."""
    exons = (Exon(start, end, posterior) for start, end in zip(ends[::2], ends[1::2], strict=True))
    return Gene(contig, strand, tuple(exons))


def draw_genes(rng: random.Random, count: int) -> list[Gene]:
    """Genes that overlap, that share exons and that are given twice, on both strands of some contigs."""
    genes: list[Gene] = []
    for _ in range(count):
        if genes and rng.random() < 0.2:
            genes.append(genes[-1])
            continue
        low = rng.randrange(0, LENGTH - 400, 10)
        ends = sorted(rng.sample(range(low, low + 400, 10), 2 * rng.randint(1, 4)))
        genes.append(make_gene(*ends, contig=rng.choice(CONTIGS), strand=rng.choice("+-")))
    return genes


def draw_calls(rng: random.Random, truth: Sequence[Gene]) -> list[Gene]:
    """Some genes as they are, some with ends moved or exons left out, and others; most exons have a posterior."""
    calls = []
    for gene in [*truth, *draw_genes(rng, 5)]:
        if rng.random() < 0.2:
            calls.append(gene)
            continue
        exons = []
        for exon in gene.exons:
            start, end = exon.start, exon.end + rng.choice((0, 0, 0, 0, 1, 3, 4, 7))
            if rng.random() < 0.9 and (not exons or exons[-1].end <= start):
                posterior = rng.choice((None, 0.0, 0.5, 0.98, 1.0, rng.random(), rng.random() ** 0.2))
                exons.append(Exon(start, end, posterior))
        if exons and rng.random() < 0.8:
            calls.append(gene._replace(exons=tuple(exons)))
    return calls


def naive_levels(truth: Sequence[Gene], calls: Sequence[Gene]) -> dict[str, Accuracy]:
    """Accuracy of bases, exons, introns and genes, by sets of everything."""
    levels = {}
    for name, items in {
        "nucleotide": lambda g: {(g.contig, g.strand, i) for exon in g.exons for i in range(exon.start, exon.end)},
        "exon": lambda g: {(g.contig, g.strand, *exon[:2]) for exon in g.exons},
        "intron": lambda g: {(g.contig, g.strand, a.end, b.start) for a, b in pairwise(g.exons) if a.end < b.start},
        "gene": lambda g: {(g.contig, g.strand, *(exon[:2] for exon in g.exons))},
    }.items():
        true, called = ({item for gene in genes for item in items(gene)} for genes in (truth, calls))
        levels[name] = Accuracy(len(true), len(called), len(true & called))
    return levels


def naive_reliability(truth: Sequence[Gene], calls: Sequence[Gene]) -> tuple[float, float, list[tuple]]:
    """ECE, Brier score and (edge, exons, mean posterior, share right) of the bins that hold an exon."""
    true = {(gene.contig, gene.strand, *exon[:2]) for gene in truth for exon in gene.exons}
    believed = {}
    for gene in calls:
        for exon in gene.exons:
            if exon.posterior is not None:
                believed[gene.contig, gene.strand, exon.start, exon.end] = exon.posterior
    rows, error, brier = [], 0.0, 0.0
    for low, high in pairwise(EDGES):
        inside = [(p, key in true) for key, p in believed.items() if low <= p < high]
        if inside:
            mean = sum(p for p, _ in inside) / len(inside)
            share = sum(y for _, y in inside) / len(inside)
            rows.append((low, len(inside), mean, share))
            error += len(inside) * abs(mean - share)
        brier += sum((p - y) ** 2 for p, y in inside)
    return error / len(believed), brier / len(believed), rows


def most_pairs(left: Sequence[int], right: Sequence[int], tolerance: int) -> int:
    """Most pairs within the tolerance, by trying every partner."""
    if not left:
        return 0
    rest = [most_pairs(left[1:], right, tolerance)]
    rest += [
        1 + most_pairs(left[1:], (*right[:i], *right[i + 1 :]), tolerance)
        for i, other in enumerate(right)
        if abs(other - left[0]) <= tolerance
    ]
    return max(rest)


@pytest.mark.parametrize("seed", range(20))
def test_scores_are_those_of_sets(seed: int) -> None:
    rng = random.Random(seed)
    truth = draw_genes(rng, 60)
    calls = draw_calls(rng, truth)
    scores = score(truth, calls)
    for name, expected in naive_levels(truth, calls).items():
        assert getattr(scores, name) == expected, name
        assert 0 < expected.right < min(expected.true, expected.called), "the case says nothing"
    ece, brier, rows = naive_reliability(truth, calls)
    assert scores.reliability is not None
    assert scores.reliability.ece == pytest.approx(ece, abs=1e-12)
    assert scores.reliability.brier == pytest.approx(brier, abs=1e-12)
    assert [(row.low, row.exons) for row in scores.reliability.bins] == [row[:2] for row in rows]
    for row, (_, _, mean, share) in zip(scores.reliability.bins, rows, strict=True):
        assert (row.posterior, row.right) == pytest.approx((mean, share), abs=1e-12)


def test_one_gene_by_hand() -> None:
    truth = [make_gene(10, 20, 30, 40, 50, 60)]
    calls = [make_gene(10, 20, 31, 40, 54, 60), make_gene(10, 20, strand="-"), make_gene(10, 20, contig="two")]
    scores = score(truth, calls)
    assert scores.nucleotide == (30, 45, 25)
    assert scores.exon == (3, 5, 1)
    assert scores.intron == (2, 2, 0)
    assert scores.gene == (1, 3, 0)
    assert scores.boundary == (6, 10, 5)  # 50 and 54 are 4 apart
    assert score(truth, calls, tolerance=0).boundary == (6, 10, 4)
    assert score(truth, calls, tolerance=4).boundary == (6, 10, 6)
    assert (scores.exon.precision, scores.exon.recall) == pytest.approx((1 / 5, 1 / 3))
    assert scores.exon.f1 == pytest.approx(2 * (1 / 5) * (1 / 3) / (1 / 5 + 1 / 3))
    assert scores.reliability is None


def test_touching_exons_have_no_intron_between_them() -> None:
    gene = make_gene(10, 20, 20, 30, 29, 40, 50, 60)  # two frameshifts, one of them backwards
    assert score([gene], [gene]).intron == (1, 1, 1)
    assert score([gene], [gene]).nucleotide == (40, 40, 40)


def test_a_structure_counts_once_and_an_isoform_is_another() -> None:
    whole, part = make_gene(10, 20, 30, 40), make_gene(10, 20)
    assert score([whole, part], [whole, whole]).gene == (2, 1, 1)
    assert score([whole, part], [part]).exon == (2, 1, 1)


def test_of_shared_exons_the_last_posterior_holds() -> None:
    truth = [make_gene(10, 20)]
    calls = [make_gene(10, 20, posterior=0.2), make_gene(10, 20, posterior=0.6), make_gene(10, 20)]
    reliability = score(truth, calls).reliability
    assert reliability is not None
    assert reliability.bins == (Bin(0.5, 0.7, 1, 0.6, 1.0),)


positions = st.sets(st.integers(0, 25), max_size=6).map(sorted)


@given(positions, positions, st.integers(0, 6))
def test_pairs_are_as_many_as_can_be(left: list[int], right: list[int], tolerance: int) -> None:
    assert count_pairs(left, right, tolerance) == most_pairs(tuple(left), tuple(right), tolerance)


@given(st.integers(0, 2**32), st.integers(0, 8))
def test_swapping_truth_and_calls_swaps_precision_and_recall(seed: int, tolerance: int) -> None:
    rng = random.Random(seed)
    truth = draw_genes(rng, 8)
    calls = draw_calls(rng, truth)
    one, other = score(truth, calls, tolerance), score(calls[::-1], truth[::-1], tolerance)
    for level in ("nucleotide", "exon", "intron", "gene", "boundary"):
        a, b = getattr(one, level), getattr(other, level)
        assert (a.precision, a.recall, a.f1) == (b.recall, b.precision, b.f1)
    assert one.boundary.right >= sum(  # a pair of equal positions, or a better one, is there for every exact hit
        len(
            {(g.contig, g.strand, e[end]) for g in truth for e in g.exons}
            & {(g.contig, g.strand, e[end]) for g in calls for e in g.exons}
        )
        for end in (0, 1)
    )


def test_what_is_missing_scores_0() -> None:
    gene = make_gene(10, 20, posterior=0.4)
    for truth, calls in combinations(([], [gene], []), 2):
        scores = score(truth, calls)
        for level in (scores.nucleotide, scores.exon, scores.intron, scores.gene, scores.boundary):
            assert (level.precision, level.recall, level.f1) == (0, 0, 0)
    reliability = score([], [gene]).reliability
    assert reliability is not None
    assert (reliability.ece, reliability.brier) == pytest.approx((0.4, 0.16))
    assert reliability.curve == (CurvePoint(0.4, 0.0, 0.0),)


def test_edges_belong_to_the_bin_above() -> None:
    belief = np.array([0.0, 0.49, 0.5, 0.7, 0.8, 0.9, 0.98, 1.0])
    bins = measure(belief, belief > 0.6, true=5).bins
    assert [(row.low, row.high, row.exons) for row in bins] == [
        (0, 0.5, 2),
        (0.5, 0.7, 1),
        (0.7, 0.8, 1),
        (0.8, 0.9, 1),
        (0.9, 0.98, 1),
        (0.98, 1, 2),
    ]


def test_the_curve_has_a_point_for_every_posterior() -> None:
    belief = np.array([0.2, 0.9, 0.5, 0.9, 0.5, 0.5])
    right = np.array([False, True, False, True, True, False])
    assert measure(belief, right, true=4).curve == (
        CurvePoint(0.9, 1.0, 0.5),
        CurvePoint(0.5, 0.6, 0.75),
        CurvePoint(0.2, 0.5, 0.75),
    )


def test_a_long_curve_is_thinned_and_keeps_its_ends() -> None:
    belief = np.random.default_rng(0).random(5000)
    right = belief > 0.3
    curve = measure(belief, right, true=5000).curve
    assert len(curve) == CURVE
    assert curve[0] == CurvePoint(belief.max(), 1.0, 1 / 5000)
    assert curve[-1] == CurvePoint(belief.min(), right.mean(), right.sum() / 5000)
    for point in curve:
        called = belief >= point.posterior
        assert point.precision == pytest.approx(right[called].mean())
        assert point.recall == pytest.approx(right[called].sum() / 5000)


@pytest.mark.parametrize("posterior", [57.3, -0.1, 1.001, float("nan")])
def test_scores_that_are_no_probabilities_are_left_out(posterior: float) -> None:
    truth = [make_gene(10, 20)]
    scores = score(truth, [*truth, make_gene(30, 40, posterior=posterior), make_gene(50, 60, posterior=0.5)])
    assert scores.exon == (1, 3, 1)
    assert scores.reliability is None
    assert "outside 0 to 1" in scores.notes[0]
    assert as_dict(scores)["reliability"] is None


def test_memory_does_not_grow_with_the_genome() -> None:
    genes = [make_gene(0, 1_500_000_000, 2_000_000_000, 2_000_000_100, contig=f"c{i}") for i in range(100)]
    tracemalloc.start()
    try:
        scores = score(genes, genes[:50], tolerance=10**18)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert scores.nucleotide == (150_000_010_000, 75_000_005_000, 75_000_005_000)
    assert peak < 2e6


def test_a_negative_tolerance_is_refused() -> None:
    with pytest.raises(SemisegError, match="0 or more bases, found -1"):
        score([], [], tolerance=-1)


def write_genes(path: Path, genes: Sequence[Gene]) -> Path:
    """A GFF3 file of genes; every contig is as long as it needs to be."""
    contigs = dict.fromkeys([*CONTIGS, *(gene.contig for gene in genes)])
    with path.open("w") as stream:
        gff.write_gff3(
            ((name, LENGTH + 1000, [gene for gene in genes if gene.contig == name]) for name in contigs), stream
        )
    return path


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Calls and truth."""
    rng = random.Random(1)
    truth = draw_genes(rng, 40)
    calls = [
        gene._replace(exons=tuple(exon._replace(posterior=round(exon.posterior or 0.5, 4)) for exon in gene.exons))
        for gene in draw_calls(rng, truth)
    ]
    return write_genes(tmp_path / "calls.gff3", calls), write_genes(tmp_path / "truth.gff3", truth)


def run_json(capsys: pytest.CaptureFixture[str], *args: object) -> dict:
    """What the command prints with --json."""
    assert console.run(group, ["evaluate", *map(str, args), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_command_prints_tables(files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    scores = score_files(files[1], files[0])
    assert console.run(group, ["evaluate", *map(str, files)]) == 0
    levels, totals, bins = (
        [line.split("\t") for line in part.splitlines()] for part in capsys.readouterr().out.split("\n\n")
    )
    assert levels[0] == ["level", "true", "called", "right", "precision", "recall", "f1"]
    assert [row[0] for row in levels[1:]] == ["nucleotide", "exon", "intron", "gene", "boundary (3 bp)"]
    for row, level in zip(levels[1:], scores, strict=False):
        assert tuple(map(int, row[1:4])) == level
        assert row[4:] == [f"{level.precision:.4f}", f"{level.recall:.4f}", f"{level.f1:.4f}"]
    assert scores.reliability is not None
    assert totals[1] == [
        str(scores.reliability.exons),
        f"{scores.reliability.ece:.4f}",
        f"{scores.reliability.brier:.4f}",
    ]
    assert [int(row[2]) for row in bins[1:]] == [row.exons for row in scores.reliability.bins]


def test_the_command_prints_json(files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    for tolerance in (0, 3, 8):
        found = run_json(capsys, *files, "--tolerance", tolerance)
        assert found == json.loads(json.dumps(as_dict(score_files(files[1], files[0], tolerance))))
        assert found["tolerance"] == tolerance
        assert found["exon"]["right"] < found["boundary"]["right"]
    assert {"true", "called", "right", "precision", "recall", "f1"} == found["gene"].keys()
    assert {"exons", "ece", "brier", "bins", "curve"} == found["reliability"].keys()


def test_calls_come_from_stdin(files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    code = "from semiseg.cli.main import main; main()"
    with files[0].open() as calls:
        done = subprocess.run(
            [sys.executable, "-c", code, "evaluate", "-", str(files[1]), "--json"],
            stdin=calls,
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0
    assert all("gene(s) that overlap" in line for line in done.stderr.splitlines())  # random genes do
    assert json.loads(done.stdout) | {"notes": []} == run_json(capsys, *files) | {"notes": []}  # which name the files


def test_a_genes_file_agrees_with_itself(files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    found = run_json(capsys, files[1], files[1])
    assert {found[level]["f1"] for level in ("nucleotide", "exon", "intron", "gene", "boundary")} == {1.0}
    assert found["reliability"] is None


def test_no_calls_score_0(files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = run_json(capsys, write_genes(tmp_path / "none.gff3", []), files[1])
    assert found["exon"]["called"] == found["exon"]["f1"] == 0


def test_notes_go_to_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    calls = tmp_path / "scores.gff3"
    calls.write_text("##gff-version 3\none\tx\tCDS\t11\t20\t57.3\t+\t0\tID=a\none\tx\tCDS\t41\t50\t3\t+\t0\tID=b\n")
    truth = write_genes(tmp_path / "one.gff3", [make_gene(10, 20)])
    assert console.run(group, ["evaluate", str(calls), str(truth), "--json"]) == 0
    captured = capsys.readouterr()
    assert captured.err.startswith(f"semiseg: {calls}: 2 score(s)")
    assert captured.err.count("\n") == 1
    found = json.loads(captured.out)
    assert found["notes"] == [captured.err.removeprefix("semiseg: ").strip()]
    assert found["reliability"] is None


def test_bad_files_are_one_line(files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    calls, truth = map(str, files)
    other = str(write_genes(tmp_path / "other.gff3", [make_gene(10, 20, contig=f"chr{i}") for i in range(5)]))
    empty = str(write_genes(tmp_path / "empty.gff3", []))
    for args, message in {
        ("absent.gff3", truth): "absent.gff3",
        (calls, "absent.gff3"): "absent.gff3",
        (calls, empty): "empty.gff3: found no CDS",
        (other, truth): "has chr0, chr1, chr2, ...",
        ("-", "-"): "cannot both come from stdin",
        (truth, truth, "--plot", str(tmp_path / "a.png")): "no posteriors",
        (calls, truth, "--plot", str(tmp_path / "no" / "a.png")): "there is no folder",
        (calls, truth, "-r", "chr9"): "--region: no sequence named chr9; there are",
        (calls, truth, "-r", "one:900000-"): "truth.gff3 has no CDS in one:900000-",
    }.items():
        assert console.run(group, ["evaluate", *args]) == 1
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith("semiseg: ")
        assert captured.err.count("\n") == 1
        assert message in captured.err


@pytest.mark.parametrize(
    "args", ["--tolerance -1", "--tolerance nan", "--tolerance inf", "--plot a.txt", "--kind intervals -r one"]
)
def test_wrong_usage(args: str, files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert console.run(group, ["evaluate", *map(str, files), *args.split()]) == 2
    assert "(semiseg evaluate --help)" in capsys.readouterr().err


def test_a_region_is_compared(files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    part = {"one": (1000, 3000)}
    some = [
        write_genes(tmp_path / path.name.upper(), [
            gene for gene, _ in read_annotation(path).transcripts
            if gene.contig in part and gene.exons[0].start < part["one"][1] and gene.exons[-1].end > part["one"][0]
        ])
        for path in files
    ]  # fmt: skip
    found, expected = run_json(capsys, *files, "-r", "one:1,001-3000"), run_json(capsys, *some)
    for level in ("nucleotide", "exon", "intron", "gene", "boundary"):
        assert found[level] == expected[level]
    assert 0 < found["gene"]["true"] < run_json(capsys, *files)["gene"]["true"]


def test_what_only_one_side_has_is_said(tmp_path: Path) -> None:
    def written(name: str, *contigs: str) -> Path:
        return write_genes(tmp_path / name, [make_gene(10, 19, contig=contig) for contig in contigs])

    calls, truth = written("calls.gff3", "a", "b", "c"), written("truth.gff3", "c", "d")
    (note,) = score_files(truth, calls).notes
    assert note == (
        "a, b without true genes: all calls there count as wrong; d without calls: all genes there count as missed"
        " (--region compares a part)"
    )
    assert score_files(truth, calls, regions=["c"]).notes == ()


def test_isoforms_and_overlapping_genes_are_said(tmp_path: Path) -> None:
    rows = [(1, 9, "t", "g"), (1, 12, "u", "g"), (5, 30, "v", "h"), (101, 109, "w", "i")]
    lines = "".join(
        f"one\tx\tmRNA\t{low}\t{high}\t.\t+\t.\tID={name};Parent={gene}\n"
        f"one\tx\tCDS\t{low}\t{high}\t.\t+\t0\tParent={name}\n"
        for low, high, name, gene in rows
    )
    (tmp_path / "truth.gff3").write_text(lines)
    scores = score_files(tmp_path / "truth.gff3", tmp_path / "truth.gff3")
    said = "1 further isoform(s) of genes: each counts as a structure of its own"
    assert [note.split(": ", 1)[1] for note in scores.notes[:2]] == [
        said, "2 gene(s) that overlap others: they count as all do",
    ]  # fmt: skip
    assert scores.gene == (4, 4, 4)


@pytest.mark.parametrize(("name", "magic"), [("a.png", b"\x89PNG"), ("a.PDF", b"%PDF"), ("a.svg", b"<?xml")])
def test_a_plot_is_drawn(name: str, magic: bytes, files: tuple[Path, Path], tmp_path: Path) -> None:
    assert console.run(group, ["evaluate", *map(str, files), "--plot", str(tmp_path / name)]) == 0
    assert (tmp_path / name).read_bytes().startswith(magic)


def test_the_plot_shows_the_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    scores = some_scores()
    plot_scores(scores, tmp_path / "a.png")
    assert scores.reliability is not None
    left, right = drawn[0].axes
    bins, curve = scores.reliability.bins, scores.reliability.curve
    assert left.lines[1].get_xydata().tolist() == [[row.posterior, row.right] for row in bins]
    assert [(text.xy, text.get_text()) for text in left.texts] == [
        ((row.posterior, row.right), str(row.exons)) for row in bins
    ]
    assert right.lines[0].get_xydata().tolist() == [[point.recall, point.precision] for point in curve]
    assert right.lines[1].get_xydata().tolist() == [[scores.exon.recall, scores.exon.precision]]


def some_scores() -> Scores:
    """Scores with posteriors."""
    rng = random.Random(2)
    truth = draw_genes(rng, 40)
    return score(truth, draw_calls(rng, truth))


def test_a_plot_without_matplotlib_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(SemisegError, match="needs matplotlib"):
        plot_scores(some_scores(), tmp_path / "a.png")


def test_help_is_light(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from semiseg.cli import console, main\n"
        "assert console.run(main.group, ['evaluate', '--help']) == 0\n"
        "print('loaded', *{'torch', 'numba', 'numpy', 'matplotlib', 'rich'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--tolerance" in done.stdout
    assert done.stdout.splitlines()[-1] == "loaded"


@pytest.mark.skipif(shutil.which("gt") is None, reason="needs genometools")
@pytest.mark.parametrize("seed", range(3))
def test_exons_and_bases_agree_with_genometools(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    truth = draw_genes(rng, 40)
    calls = draw_calls(rng, truth)
    paths = []
    for name, genes in (("truth", truth), ("calls", calls)):
        path = write_genes(tmp_path / f"{name}.gff3", genes)
        done = subprocess.run(["gt", "gff3", "-sort", "-tidy", path], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        paths.append(path.with_suffix(".sorted.gff3"))
        paths[-1].write_text(done.stdout)
    done = subprocess.run(["gt", "eval", *paths], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    counts = {}
    for kind in ("sensitivity", "specificity"):
        found = re.search(rf"exon {kind} \(CDS level, all, collapsed\): .*\((\d+)/(\d+)\)", done.stdout)
        assert found is not None, done.stdout
        counts["exon", kind] = int(found[1]), int(found[2])
        found = re.search(rf"nucleotide {kind} \(CDS level\): .*\(TP=(\d+)/\(TP=\d+ \+ F[NP]=(\d+)\)\)", done.stdout)
        assert found is not None, done.stdout
        counts["nucleotide", kind] = int(found[1]), int(found[1]) + int(found[2])
    scores = score(truth, calls)
    for name, level in (("exon", scores.exon), ("nucleotide", scores.nucleotide)):
        assert counts[name, "sensitivity"] == (level.right, level.true)
        assert counts[name, "specificity"] == (level.right, level.called)
