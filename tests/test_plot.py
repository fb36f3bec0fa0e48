"""Pictures of regions: what is drawn, where, and what cannot be."""

import json
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgba
from matplotlib.patches import StepPatch
from planted import planted, tiny, write_files  # noqa: F401 - a fixture

from semiseg import finder, gene_plot
from semiseg.assembly import Stretch
from semiseg.cli import console
from semiseg.cli.main import group
from semiseg.errors import SemisegError
from semiseg.gene_model import GeneModel
from semiseg.gene_plot import draw, only, place, reduced, save
from semiseg.gene_stream import find
from semiseg.gene_tracks import track_names
from semiseg.genes import Certainty, Exon, Gene
from semiseg.grammar import SIZES, grammar
from semiseg.parts import Region

NAMES = track_names(grammar())
REGION = Region("chr2", 1000, 1600)


@pytest.fixture
def files(tmp_path, tiny):  # noqa: F811
    """A genome, and a model that has learnt nothing."""
    genome, _ = write_files(tmp_path, planted(6000, 1, "one"), planted(3000, 2, "two"))
    model = tmp_path / "tiny.safetensors"
    finder.save(model, finder.Finder(GeneModel(tiny), None, {}))
    return genome, model


def plot(files, *arguments) -> int:
    genome, model = files
    return console.run(group, ["plot", str(genome), "--model", str(model), "--device", "cpu", *map(str, arguments)])


def exon(start, end, posterior, start_ci=None, end_ci=None) -> Exon:
    known = Certainty(1, 1, posterior, 1, start_ci or (start, start), end_ci or (end, end))
    return Exon(start, end, posterior, known)


def some_stretches() -> list[Stretch]:
    """Two genes, one of them cut by the region's end, and a few posteriors, in two stretches."""
    tracks = np.zeros((600, len(NAMES)), np.float32)
    tracks[100:150, NAMES.index("exon+")] = 0.75
    tracks[400:500, NAMES.index("exon-")] = 0.5
    tracks[100, NAMES.index("start+")] = 0.75
    tracks[400, NAMES.index("stop-")] = 0.5
    tracks[300, NAMES.index("donor+")] = 0.001  # is not seen
    tracks[100:110, NAMES.index("entropy")] = 1.5
    one = Gene("chr2", "-", (exon(1400, 1500, 0.5, (1390, 1410), (1499, 1500)),), posterior=0.5)
    exons = exon(1100, 1150, 0.9, (1094, 1100)), exon(1200, 1300, 0.8, None, (1290, 1300)), exon(1550, 1700, 1.0)
    two = Gene("chr2", "+", exons, posterior=0.8)
    return [
        Stretch(1000, 1000, [], tracks[:0]),  # left of the region
        Stretch(1000, 1250, [], tracks[:250]),
        Stretch(1250, 1600, [two, one], tracks[250:]),
    ]


@pytest.mark.parametrize(
    ("name", "magic", "end"),
    [
        ("a.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"IEND\xaeB`\x82"),
        ("a.PDF", b"%PDF-", b"%%EOF\n"),
        ("a.svg", b"<?xml", b"</svg>\n"),
    ],
)
def test_a_region_is_drawn(files, tmp_path, capsys, name, magic, end):
    asked = ["-r", "one:1,001-3,000", "-o", tmp_path / name]
    assert plot(files, *asked, "--json", "--log-file", tmp_path / "log") == 0
    assert '"bases": 2000' in (tmp_path / "log").read_text()
    first = (tmp_path / name).read_bytes()
    assert first.startswith(magic)
    assert first.endswith(end)
    summary = json.loads(capsys.readouterr().err)
    assert (summary["bases"], summary["model"]) == (2000, "tiny")
    assert plot(files, *asked) == 0
    assert (tmp_path / name).read_bytes() == first


def test_what_is_drawn_is_what_the_contig_gives(files, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(gene_plot, "save", lambda figure, path: drawn.append(figure))
    assert plot(files, "-r", "one:2001-2500", "-o", tmp_path / "a.png") == 0
    figure = drawn[0]
    assert figure.get_suptitle() == "one:2,001-2,500, tiny"
    stretches = list(find(finder.load(files[1]).model, "one", iter([planted(6000, 1)[0].sequence]), tracks=True))
    want = np.concatenate([s.tracks for s in stretches])[2000:2500]
    values = [patch.get_data().values for patch in figure.axes[1].patches]
    for got, sign, name in zip(values, (1, -1, 1, -1), ("exon+", "exon-", "intron+", "intron-"), strict=True):
        np.testing.assert_allclose(got, sign * want[:, NAMES.index(name)], atol=1e-4)
    (entropy,) = figure.axes[3].patches
    np.testing.assert_allclose(entropy.get_data().values, want[:, NAMES.index("entropy")], atol=1e-3)
    genes = [g for s in stretches for g in s.genes if g.exons[0].start < 2500 and g.exons[-1].end > 2000]
    assert exons_drawn(figure.axes[0]) == sorted((e.start, e.end) for g in genes for e in g.exons)


def exons_drawn(axes) -> list[tuple[int, int]]:
    """The boxes' ends, as boundaries."""
    boxes = [path.get_extents() for c in axes.collections if isinstance(c, PolyCollection) for path in c.get_paths()]
    return sorted((round(box.x0 - 0.5), round(box.x1 - 0.5)) for box in boxes)


def test_genes_are_drawn_on_their_strands():
    figure = draw(some_stretches(), REGION, "title")
    axes = figure.axes[0]
    assert axes.get_xlim() == (1000.5, 1600.5)
    assert exons_drawn(axes) == [(1100, 1150), (1200, 1300), (1400, 1500), (1550, 1700)]
    plus, minus = axes.collections
    assert plus.get_paths()[0].get_extents().y0 > 0 > minus.get_paths()[0].get_extents().y1
    assert [text.get_text() for text in axes.texts] == ["0.80", "0.50"]
    assert axes.texts[1].xy == (place(1450), pytest.approx(-1.35))
    colours = plus.get_facecolor()
    assert (colours[1:, :3] == to_rgba("#0072B2")[:3]).sum() == 3  # the internal exon's, and none of the terminal's
    assert colours[:, 3].tolist() == pytest.approx([0.15 + 0.85 * p for p in (0.9, 0.8, 1.0)])
    whiskers = [list(line.get_xdata()) for line in axes.lines if line.get_marker() == "|"]
    assert whiskers == [[1094.5, 1100.5], [1290.5, 1300.5], [1390.5, 1410.5]]  # what is a base wide is left out
    heads = {line.get_marker(): list(line.get_xdata()) for line in axes.lines if line.get_marker() in ("<", ">")}
    assert heads["<"] == pytest.approx([1400.5 - 4])
    assert min(heads[">"]) > 1150
    assert max(heads[">"]) == pytest.approx(1700.5 + 4)


def test_posteriors_go_up_and_down():
    _, labels, sites, entropy = draw(some_stretches(), REGION, "title").axes
    heights = [patch.get_data().values for patch in labels.patches if isinstance(patch, StepPatch)]
    assert [(h.min(), h.max()) for h in heights] == [(0, 0.75), (-0.5, 0), (0, 0), (0, 0)]
    stems = [segment.tolist() for lines in sites.collections for segment in lines.get_segments()]
    assert stems == [[[1100.5, 0], [1100.5, 0.75]], [[1400.5, 0], [1400.5, -0.5]]]
    assert entropy.get_ylim() == (0, pytest.approx(1.05 * 1.5))
    assert [text.get_text() for text in sites.get_legend().get_texts()] == ["start", "donor", "acceptor", "stop"]
    assert labels.yaxis.get_major_formatter()(-0.5) == "0.5"
    assert entropy.xaxis.get_major_formatter()(1500) == "1,500"


def test_a_region_without_genes_says_so():
    figure = draw([s._replace(genes=[]) for s in some_stretches()], REGION, "title")
    assert [text.get_text() for text in figure.axes[0].texts] == ["no gene is called here"]


def test_numbers_do_not_run_into_each_other():
    genes = [Gene("chr2", "+", (exon(a, a + 9, 0.5),), posterior=0.5) for a in range(1000, 1600, 12)]
    stretches = [s._replace(genes=genes if s.first == 1250 else []) for s in some_stretches()]
    placed = [text.xy[0] for text in draw(stretches, REGION, "title").axes[0].texts]
    assert min(np.diff(placed)) >= 600 / 25
    assert len(placed) > 10


@pytest.mark.parametrize("T", [1, 99, 100, 101, 150, 12_345])
def test_long_curves_keep_their_heights(T):
    tracks = np.random.default_rng(T).random((T, len(NAMES)), np.float32)
    edges, heights = reduced(tracks, 70, 100)
    assert (edges[0], edges[-1]) == (70.5, 70.5 + T)
    assert len(edges) - 1 == len(heights["entropy"]) <= 100
    for column, name in zip(tracks.T, NAMES, strict=True):
        steps = zip(edges[:-1] - 70.5, edges[1:] - 70.5, strict=True)
        assert heights[name].tolist() == [column[int(a) : int(b)].max() for a, b in steps]


@pytest.mark.parametrize("labels", SIZES)
def test_all_grammars_have_the_same_tracks(labels):
    assert track_names(grammar(labels)) == NAMES


def test_a_name_is_not_taken_for_a_formula(tmp_path):
    save(draw(some_stretches(), Region("a$^$b", 1000, 1600), "a$^$b"), tmp_path / "a.svg")


@pytest.mark.parametrize("region", [["one:1-1"], ["one:6000"], ["two"], ["one:500-700", "--isolated"]])
def test_any_region_can_be_drawn(files, tmp_path, region):
    assert plot(files, "-o", tmp_path / "a.png", "-r", *region) == 0
    assert (tmp_path / "a.png").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--region: expected one region to draw, got none: give NAME:FROM-TO"),
        (["-r", "one:1-10", "-r", "two:1-10"], "--region: expected one region to draw, got 2: give NAME:FROM-TO"),
        (["-r", "three"], "--region: no sequence named three; there are one, two"),
        (["-r", "one:7000-8000"], "--region: one:7000-8000 is empty: one has 6000 bases"),
        (["-r", "one:1-10", "--model", "none"], "--model: no model named none; there are"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(files, tmp_path, capsys, arguments, message):
    assert plot(files, "-o", tmp_path / "a.png", *arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"semiseg: {message}")
    assert error.count("\n") == 1
    assert not (tmp_path / "a.png").exists()


def test_a_folder_that_is_not_there(files, tmp_path, capsys):
    assert plot(files, "-r", "one:1-10", "-o", tmp_path / "absent" / "a.png") == 1
    assert "there is no folder" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a.gif", "a", "a.png.gz", "."])
def test_an_ending_that_is_no_picture_is_wrong_usage(files, tmp_path, capsys, name):
    assert plot(files, "-r", "one:1-10", "-o", tmp_path / name) == 2
    assert "--help)" in capsys.readouterr().err


def test_a_region_may_be_too_long():
    assert only([Region("chr2", 5, 200_005)]) == Region("chr2", 5, 200_005)
    said = "--region: expected at most 200,000 bases to draw, got 200,001: try chr2:6-200,005"
    with pytest.raises(SemisegError, match=f"^{said}$"):
        only([Region("chr2", 5, 200_006)])


def test_without_matplotlib(files, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert plot(files, "-r", "one:1-10", "-o", tmp_path / "a.png") == 1
    assert "a plot needs matplotlib, which is not installed: pip install matplotlib" in capsys.readouterr().err


def test_help_is_light(tmp_path):
    code = (
        "import sys\n"
        "from semiseg.cli import console, main\n"
        "assert console.run(main.group, ['plot', '--help']) == 0\n"
        "print('loaded', *{'torch', 'numba', 'numpy', 'matplotlib', 'rich'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "loaded"
