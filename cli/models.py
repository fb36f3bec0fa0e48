"""`semiseg models`"""

import json
from typing import TYPE_CHECKING

import click

from .console import show_table

if TYPE_CHECKING:
    from semiseg.bundled import Listed

FIGURES = ("nucleotide", "exon", "gene", "interval", "end", "ece")
COLUMNS = ("name", "clade", "data", *FIGURES, "licence", "bytes", "sha256")
DIGITS = 8  # of the checksum


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects, with all that is known.")
def command(as_json: bool) -> None:
    """List the models that come with semiseg.

    nucleotide, exon and gene, and interval and end of models of signals, are F1 on what was set aside to validate on;
    ece is the error of the posteriors.
    """
    from semiseg.bundled import listing

    models = listing()
    if as_json:
        click.echo(json.dumps([model._asdict() for model in models]))
    else:
        show_table(COLUMNS, (row(model) for model in models))


def row(model: "Listed") -> list[str]:
    """Return a model's cells."""
    known = {**model._asdict(), **(model.validation or {}), "sha256": model.sha256[:DIGITS]}
    return [cell(known.get(name)) for name in COLUMNS]


def cell(value: object) -> str:
    """Return a value in words, - for one that is not known."""
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
