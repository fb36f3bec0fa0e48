"""`semiseg plot`"""

import sys
from pathlib import Path

import click

from . import options


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
@options.regions
@options.running
def command(
    genome: Path,
    model: str,
    output: Path,
    region: tuple[str, ...],
    regions_bed: Path | None,
    isolated: bool,
    device: str,
    threads: int | None,
    raw: bool,
    quiet: bool,
    as_json: bool,
    log: Path | None,
) -> None:
    """Draw one region of GENOME: its genes, and the exact posteriors that they were chosen from.

    From the top: genes, with 95 % credible intervals of the ends of exons; posteriors of exons and introns; those of
    starts, donors, acceptors and stops; entropy. What belongs to the - strand points down. A region gets what the
    whole contig gives there.
    """
    from semiseg.calling import Asked
    from semiseg.gene_plot import plot_region
    from semiseg.genome import Settings

    asked = Asked(
        genome, model, Settings(options.chosen_device(device, threads), isolated=isolated), output=output,
        regions=region, regions_bed=regions_bed, raw=raw, log=log,
        command=("semiseg", *sys.argv[1:]),
    )  # fmt: skip
    options.run(asked, quiet, as_json, plot_region)
