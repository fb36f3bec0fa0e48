"""Pictures of scores. matplotlib is an extra and is loaded when a picture is drawn."""

from pathlib import Path
from typing import TYPE_CHECKING

from .errors import SemisegError, UsageError
from .formats.telling import told
from .metrics import Scores
from .reliability import Reliability

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMATS = ("png", "pdf", "svg")


def plot_scores(scores: Scores, path: str | Path) -> None:
    """Draw reliability and precision against recall of exon posteriors into a file; its ending says the format."""
    try:
        from matplotlib.figure import Figure  # without pyplot: no display is looked for and no state is kept
    except ImportError as error:
        raise SemisegError("a plot needs matplotlib, which is not installed: pip install matplotlib") from error
    if scores.reliability is None:
        raise SemisegError("nothing to plot: the called exons have no posteriors (numbers from 0 to 1 in column 6)")
    ending = Path(path).suffix[1:].lower()
    if ending not in FORMATS:
        raise UsageError(f"cannot plot to {path}: expected a name that ends in .{', .'.join(FORMATS)}")
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    draw_reliability(left, scores.reliability)
    draw_curve(right, scores)
    with told(Path(path)):
        figure.savefig(path, format=ending, dpi=150)


def draw_reliability(axes: "Axes", reliability: Reliability) -> None:
    """Draw the share of right exons against the mean posterior of every bin, with the number of exons."""
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1, zorder=0)
    axes.plot([row.posterior for row in reliability.bins], [row.right for row in reliability.bins], marker="o")
    for row in reliability.bins:
        low = row.right < 0.5  # the number stands above the point, else below; upright, as the highest bins are narrow
        axes.annotate(
            f"{row.exons}",
            (row.posterior, row.right),
            (0, 8 if low else -8),
            textcoords="offset points",
            rotation="vertical",
            ha="center",
            va="bottom" if low else "top",
            fontsize=8,
        )
    axes.set(
        xlim=(-0.03, 1.03),
        ylim=(-0.03, 1.03),
        xlabel="mean posterior of called exons",
        ylabel="share that is right",
        title=f"ECE {reliability.ece:.3f}, Brier {reliability.brier:.3f}",
    )


def draw_curve(axes: "Axes", scores: Scores) -> None:
    """Draw precision against recall of exons at falling posteriors, and where all calls together stand."""
    assert scores.reliability is not None
    curve = scores.reliability.curve
    axes.plot([point.recall for point in curve], [point.precision for point in curve])
    axes.plot(
        scores.exon.recall, scores.exon.precision, "o", color="black", label=f"all calls, F1 {scores.exon.f1:.3f}"
    )
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), xlabel="recall of exons", ylabel="precision of exons")
    axes.legend(loc="lower left")
