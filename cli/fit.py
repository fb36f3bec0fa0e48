"""`semiseg fit`"""

import sys
from pathlib import Path

import click


@click.command()
@click.argument("input", type=click.Path(path_type=Path))
@click.option("--states", type=click.Choice(["auto"]), default="auto", show_default=True, help="As many as pay.")
@click.option("--calls", is_flag=True, required=True, help="Write the regimes of each series, not a model.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write here; .gz is bgzipped, with an index.")
@click.option("--format", "form", type=click.Choice(["bed", "bed9", "csv"]), default="bed", show_default=True)
@click.option("--dataset", metavar="NAME", help="Of an HDF5 file that is no track store.")
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="Samples a second, where the file has none.")
@click.option("--channels", metavar="NAME,...", help="Tracks or channels to read, instead of all.")
def command(
    input: Path,
    states: str,
    calls: bool,
    output: Path | None,
    form: str,
    dataset: str | None,
    rate: float | None,
    channels: str | None,
) -> None:
    """Find the regimes of series without labels: where their shape changes, and what comes back.

    Every stretch comes with its state, the posterior of a change about its start, and 95 % credible intervals.
    """
    from semiseg.regime_calling import call_regimes

    reading = {"dataset": dataset, "rate": rate, "channels": tuple(channels.split(",")) if channels else None}
    call_regimes(input, output, form, reading, ["semiseg", *sys.argv[1:]])
