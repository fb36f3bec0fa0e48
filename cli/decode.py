"""`semiseg decode`"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from . import options
from .keeping import Keeping

if TYPE_CHECKING:
    from semiseg.asked import Asked


FORMS = ("bed", "bed9", "gff3", "csv", "wfdb")


@click.command(cls=Keeping)
@options.data
@click.option("--format", "form", type=click.Choice(FORMS), help="By default as OUTPUT's name says.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write here; .gz is bgzipped, with an index.")
@click.option(
    "--decoder", type=click.Choice(["viterbi", "mea"]), default="viterbi", show_default=True,
    help="The likeliest as a whole, or those with the greatest expected accuracy.",
)  # fmt: skip
@click.option("--posteriors", type=click.Path(path_type=Path), help="Tracks of posteriors as well: .h5, or a folder.")
@click.option(
    "--labels",
    metavar="NAME,...",
    help="Rows: exon, intron, or kinds of exons: single, initial, internal, terminal; or labels of a model of signals.",
)
@click.option("--unit", type=click.Choice(["s"]), help="Write seconds and not samples.")
@click.option("--min-confidence", "least", type=options.Number(0, 1), default=0.0, help="Leave out the less sure.")
@click.option("--resume", is_flag=True, help="Go on where a run with --resume into the same OUTPUT was killed.")
@options.decoding
def command(
    shared: "Asked",
    form: str | None,
    output: Path | None,
    decoder: str,
    posteriors: Path | None,
    labels: str | None,
    unit: str | None,
    least: float,
    resume: bool,
) -> tuple["Asked", options.Command]:
    """Find genes in INPUT, which is FASTA, plain or compressed, or - for stdin; or segment the signals that it holds.

    The model says which. Signals are a track store, other HDF5, ChromHMM's binarised marks, or a recording. Every
    exon or segment comes with the posterior that exactly this one is real, given the model, with those of its ends,
    and with 95 % credible intervals of both. A region gets what the whole sequence gives there.
    """
    from semiseg.asked import call

    if resume and (output is None or str(output) == "-" or posteriors is not None):
        raise click.BadParameter("needs --output, a file, and goes without --posteriors", param_hint="--resume")
    settings = shared.settings._replace(accurate=decoder == "mea")
    return shared._replace(
        settings=settings, form=form, output=output, posteriors=posteriors, seconds=unit is not None,
        labels=tuple(labels.split(",")) if labels else (), least=least, resume=resume,
    ), call  # fmt: skip
