"""A picture of a model of states: what they emit, how long they last, what follows what, how much they cover."""

import html
import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from . import bundled, hsmm_model
from .asked import Asked
from .durations import tabulate
from .formats.packages import needed
from .formats.places import check_file
from .gene_plot import UNDATED, save
from .hsmm_model import StatesModel
from .model_file import replace

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PAGE = ".html"
NUMBERS = 16  # states and channels up to which cells have their number written in
REACH = 4  # times the mean duration that curves go to, at most


def plot_states(
    asked: Asked,
    say: Callable[[str], None] = lambda text: None,
    report: Callable[[int, int | None], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Draw a model into the output: a picture, or a page that needs no other file, as its ending says."""
    needed("matplotlib", "a plot")
    assert asked.output is not None
    check_file(asked.output, whole=True)
    path = bundled.find(asked.model)
    model = hsmm_model.load(path)
    figure = draw(model, path.stem)
    if asked.output.suffix.lower() == PAGE:
        replace(asked.output, page(model, figure, path.stem).encode())
    else:
        save(figure, asked.output)
    return {"states": len(model.labels), "model": path.stem}


def draw(model: StatesModel, title: str) -> "Figure":
    """Return the picture."""
    from matplotlib.figure import Figure

    C, D = len(model.labels), len(model.survey.channels)
    height = max(3.2, 0.32 * C + 1.4)
    figure = Figure(figsize=(14, 2 * height), layout="constrained")
    figure.suptitle(title)
    (emissions, changes), (durations, sizes) = figure.subplots(2, 2, width_ratios=(max(2, D), max(4, C)))
    draw_emissions(emissions, model)
    draw_changes(changes, model)
    draw_durations(durations, model)
    draw_sizes(sizes, model)
    return figure


def draw_emissions(axes: "Axes", model: StatesModel) -> None:
    """Draw what states look like in each channel: probabilities of marks, else deviations from the channel's mean."""
    profile = model.hsmm.family.profile(model.hsmm.emissions).numpy()
    if model.config["family"] == "bernoulli":
        values, limits, colours, title = profile, (0.0, 1.0), "Blues", "probability of a mark"
    else:
        values = (profile - model.survey.mean) / np.sqrt(model.survey.variance)
        most = max(1.0, float(np.abs(values).max()))
        limits, colours, title = (-most, most), "RdBu_r", "mean, in standard deviations of the channel"
    heat(axes, values, limits, colours, model.labels, model.survey.channels)
    axes.set_title(title)


def draw_changes(axes: "Axes", model: StatesModel) -> None:
    """Draw the probabilities of the next state."""
    heat(axes, model.hsmm.changes.numpy(), (0.0, 1.0), "Greens", model.labels, model.labels)
    axes.set(title="probability of the next state", xlabel="next")


def heat(axes: "Axes", values: Any, limits: tuple[float, float], colours: str, rows: Any, columns: Any) -> None:
    """Draw a table as colours, with its numbers where there is room."""
    axes.imshow(values, aspect="auto", cmap=colours, vmin=limits[0], vmax=limits[1])
    axes.set_xticks(range(len(columns)), columns, rotation=60, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(rows)), rows)
    if max(values.shape) <= NUMBERS:
        strong = 0.6 * max(abs(x) for x in limits)
        for (i, j), x in np.ndenumerate(values):
            axes.text(j, i, f"{x:.2f}", ha="center", va="center", fontsize=7, color="w" if abs(x) > strong else "0.2")


def draw_durations(axes: "Axes", model: StatesModel) -> None:
    """Draw how likely segments are to last longer, by their length in coordinates (seconds where there is a rate)."""
    scale, unit = scale_of(model)
    with torch.no_grad():
        table = tabulate([model.hsmm.law])
    means = model.hsmm.mean_durations().numpy()
    for c, (name, colour) in enumerate(zip(model.labels, model.colours, strict=True)):
        K = int(table.longest[c])
        law = table.durations[1 : K + 1, c].exp().numpy()
        k = np.arange(1, max(K + 2, int(REACH * means[c])) + 1)
        stay = float(table.tail[c].exp())
        inside = 1 - np.concatenate([[0.0], np.cumsum(law)])  # longer than 0..K
        lasting = np.where(k <= K, inside[np.minimum(k - 1, K)], inside[K] * stay ** np.maximum(k - 1 - K, 0))
        axes.plot(k * scale, lasting, label=name, color=shade(colour))
    axes.set(xscale="log", ylim=(0, 1.02), xlabel=f"at least so long ({unit})", title="durations")
    axes.legend(fontsize=7, ncols=2)


def draw_sizes(axes: "Axes", model: StatesModel) -> None:
    """Draw the share of positions under each state, with its mean duration."""
    scale, unit = scale_of(model)
    shares, means = model.hsmm.shares().numpy(), model.hsmm.mean_durations().numpy() * scale
    rows = np.arange(len(shares))
    axes.barh(rows, 100 * shares, color=[shade(colour) for colour in model.colours])
    for i, (share, mean) in enumerate(zip(shares, means, strict=True)):
        axes.text(100 * share, i, f" {share:.1%}, {mean:,.3g} {unit}", va="center", fontsize=7)
    axes.set_yticks(rows, model.labels)
    axes.invert_yaxis()
    axes.set(xlim=(0, 125 * shares.max()), xlabel="% of positions", title="sizes, and mean durations")


def scale_of(model: StatesModel) -> tuple[float, str]:
    """Return what a position is long, and in which unit."""
    rate, size = model.config["rate"], model.config["bin"]
    if rate is not None:
        return 1 / rate, "s"
    return float(size), "bp" if size > 1 else "positions"


def shade(colour: str) -> tuple[float, ...]:
    """Return "r,g,b" as matplotlib has colours."""
    return tuple(int(x) / 255 for x in colour.split(","))


def page(model: StatesModel, figure: "Figure", title: str) -> str:
    """Return a page with the picture, a table of the states, and what is known about the model."""
    picture = io.StringIO()
    figure.savefig(picture, format="svg", metadata=UNDATED["svg"])
    svg = picture.getvalue()
    scale, unit = scale_of(model)
    profile = model.hsmm.family.profile(model.hsmm.emissions)
    columns = ["state", "share", f"mean duration ({unit})", *model.survey.channels]
    rows = [
        [name, f"{share:.2%}", f"{mean * scale:,.4g}", *(f"{x:.3g}" for x in of_channels)]
        for name, share, mean, of_channels in zip(
            model.labels, model.hsmm.shares().tolist(), model.hsmm.mean_durations().tolist(), profile.tolist(),
            strict=True,
        )
    ]  # fmt: skip
    head = "".join(f"<th>{html.escape(x)}</th>" for x in columns)
    body = "\n".join(
        f'<tr><td style="border-left:1em solid rgb({colour})">{html.escape(row[0])}</td>'
        + "".join(f"<td>{html.escape(x)}</td>" for x in row[1:]) + "</tr>"
        for row, colour in zip(rows, model.colours, strict=True)
    )  # fmt: skip
    about = "".join(
        f"<dt>{html.escape(str(name))}</dt><dd>{html.escape(str(value))}</dd>" for name, value in model.about.items()
    )
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>
<style>body{{font:14px sans-serif;margin:2em}}svg{{max-width:100%;height:auto}}table{{border-collapse:collapse}}
td,th{{padding:.2em .6em;text-align:right}}td:first-child{{text-align:left}}dt{{font-weight:bold}}</style>
<h1>{html.escape(title)}</h1>
{svg[svg.index("<svg") :]}
<table><tr>{head}</tr>
{body}
</table>
<dl>{about}</dl>
</html>
"""
