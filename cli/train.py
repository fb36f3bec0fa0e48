"""`semiseg train`"""

from pathlib import Path

import click


@click.command()
@click.argument("genome", type=click.Path(path_type=Path))
@click.argument("annotation", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The model file to write.")
@click.option("--config", type=click.Path(path_type=Path), help="A recipe in TOML.")
@click.option("--val", multiple=True, metavar="NAME[:FROM-TO]", help="What to validate on; may be given several times.")
@click.option("--from", "start", metavar="NAME|FILE", help="Begin with a trained model instead of from nothing.")
@click.option("--resume", is_flag=True, help="Go on from OUTPUT.checkpoint where it is there.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--logs", type=click.Path(path_type=Path), help="A folder to write figures into, for TensorBoard.")
def command(
    genome: Path,
    annotation: Path,
    output: Path,
    config: Path | None,
    val: tuple[str, ...],
    start: str | None,
    resume: bool,
    device: str,
    logs: Path | None,
) -> None:
    """Train a gene finder on GENOME (FASTA) and ANNOTATION (GFF3, GTF or GenBank).

    Without --val the sequence nearest to a tenth of the genome is set aside. The best model by gene F1 there is kept,
    and its posteriors are calibrated there. Under torchrun, all processes train together.
    """
    from semiseg import recipe, trainer
    from semiseg.distributed import joined

    from .train_progress import reporting

    with joined(device) as there, reporting(logs) as report:
        known = trainer.from_files(
            genome, annotation, output, recipe.read(config), val, start=start, resume=resume, device=there,
            say=lambda text: click.echo(text, err=True), report=report,
        )  # fmt: skip
    if known:
        figures = "  ".join(f"{name} {value:.4f}" for name, value in known.get("validation", {}).items())
        click.echo(f"{output}: {figures}", err=True)
        if "ece" not in known.get("validation", {}):
            click.echo("semiseg: warning: too few exons were called to calibrate, or to judge calibration", err=True)
