"""Tables of `semiseg evaluate --kind intervals`."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .console import show_table

if TYPE_CHECKING:
    from semiseg.interval_scores import Scores
    from semiseg.metrics import Accuracy

LEVELS = ("name", "level", "true", "called", "right", "precision", "recall", "f1")
ERRORS = ("name", "end", "mean", "sd", "median_off")
TOTALS = ("ends_with_posterior", "ece", "brier")


def show(calls: Path, truth: Path, as_json: bool, tolerances: tuple[float, ...], rate: float | None) -> None:
    """Score segments and write the figures."""
    from semiseg.interval_scores import as_dict, score_files

    scores = score_files(truth, calls, tolerances, rate)
    if as_json:
        click.echo(json.dumps(as_dict(scores)))
        return
    unit = "positions" if rate is None else "ms"
    show_table(LEVELS, levels(scores, unit))
    click.echo()
    factor = 1.0 if rate is None else 1000 / rate
    show_table(
        ERRORS,
        (
            (name, side, *(f"{x * factor:.2f} {unit}" for x in error))
            for name, level in scores.agreement.names.items()
            for side, error in level.errors.items()
        ),
    )
    if scores.reliability is not None:
        click.echo()
        r = scores.reliability
        show_table(TOTALS, [(r.exons, f"{r.ece:.4f}", f"{r.brier:.4f}")])


def levels(scores: "Scores", unit: str) -> Iterator[tuple]:
    """Yield a row for every name, end and tolerance, for intervals, and for the means of them."""

    def row(name: str, level: str, x: "Accuracy") -> tuple:
        return (name, level, *x, f"{x.precision:.4f}", f"{x.recall:.4f}", f"{x.f1:.4f}")

    for name, level in scores.agreement.names.items():
        factor = 1.0 if scores.rate is None else 1000 / scores.rate
        for (side, tolerance), x in level.ends.items():
            yield row(name, f"{side} ({tolerance * factor:g} {unit})", x)
        yield row(name, "interval", level.interval)
    for tolerance in scores.tolerances:
        yield ("mean", f"ends ({tolerance:g} {unit})", *[""] * 5, f"{scores.mean_end(tolerance):.4f}")
    yield ("mean", "interval", *[""] * 5, f"{scores.mean_interval:.4f}")
