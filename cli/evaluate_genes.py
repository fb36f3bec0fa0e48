"""Tables of `semiseg evaluate --kind genes`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .console import show_table

if TYPE_CHECKING:
    from semiseg.metrics import Scores
    from semiseg.reliability import Reliability

LEVELS = ("level", "true", "called", "right", "precision", "recall", "f1")
TOTALS = ("exons_with_posterior", "ece", "brier")
BINS = ("posterior_from", "posterior_to", "exons", "mean_posterior", "right")


def show(calls: Path, truth: Path, as_json: bool, plot: Path | None, tolerance: int, regions: Sequence[str]) -> None:
    """Score genes and write the figures."""
    from semiseg.formats.places import check_file
    from semiseg.metrics import as_dict, score_files

    check_file(plot)
    scores = score_files(truth, calls, tolerance, regions)
    if plot is not None:
        from semiseg.plots import plot_scores

        plot_scores(scores, plot)
    for note in scores.notes:
        click.echo(f"semiseg: {note}", err=True)
    if as_json:
        click.echo(json.dumps(as_dict(scores)))
        return
    show_levels(scores)
    if scores.reliability is not None:
        show_reliability(scores.reliability)


def show_levels(scores: "Scores") -> None:
    """Write the accuracy of every level."""
    levels = {
        "nucleotide": scores.nucleotide,
        "exon": scores.exon,
        "intron": scores.intron,
        "gene": scores.gene,
        f"boundary ({scores.tolerance} bp)": scores.boundary,
    }
    show_table(
        LEVELS,
        ((name, *row, f"{row.precision:.4f}", f"{row.recall:.4f}", f"{row.f1:.4f}") for name, row in levels.items()),
    )


def show_reliability(reliability: "Reliability") -> None:
    """Write the reliability's totals and its bins, each table after an empty line."""
    click.echo()
    show_table(TOTALS, [(reliability.exons, f"{reliability.ece:.4f}", f"{reliability.brier:.4f}")])
    click.echo()
    show_table(
        BINS,
        (
            (f"{row.low:g}", f"{row.high:g}", row.exons, f"{row.posterior:.4f}", f"{row.right:.4f}")
            for row in reliability.bins
        ),
    )
