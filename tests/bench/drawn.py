"""Pictures of recorded benchmarks, as SVG beside their CSV: the same file for the same numbers."""

import csv
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Row = dict[str, str]  # as it is recorded

NAMES = {"T": "T, positions", "K": "K, longest explicit duration", "C": "C, labels"}
SHAPE = ("B", "T", "K", "C")
STYLES = {
    "semiseg": ("#0b6e4f", "o"),
    "flash-semicrf": ("#b3541e", "s"),
    "torch-struct": ("#3b6ea8", "^"),
    "pytorch-crf": ("#8a5aa5", "D"),
}
# text as paths: what shows it may lack the font
LOOK = {"svg.hashsalt": "semiseg", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}


def draw(name: str, folder: Path) -> Path | None:
    """Draw a benchmark that has a picture from its CSV in a folder; None: it has none, or matplotlib is missing."""
    path = folder / f"{name}.csv"
    with suppress(ImportError):
        if name in PICTURES and path.exists():
            with path.open(newline="") as file:
                rows = [row for row in csv.DictReader(file) if row.get("median_s")]
            if rows:
                return _drawn(PICTURES[name], rows, path.with_suffix(".svg"))
    return None


def _drawn(picture: Callable[[list[Row]], "Figure"], rows: list[Row], path: Path) -> Path:
    import matplotlib as mpl

    with mpl.rc_context(LOOK):
        picture(rows).savefig(path, metadata={"Date": None})
    return path


def over_sizes(rows: list[Row]) -> "Figure":
    """Return a figure of time over T, K and C."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.2), layout="constrained")
    panels = figure.subplots(1, 3, sharey=True)
    for panel, (axis, label) in zip(panels, NAMES.items(), strict=True):
        mine = [row for row in rows if row["over"] in (axis, "all")]
        for library in STYLES:
            of_it = sorted((r for r in mine if r["library"] == library), key=lambda r: float(r[axis]))
            x, y = ([float(r[name]) for r in of_it] for name in (axis, "median_s"))
            points(panel, library, x, y, linewidth=1.5)
        panel.set(xscale="log", yscale="log", xlabel=label)
        if axis != "T":  # powers of two, written out
            ticks = sorted({int(r[axis]) for r in mine if r["library"] == "semiseg"})
            panel.set_xticks(ticks, [f"{n:,}" for n in ticks])
            panel.set_xticks([], minor=True)
        panel.set_title(", ".join(f"{name} = {int(mine[0][name]):,}" for name in NAMES if name != axis), fontsize=9)
        panel.grid(alpha=0.25, linewidth=0.5)
    panels[0].set_ylabel("seconds, forward + backward")
    return labelled(figure, panels[0], rows)


def by_shape(rows: list[Row]) -> "Figure":
    """Return a figure of the time of every library, shape by shape."""
    from matplotlib.figure import Figure

    shapes = list(dict.fromkeys(tuple(row[name] for name in SHAPE) for row in rows))
    figure = Figure(figsize=(8, 1.2 + 0.26 * len(shapes)), layout="constrained")
    panel = figure.subplots()
    for library in STYLES:
        of_it = [row for row in rows if row["library"] == library]
        height = [shapes.index(tuple(row[name] for name in SHAPE)) for row in of_it]
        points(panel, library, [float(row["median_s"]) for row in of_it], height, linestyle="none")
    panel.set(xscale="log", xlabel="seconds, one training step")
    panel.set_yticks(range(len(shapes)), [" x ".join(f"{int(n):,}" for n in shape) for shape in shapes])
    panel.set_ylabel(" x ".join(SHAPE))
    panel.invert_yaxis()
    panel.grid(alpha=0.25, linewidth=0.5)
    return labelled(figure, panel, rows)


def points(panel: "Axes", library: str, x: list[float], y: list[float], **line: Any) -> None:
    """Draw what is known of a library, if anything is."""
    color, marker = STYLES[library]
    if x:
        panel.plot(x, y, color=color, marker=marker, markersize=4, label=library, **line)


def labelled(figure: "Figure", panel: "Axes", rows: list[Row]) -> "Figure":
    """Return a figure that says what is what, and where and when it was measured."""
    panel.legend(frameon=False)
    where = rows[0].get("gpu") or rows[0].get("cpu", "")
    figure.suptitle(f"{where}, {rows[0]['date']}", fontsize=9, x=0.99, ha="right")
    return figure


PICTURES = {"gpu_scaling": over_sizes, "library": by_shape, "gpu_library": by_shape}
