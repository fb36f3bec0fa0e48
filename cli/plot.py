"""`semiseg plot`"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from . import options

if TYPE_CHECKING:
    from semiseg.asked import Asked


def drawable(context: click.Context, option: click.Parameter, path: Path) -> Path:
    """Return the path if its ending is that of a format of pictures."""
    from semiseg.plots import FORMATS

    if path.suffix[1:].lower() not in FORMATS:
        raise click.BadParameter(f"expected a name that ends in .{', .'.join(FORMATS)}, got {path.name}")
    return path


@click.command()
@options.genome
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path, dir_okay=False), callback=drawable,
    help="Draw into this file: .png, .pdf or .svg.",
)  # fmt: skip
@options.decoding
def command(
    shared: "Asked",
    output: Path,
) -> tuple["Asked", options.Command]:
    """Draw one region of GENOME: its genes, and the exact posteriors that they were chosen from.

    From the top: genes, with 95 % credible intervals of the ends of exons; posteriors of exons and introns; those of
    starts, donors, acceptors and stops; entropy. What belongs to the - strand points down. A region gets what the
    whole contig gives there.
    """
    from semiseg.gene_plot import plot_region

    return shared._replace(output=output), plot_region
