"""`semiseg posteriors`"""

import sys
from pathlib import Path

import click

from . import options

FORMS = ("bigwig", "bedgraph", "hdf5")


@click.command()
@options.genome
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path),
    help="A folder for a file a track, or one file for all where it ends in .h5.",
)  # fmt: skip
@click.option("--format", "form", type=click.Choice(FORMS), help="By default hdf5 for .h5, else bigwig.")
@options.regions
@options.running
def command(
    genome: Path,
    model: str,
    output: Path,
    form: str | None,
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
    """Write tracks of exact posteriors along GENOME: one for each label, one for each kind of site, one of entropy.

    Sites stand at the base that follows them; entropy is that of the labels of a base, in bits.
    """
    from semiseg.calling import Asked, call
    from semiseg.genome import Settings

    asked = Asked(
        genome, model, Settings(options.chosen_device(device, threads), isolated=isolated), calls=False,
        posteriors=output, track_form=form or ("hdf5" if output.suffix in (".h5", ".hdf5") else "bigwig"),
        regions=region, regions_bed=regions_bed, raw=raw, log=log, command=("semiseg", *sys.argv[1:]),
    )  # fmt: skip
    options.run(asked, quiet, as_json, call)
