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
@click.option(
    "--val",
    multiple=True,
    metavar="NAME[:FROM-TO]",
    help="A sequence, a region or a recording to validate on; may be given again.",
)
@click.option(
    "--folds", type=click.IntRange(2), help="Judge recordings by so many models that saw the others; learn from all."
)
@click.option("--fold", type=click.IntRange(1), help="Train just this one of the folds, for jobs side by side.")
@click.option("--from", "start", metavar="NAME|FILE", help="Begin with a trained model instead of from nothing.")
@click.option("--resume", is_flag=True, help="Go on from OUTPUT.checkpoint, or OUTPUT.folds, where it is there.")
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
    folds: int | None,
    fold: int | None,
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

    With --folds recordings are dealt out, and each is judged by a model that learnt from the others (kept in
    OUTPUT.folds); the model written learns from all of them, and is calibrated on those calls. All take their last
    step. Jobs with --fold 1, --fold 2, ... train one of those each; --folds with --resume then does the rest.
    """
    from semiseg import gene_trainer, recipe, signal_files, signal_folds
    from semiseg.distributed import joined
    from semiseg.formats.recordings import is_recording

    from .train_progress import reporting

    signals = is_recording(data)
    if signals and start is not None:
        raise click.BadParameter("begins gene finders only", param_hint="--from")
    if rate is not None and not signals:
        raise click.BadParameter("is about recordings", param_hint="--rate")
    if folds is not None and not signals:
        raise click.BadParameter("is about recordings", param_hint="--folds")
    if fold is not None and fold > (folds or 0):
        raise click.BadParameter("needs --folds, and is one of them, counted from 1", param_hint="--fold")
    if folds is not None and val:
        raise click.BadParameter("sets every recording aside once: leave --val out", param_hint="--folds")

    def say(text: str) -> None:
        click.echo(text, err=True)

    options.use_threads(threads)
    with joined(device) as there, reporting(logs) as report:
        if signals:
            known = signal_files.from_files(
                data, labels, output, recipe.read_signals(config), val, folds, fold,
                rate=rate, resume=resume, device=there, say=say, report=report,
            )  # fmt: skip
        else:
            known = gene_trainer.from_files(
                data, labels, output, recipe.read(config), val,
                start=start, resume=resume, device=there, say=say, report=report,
            )  # fmt: skip
    if known:
        figures = "  ".join(f"{name} {value:.4f}" for name, value in known.get("validation", {}).items())
        written = output if fold is None else signal_folds.path_of(output, fold)
        click.echo(f"{written}: {figures}", err=True)
        if fold is None and "ece" not in known.get("validation", {}):
            click.echo("semiseg: warning: too little was called to calibrate: posteriors stay as they are", err=True)
