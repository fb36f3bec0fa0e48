"""A picture of a region: called genes, and below them what they were chosen from, posteriors of labels and of sites."""

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .asked import Asked
from .assembly import Stretch
from .calling import begun, chosen, lengths_of
from .errors import SemisegError
from .following import followed
from .formats.bed import COLOURS
from .formats.packages import needed
from .formats.places import check_file
from .formats.telling import told
from .gene_tracks import track_names
from .genes import Exon, Gene, kinds
from .genome import decode_regions
from .grammar import grammar
from .parts import Region

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LONGEST = 200_000  # bases of a region: beyond, most exons are narrower than a pixel
POINTS = 4000  # steps of a curve: more than a picture has pixels
SEEN = 0.01  # least posterior of a site that is drawn
HALF = 0.35  # height of an exon above its line, and below it
ARROWS = 30  # along an intron that fills the picture
ROWS = {"+": 1, "-": -1}  # where the genes of a strand are drawn, and which way its posteriors go
INK = "0.25"
# Of the colours of Okabe and Ito, as the kinds of exons have them and the two that those leave.
LABELS = {"exon": INK, "intron": "#56B4E9"}
SITES = {"start": "#009E73", "donor": "#E69F00", "acceptor": "#56B4E9", "stop": "#D55E00"}
WHISKER: dict[str, Any] = {"color": "black", "linewidth": 0.8, "marker": "|", "markersize": 5}
UNDATED: dict[str, dict[str, Any]] = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}


class Curves(NamedTuple):
    """Tracks of a region as steps."""

    edges: NDArray  # (N + 1,) on the axis
    heights: dict[str, NDArray]  # (N,), by track


def plot_region(
    asked: Asked,
    say: Callable[[str], None] = lambda text: None,
    report: Callable[[int, int | None], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Draw the region that is asked for into the output, whose ending says the format, and return a summary."""
    needed("matplotlib", "a plot")
    assert asked.output is not None
    check_file(asked.output)
    with begun(asked, say) as (model, finder, census, sequences):
        region = only(chosen(asked, lambda: lengths_of(sequences, "a region needs"), say))
        size = region.end - region.start
        settings = asked.settings._replace(tracks=True)
        results = decode_regions(sequences, [region], finder, settings, census, asked.raw)
        stretches = [s for result in followed(results, None, lambda n: report(n, size)) for s in result.stretches]
        save(draw(stretches, region, f"{spelled(region)}, {model.stem}"), asked.output)
    return {"genes": census.genes, "bases": size, "model": model.stem}


def only(regions: Sequence[Region]) -> Region:
    """Return the one region, which has to be short enough."""
    if len(regions) != 1:
        raise SemisegError(f"--region: expected one region to draw, got {len(regions) or 'none'}: give NAME:FROM-TO")
    region = regions[0]
    size = region.end - region.start
    if size > LONGEST:
        part = spelled(region._replace(end=region.start + LONGEST))
        raise SemisegError(f"--region: expected at most {LONGEST:,} bases to draw, got {size:,}: try {part}")
    return region


def spelled(region: Region) -> str:
    """Return a region as it is asked for: from 1, both ends included."""
    return f"{region.name}:{region.start + 1:,}-{region.end:,}"


def save(figure: "Figure", path: Path) -> None:
    """Write a picture; the same one gives the same bytes."""
    from matplotlib import rc_context

    ending, drawn = path.suffix[1:].lower(), io.BytesIO()
    with rc_context({"svg.hashsalt": "semiseg"}):  # else an SVG holds random names
        figure.savefig(drawn, format=ending, dpi=150, metadata=UNDATED[ending])
    with told(path):
        path.write_bytes(drawn.getvalue())


def draw(stretches: Iterable[Stretch], region: Region, title: str) -> "Figure":
    """Return the picture of a region's stretches, which come with tracks."""
    from matplotlib.figure import Figure

    stretches = list(stretches)
    curves = reduced(np.concatenate([s.tracks for s in stretches if s.tracks is not None]), region.start)
    figure = Figure(figsize=(12, 8), layout="constrained")  # without pyplot: no display is looked for
    figure.suptitle(title, parse_math=False)  # names may hold dollar signs
    genes, labels, sites, entropy = figure.subplots(4, sharex=True, height_ratios=(1.5, 1.5, 1.3, 0.7))
    draw_genes(genes, [gene for stretch in stretches for gene in stretch.genes], region)
    draw_labels(labels, curves)
    draw_sites(sites, curves)
    draw_entropy(entropy, curves)
    entropy.set(xlim=(place(region.start), place(region.end)), xlabel="position")
    entropy.xaxis.set_major_formatter("{x:,.0f}")
    entropy.locator_params(axis="x", integer=True, min_n_ticks=1)
    return figure


def place(boundary: float) -> float:
    """Return where a boundary is on the axis: between bases, which are counted from 1."""
    return boundary + 0.5


def reduced(tracks: NDArray, start: int, most: int = POINTS) -> Curves:
    """Return (T, tracks) posteriors from `start` on in at most so many steps, of each the highest value in it."""
    edges = np.arange(0, len(tracks), -(-len(tracks) // most))
    heights = np.maximum.reduceat(tracks, edges)
    names = track_names(grammar())  # of every gene grammar
    return Curves(place(start) + np.append(edges, len(tracks)), dict(zip(names, heights.T, strict=True)))


def draw_genes(axes: "Axes", genes: Sequence[Gene], region: Region) -> None:
    """Draw all genes, and the posterior of each where there is room for it."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    numbered = dict.fromkeys(ROWS, -np.inf)  # where the last number of a strand is
    room = (region.end - region.start) / 25
    for gene in genes:
        draw_gene(axes, gene, region)
        row = ROWS[gene.strand]
        middle = (max(gene.exons[0].start, region.start) + min(gene.exons[-1].end, region.end)) / 2
        if gene.posterior is not None and middle - numbered[gene.strand] >= room:
            numbered[gene.strand] = middle
            axes.annotate(
                f"{gene.posterior:.2f}", (place(middle), row * (1 + HALF)), (0, 3 * row), textcoords="offset points",
                fontsize=8, ha="center", va="bottom" if row > 0 else "top",
            )  # fmt: skip
    if not genes:
        axes.text(0.5, 0.5, "no gene is called here", transform=axes.transAxes, ha="center", va="center")
    boxes = [Patch(facecolor=coloured(kind), label=kind) for kind in COLOURS]
    whisker = Line2D([], [], **WHISKER, label="end, 95 % interval")
    explain(axes, [*boxes, whisker], "exons, paler: less sure", points=2)
    axes.set(ylim=(-2, 2), yticks=list(ROWS.values()), yticklabels=[f"{strand} strand" for strand in ROWS])


def draw_gene(axes: "Axes", gene: Gene, region: Region) -> None:
    """Draw exons as boxes, the surer the fuller, with whiskers at their ends, and introns as lines with arrows."""
    y = ROWS[gene.strand]
    for left, right in pairwise(gene.exons):
        axes.plot([place(left.end), place(right.start)], [y, y], color=INK, linewidth=1)
    heads = list(arrows(gene, region))
    axes.plot(heads, [y] * len(heads), linestyle="none", marker=">" if y > 0 else "<", markersize=4, color=INK)
    axes.broken_barh(
        [(place(exon.start), exon.end - exon.start) for exon in gene.exons],
        (y - HALF, 2 * HALF),
        facecolors=[coloured(kind, exon.posterior) for exon, kind in zip(gene.exons, kinds(gene), strict=True)],
        edgecolors=[coloured(kind) for kind in kinds(gene)],
        linewidth=0.8,
    )
    for low, high, height in whiskers(gene.exons):
        axes.plot([place(low), place(high)], [y + height, y + height], **WHISKER)


def arrows(gene: Gene, region: Region) -> Iterator[float]:
    """Yield where the strand is shown: along introns, and behind the last exon that is transcribed."""
    apart = (region.end - region.start) / ARROWS
    for left, right in pairwise(gene.exons):
        low, high = max(left.end, region.start), min(right.start, region.end)
        n = max(0, round((high - low) / apart))
        yield from (place(low + (i + 0.5) * (high - low) / n) for i in range(n))
    yield place(gene.exons[-1].end + apart / 5 if gene.strand == "+" else gene.exons[0].start - apart / 5)


def whiskers(exons: Iterable[Exon]) -> Iterator[tuple[int, int, float]]:
    """Yield the intervals of ends that are wider than a base, and how far from the middle each is drawn."""
    for known in (exon.certainty for exon in exons if exon.certainty is not None):
        for (low, high), height in ((known.start_ci, HALF / 2), (known.end_ci, -HALF / 2)):
            if high - low > 1:
                yield low, high, height


def coloured(kind: str, posterior: float | None = None) -> tuple[float, float, float, float]:
    """Return the colour of a kind of exons, paler where it is less sure; its hue can always be told."""
    red, green, blue = (int(x) / 255 for x in COLOURS[kind].split(","))
    return red, green, blue, 1.0 if posterior is None else 0.15 + 0.85 * posterior


def draw_labels(axes: "Axes", curves: Curves) -> None:
    """Draw the posteriors of exons and introns."""
    for label, colour in LABELS.items():
        for strand, sign in ROWS.items():
            shown = f"{label}s" if sign > 0 else None  # once
            heights = sign * curves.heights[label + strand]
            axes.stairs(heights, curves.edges, fill=True, color=colour, alpha=0.7, linewidth=0, label=shown)
    mirror(axes)
    explain(axes, axes.get_legend_handles_labels()[0], "bases")


def draw_sites(axes: "Axes", curves: Curves) -> None:
    """Draw the posteriors of boundaries as stems."""
    middles = (curves.edges[:-1] + curves.edges[1:] - 1) / 2  # of a single base: the boundary before it
    for site, colour in SITES.items():
        for strand, sign in ROWS.items():
            heights = curves.heights[site + strand]
            x, y = middles[heights >= SEEN], sign * heights[heights >= SEEN]
            axes.vlines(x, 0, y, color=colour, linewidth=1)
            axes.plot(x, y, "o", color=colour, markersize=3, label=site if sign > 0 else None)
    mirror(axes)
    explain(axes, axes.get_legend_handles_labels()[0], "sites")


def draw_entropy(axes: "Axes", curves: Curves) -> None:
    """Draw how unsure the labels of bases are."""
    heights = curves.heights["entropy"]
    axes.stairs(heights, curves.edges, fill=True, color="0.5")
    axes.set(ylabel="entropy, bits", ylim=(0, max(1, 1.05 * heights.max())))


def mirror(axes: "Axes") -> None:
    """Let posteriors go from 1 on the + strand over 0 to 1 on the - strand."""
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.set(ylabel="posterior\n- strand    + strand", ylim=(-1.08, 1.08), yticks=(-1, -0.5, 0, 0.5, 1))
    axes.yaxis.set_major_formatter(lambda y, _: f"{abs(y):g}")


def explain(axes: "Axes", handles: Sequence["Artist"], title: str, points: int = 1) -> None:
    """Put what colours mean beside the axes."""
    axes.legend(
        handles=handles, title=title, loc="upper left", bbox_to_anchor=(1, 1), fontsize=9, title_fontsize=9,
        alignment="left", frameon=False, numpoints=points,
    )  # fmt: skip
