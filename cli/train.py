"""`semiseg train`"""

from pathlib import Path

import click

from . import options
from .keeping import Keeping


@click.command(cls=Keeping)
@click.argument("data", type=click.Path(path_type=Path))
@click.argument("labels", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The model file to write.")
@click.option("--config", type=click.Path(path_type=Path), help="A recipe in TOML.")
@click.option("--val", multiple=True, metavar="NAME[:FROM-TO]", help="What to validate on; may be given several times.")
@click.option("--from", "start", metavar="NAME|FILE", help="Begin with a trained model instead of from nothing.")
@click.option("--resume", is_flag=True, help="Go on from OUTPUT.checkpoint where it is there.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@options.threads
@click.option(
    "--rate", type=options.Number(0, min_open=True), help="Samples a second of recordings whose files say none."
)
@click.option("--logs", type=click.Path(path_type=Path), help="A folder to write figures into, for TensorBoard.")
def command(
    data: Path,
    labels: Path,
    output: Path,
    config: Path | None,
    val: tuple[str, ...],
    start: str | None,
    resume: bool,
    device: str,
    threads: int | None,
    rate: float | None,
    logs: Path | None,
) -> None:
    """Train a gene finder on a genome (FASTA) and its annotation (GFF3, GTF or GenBank), or a model of signals on
    recordings (a file or a folder) and their labels (BED in samples; first column RECORD_CHANNEL, or RECORD).

    Annotation has the stop codon in the CDS; where nearly all genes leave theirs out it is taken in, as stop_codon
    rows of GTF are.

    Without --val the sequence nearest to a tenth of the genome is set aside, or every eighth recording. The best model
    there is kept (by gene F1; by that of intervals and their ends), and its posteriors are calibrated there. Under
    torchrun, all processes train together.
    """
    from semiseg import gene_trainer, recipe, signal_trainer
    from semiseg.distributed import joined
    from semiseg.formats.recordings import is_recording

    from .train_progress import reporting

    signals = is_recording(data)
    if signals and start is not None:
        raise click.BadParameter("begins gene finders only", param_hint="--from")
    if rate is not None and not signals:
        raise click.BadParameter("is about recordings", param_hint="--rate")

    def say(text: str) -> None:
        click.echo(text, err=True)

    options.use_threads(threads)
    with joined(device) as there, reporting(logs) as report:
        if signals:
            known = signal_trainer.from_files(
                data, labels, output, recipe.read_signals(config), val,
                rate=rate, resume=resume, device=there, say=say, report=report,
            )  # fmt: skip
        else:
            known = gene_trainer.from_files(
                data, labels, output, recipe.read(config), val,
                start=start, resume=resume, device=there, say=say, report=report,
            )  # fmt: skip
    if known:
        figures = "  ".join(f"{name} {value:.4f}" for name, value in known.get("validation", {}).items())
        click.echo(f"{output}: {figures}", err=True)
        if "ece" not in known.get("validation", {}):
            click.echo("semiseg: warning: too little was called to calibrate: posteriors stay as they are", err=True)
