"""Where a training run stands: a bar on a terminal, lines elsewhere."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from semiseg.logs import TensorBoard
from semiseg.trainer import Progress

MEMORY = 1800.0  # seconds that the time left is judged by: validations take minutes and are hundreds of steps apart


@contextmanager
def reporting(logs: Path | None) -> Iterator[Callable[[Progress], None]]:
    """Yield what shows a report on stderr and, where a folder is given, writes it there for TensorBoard."""
    with ExitStack() as stack:
        show = stack.enter_context(Bar(Console(stderr=True))) if sys.stderr.isatty() else write_line
        keep = None if logs is None else stack.enter_context(TensorBoard(logs))

        def report(progress: Progress) -> None:
            show(progress)
            if keep is not None:
                keep(progress)

        yield report


def write_line(progress: Progress) -> None:
    """Write a line at validations, and now and then in between."""
    line = f"step {progress.step}/{progress.steps}  loss {progress.loss:.4f}"
    if progress.validated is not None:
        figures = "  ".join(f"{level} F1 {value:.3f}" for level, value in progress.validated.items())
        click.echo(f"{line}  {figures}  best {progress.best:.3f}", err=True)
    elif progress.step % 50 == 0:
        click.echo(line, err=True)


class Bar:
    """One line that is drawn over and over, from the first report on: only the process that reports draws."""

    def __init__(self, console: Console) -> None:
        self.bars = Bars(
            MofNCompleteColumn(),
            BarColumn(bar_width=None),
            TextColumn("{task.description}"),
            TimeRemainingColumn(),
            console=console,
            expand=True,
            speed_estimate_period=MEMORY,
        )
        self.task: TaskID | None = None
        self.figures = ""

    def __call__(self, progress: Progress) -> None:
        if self.task is None:
            self.task = self.bars.add_task("", total=progress.steps, completed=progress.step - 1)
            self.bars.start()
        if progress.validated is not None:
            last = "".join(f" {level} {value:.3f}" for level, value in list(progress.validated.items())[-2:])
            self.figures = f" F1{last} best {progress.best:.3f}"
        self.bars.update(self.task, completed=progress.step, description=f"loss {progress.loss:.4f}{self.figures}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.task is not None:
            self.bars.stop()
