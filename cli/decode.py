"""`semiseg decode`"""

import sys
from pathlib import Path

import click


@click.command()
@click.argument("genome", type=click.Path(path_type=Path, allow_dash=True))
@click.option(
    "--model", required=True, type=click.Path(path_type=Path), help="A model file that `semiseg train` wrote."
)
@click.option("--format", "form", type=click.Choice(["bed", "gff3"]), default="bed", show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write here; by default to stdout.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--raw", is_flag=True, help="Posteriors as they are, without the model's calibration.")
def command(genome: Path, model: Path, form: str, output: Path | None, device: str, raw: bool) -> None:
    """Find genes: GENOME is FASTA, plain or compressed, or - for stdin.

    Every exon comes with the posterior that exactly this exon is real, given the model.
    """
    from semiseg.devices import choose
    from semiseg.finder import find_genes

    stream = sys.stdout if output is None else output.open("w")
    try:
        find_genes(genome, model, form, stream, choose(device), raw)
    finally:
        if output is not None:
            stream.close()
