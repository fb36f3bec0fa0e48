"""`semiseg posteriors`"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from . import options
from .keeping import Keeping

if TYPE_CHECKING:
    from semiseg.asked import Asked

FORMS = ("bigwig", "bedgraph", "hdf5")


@click.command(cls=Keeping)
@options.data
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path),
    help="A folder for a file a track, or one file for all where it ends in .h5.",
)  # fmt: skip
@click.option("--format", "form", type=click.Choice(FORMS), help="By default hdf5 for .h5, else bigwig.")
@options.decoding
def command(
    shared: "Asked",
    output: Path,
    form: str | None,
) -> tuple["Asked", options.Command]:
    """Write tracks of exact posteriors along INPUT: one for each label, one for each kind of site, one of entropy.

    INPUT is FASTA where the model finds genes; else a track store, other HDF5, binarised marks, or a recording. Sites
    stand at the base that follows them; entropy is that of the labels of a position, in bits.
    """
    from semiseg.asked import call

    return shared._replace(calls=False, posteriors=output, track_form=form), call
