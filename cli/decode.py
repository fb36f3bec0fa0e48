"""`semiseg decode`"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from . import options

if TYPE_CHECKING:
    from semiseg.calling import Asked


@click.command()
@options.genome
@click.option("--format", "form", type=click.Choice(["bed", "bed9", "gff3"]), help="By default as OUTPUT's name says.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write here; .gz is bgzipped, with an index.")
@click.option(
    "--decoder", type=click.Choice(["viterbi", "mea"]), default="viterbi", show_default=True,
    help="The likeliest genes as a whole, or those with the greatest expected accuracy.",
)  # fmt: skip
@click.option("--posteriors", type=click.Path(path_type=Path), help="Tracks of posteriors as well: .h5, or a folder.")
@click.option(
    "--labels",
    default="exon",
    show_default=True,
    metavar="NAME,...",
    help="Rows of BED: exon, intron, or kinds of exons: single, initial, internal, terminal.",
)
@click.option("--min-confidence", "least", type=click.FloatRange(0, 1), default=0.0, help="Leave out less sure genes.")
@click.option("--resume", is_flag=True, help="Go on where a run with --resume into the same OUTPUT was killed.")
@options.decoding
def command(
    shared: "Asked",
    form: str | None,
    output: Path | None,
    decoder: str,
    posteriors: Path | None,
    labels: str,
    least: float,
    resume: bool,
) -> tuple["Asked", options.Command]:
    """Find genes: GENOME is FASTA, plain or compressed, or - for stdin.

    Every exon comes with the posterior that exactly this exon is real, given the model, with those of its ends, and
    with 95 % credible intervals of both. A region gets what the whole contig gives there.
    """
    from semiseg.calling import call
    from semiseg.formats.bed import LABELS
    from semiseg.formats.output import format_of

    form = form or format_of(output, "bed")
    named = tuple(labels.split(","))
    if set(named) - set(LABELS):
        raise click.BadParameter(f"expected some of {', '.join(LABELS)}, separated by commas", param_hint="--labels")
    if form == "gff3" and named != ("exon",):
        raise click.BadParameter("GFF3 always has exons and CDS; choose --format bed", param_hint="--labels")
    if resume and (output is None or str(output) == "-" or posteriors is not None):
        raise click.BadParameter("needs --output, a file, and goes without --posteriors", param_hint="--resume")
    settings = shared.settings._replace(accurate=decoder == "mea")
    return shared._replace(
        settings=settings, form=form, output=output, posteriors=posteriors, labels=named, least=least, resume=resume
    ), call
