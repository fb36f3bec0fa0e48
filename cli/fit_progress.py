"""Where a fit stands: a bar on a terminal, lines elsewhere."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from semiseg.hsmm_fit import Progress


def words(progress: Progress) -> str:
    """Return the stage and the likelihood."""
    return f"{progress.states} states, {progress.stage}: {progress.nats:.5f} nats a position"


@contextmanager
def reporting(quiet: bool) -> Iterator[Callable[[Progress], None]]:
    """Give what shows a report on stderr."""
    if quiet:
        yield lambda progress: None
        return
    if not sys.stderr.isatty():
        yield lambda progress: click.echo(f"pass {progress.done}/{progress.most}  {words(progress)}", err=True)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bars

    columns = MofNCompleteColumn(), BarColumn(), TextColumn("{task.description}")
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("", total=None)
        yield lambda p: bars.update(task, completed=p.done, total=p.most, description=words(p))
