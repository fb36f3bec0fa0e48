"""`semiseg demo`"""

from pathlib import Path

import click

import semiseg

from .console import show_table

COLUMNS = ("start", "end", "label", "posterior", "start_low", "start_high", "end_low", "end_high")


@click.command()
@click.argument("signal", required=False, type=click.Path(path_type=Path))
def command(signal: Path | None) -> None:
    """Segment an example signal, with posteriors.

    SIGNAL is a file with a header and one number a line, by default the example of the repository. Positions are
    0-based and half-open; low and high bound the 95 % credible interval of a boundary, both inclusive.
    """
    show_table(
        COLUMNS,
        (
            (call.start, call.end, call.label, f"{call.posterior:.3f}", *call.start_interval, *call.end_interval)
            for call in semiseg.segment_example(signal)
        ),
    )
