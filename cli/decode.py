"""`semiseg decode`"""

import sys
from pathlib import Path

import click

from semiseg.bundled import DEFAULT


@click.command()
@click.argument("genome", type=click.Path(path_type=Path, allow_dash=True))
@click.option(
    "--model", default=DEFAULT, show_default=True, metavar="NAME|FILE",
    help="A model that `semiseg models` lists, or a file that `semiseg train` wrote.",
)  # fmt: skip
@click.option("--format", "form", type=click.Choice(["bed", "gff3"]), default="bed", show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write here; by default to stdout.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--raw", is_flag=True, help="Posteriors as they are, without the model's calibration.")
def command(genome: Path, model: str, form: str, output: Path | None, device: str, raw: bool) -> None:
    """Find genes: GENOME is FASTA, plain or compressed, or - for stdin.

    Every exon comes with the posterior that exactly this exon is real, given the model.
    """
    from semiseg.devices import choose
    from semiseg.finder import find_genes

    stream = sys.stdout if output is None else output.open("w")
    try:
        find_genes(
            genome, model, form, stream, choose(device), raw,
            say=lambda text: click.echo(f"semiseg: warning: {text}", err=True),
        )  # fmt: skip
    finally:
        if output is not None:
            stream.close()
