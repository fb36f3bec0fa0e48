"""Tables of `semiseg evaluate --kind changepoints`."""

import json
from pathlib import Path

import click

from .console import show_table

SCORES = ("covering", "f1", "f1_tcpd")
COLUMNS = ("series", "length", "true", "called", *SCORES)


def show(calls: Path, truth: Path, as_json: bool, tolerance: float | None, folder: Path | None) -> None:
    """Score change points and write the figures: of every series, and their means."""
    from semiseg.covering import TOLERANCE, score
    from semiseg.formats.change_points import read_change_points

    true = read_change_points(truth, skipped=1, lengths=folder or truth.parent)
    scores = score(true, read_change_points(calls), TOLERANCE if tolerance is None else tolerance)
    for name in scores.missing:
        click.echo(f"semiseg: {name}: nothing is called: it scores 0", err=True)
    if as_json:
        totals = {
            "series": len(scores.series), "missing": len(scores.missing),
            "true_cps": sum(x.true for x in scores.series), "called_cps": sum(x.called for x in scores.series),
        }  # fmt: skip
        figures = {f"{s}_{kind.__name__}": round(kind(s), 4) for s in SCORES for kind in (scores.mean, scores.median)}
        click.echo(json.dumps({**totals, **figures}))
        return
    rows = [(*x[:4], *(f"{value:.4f}" for value in x[4:])) for x in scores.series]
    show_table(COLUMNS, [*rows, ("mean", "", "", "", *(f"{scores.mean(s):.4f}" for s in SCORES))])
