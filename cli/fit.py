"""`semiseg fit`"""

import json
import sys
from pathlib import Path

import click

from . import options
from .keeping import Keeping

EMISSIONS = (
    "Of what states emit: auto, bernoulli, gaussian, negative-binomial, zero-inflated or autoregressive; or shapes: of"
    " windows of a series, for --states auto --calls, where auto means it."
)
DURATIONS = "Laws of durations: geometric, free, lognormal, gamma, negative-binomial, poisson, spline or uniform."


@click.command(cls=Keeping)
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--states", default="auto", show_default=True, metavar="N|FROM-TO|auto", help="How many, or out of which."
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The model file to write.")
@click.option("--calls", is_flag=True, help="Decode INPUT with the model at once: BED to stdout.")
@click.option("--family", default="auto", show_default=True, metavar="NAME", help=EMISSIONS)
@click.option("--order", type=click.IntRange(1, 32), help="Of the autoregressive family: values predicted from.")
@click.option("--durations", default="lognormal", show_default=True, metavar="NAME", help=DURATIONS)
@click.option(
    "--longest", type=click.IntRange(2), default=32, show_default=True, help="Explicit durations; then a tail."
)
@click.option("--criterion", type=click.Choice(["bic", "held-out"]), default="bic", show_default=True)
@click.option("--restarts", type=click.IntRange(1), default=4, show_default=True, help="Starts; the likeliest goes on.")
@click.option("--passes", type=click.IntRange(1), default=100, show_default=True, help="Over all data, at most.")
@click.option(
    "--tolerance", type=options.Number(), default=1e-4, show_default=True, help="Nats a position a pass must gain."
)
@click.option("--sharpen", type=click.IntRange(0), help="Steps for cheaper best paths; by default 2 for marks, else 0.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--resume", is_flag=True, help="Go on from OUTPUT.checkpoint where it is there.")
@options.reading
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@options.threads
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@click.option("--json", "as_json", is_flag=True, help="What is known about the model as JSON, on stderr.")
def command(
    inputs: tuple[Path, ...],
    states: str,
    output: Path | None,
    calls: bool,
    family: str,
    order: int | None,
    durations: str,
    longest: int,
    criterion: str,
    restarts: int,
    passes: int,
    tolerance: float,
    sharpen: int | None,
    seed: int,
    resume: bool,
    dataset: str | None,
    rate: float | None,
    channels: str | None,
    device: str,
    threads: int | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Fit a hidden semi-Markov model to signals without labels: one model to all of INPUT.

    INPUT is a track store, other HDF5, ChromHMM's binarised marks, or a recording. States are named E1, E2 and so on,
    from the most signal to the least. NaN is unknown, and summed over. `fit series.csv --states auto --calls` finds
    regimes of series: where their shape changes, and what comes back, with the posterior of every change.
    """
    if output is None and not calls:
        raise click.UsageError("nothing to do: give --output, or --calls, or both")
    if calls and len(inputs) > 1:
        raise click.UsageError("--calls is for one INPUT: decode the others with the model")
    if order is not None and family != "autoregressive":
        raise click.UsageError("--order is for --family autoregressive")
    if resume and output is None:
        raise click.UsageError("--resume needs --output: the checkpoint stands beside it")
    from semiseg.asked import Reading
    from semiseg.regime_calling import call_regimes, is_series

    read = Reading(dataset, rate, tuple(channels.split(",")) if channels else ())
    regimes = calls and output is None and states == "auto" and family in ("auto", "shapes")
    if family == "shapes" and not regimes:
        raise click.UsageError("--family shapes goes with --states auto --calls, and without --output")
    if regimes and (family == "shapes" or is_series(inputs[0], read)):
        call_regimes(inputs[0], reading=read, command=["semiseg", *sys.argv[1:]])
        return
    from semiseg.hsmm_files import fitted, numbers
    from semiseg.hsmm_fit import Settings

    from .fit_progress import reporting

    settings = Settings(
        numbers(states), durations, longest, restarts, passes=passes, tolerance=tolerance, sharpen=sharpen,
        criterion=criterion, seed=seed,
    )  # fmt: skip
    chosen = options.chosen_device(device, threads)
    with reporting(quiet) as report:
        about = fitted(
            inputs, output, settings, family, {} if order is None else {"order": order},
            reading=read, device=chosen,
            resume=resume, calls=calls, command=("semiseg", *sys.argv[1:]), report=report,
        )  # fmt: skip
    if as_json:
        click.echo(json.dumps(about), err=True)
