"""`semiseg plot`"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from . import options
from .keeping import Keeping

if TYPE_CHECKING:
    from semiseg.asked import Asked


@click.command(cls=Keeping)
@click.argument("input", metavar="[GENOME]", default="-", type=click.Path(path_type=Path, allow_dash=True))
@options.model
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path, dir_okay=False), callback=options.drawable("html"),
    help="Draw into this file: .png, .pdf or .svg; of a model of states .html too.",
)  # fmt: skip
@options.decoding
def command(
    shared: "Asked",
    output: Path,
) -> tuple["Asked", options.Command]:
    """Draw one region of GENOME: its genes, and the exact posteriors that they were chosen from; or a model of states.

    From the top: genes, with 95 % credible intervals of the ends of exons; posteriors of exons and introns; those of
    starts, donors, acceptors and stops; entropy. What belongs to the - strand points down. A region gets what the
    whole contig gives there.

    A model of states, as `semiseg fit` writes it, is drawn by itself: what states emit, how long they last, what
    follows what, and how much they cover.
    """
    from semiseg.bundled import find
    from semiseg.model_file import read_kind

    shared = shared._replace(output=output)
    if read_kind(find(shared.model)) == "states":
        from semiseg.hsmm_plot import plot_states

        return shared, plot_states
    from semiseg.gene_plot import plot_region

    if output.suffix == ".html":
        raise click.UsageError("--output: a page is for a model of states; genes are drawn as .png, .pdf or .svg")
    if str(shared.input) == "-" and sys.stdin.isatty():
        raise click.UsageError("Missing argument 'GENOME'.")
    return shared, plot_region
