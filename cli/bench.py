"""`semiseg bench`"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from semiseg.errors import SemisegError

from .console import show_table

if TYPE_CHECKING:
    from semiseg.bench.run import Measured

COLUMNS = ("benchmark", "measured", "seconds", "recorded", "times_as_fast", "recorded_on")


@click.command()
@click.argument("names", nargs=-1)
@click.option("--quick", is_flag=True, help="Small inputs: shows that everything runs; nothing is compared or kept.")
@click.option("--into", type=click.Path(path_type=Path), metavar="FOLDER", help="Keep the figures there, a CSV each.")
def command(names: tuple[str, ...], quick: bool, into: Path | None) -> None:
    """Time this machine, next to the figures on record.

    NAMES are those of benchmarks, by default all that this machine can run: per_core, frame_grammar, against_flash,
    library, linear_in_length, precision; with a CUDA device gpu_batch, gpu_small, gpu_chromosome, gpu_frame_grammar,
    gpu_memory, gpu_scaling, gpu_decode, gpu_library. Answers are checked first, and nothing is timed when one is wrong.
    """
    from semiseg.bench import run
    from semiseg.formats.places import check_folder

    chosen = run.choose(names)
    if into is not None:
        check_folder(into)
    click.echo(f"all answers right after {run.gate(chosen):.0f} s", err=True)
    failed = []

    def cells() -> Iterator[list[str]]:
        for measured in run.measure(chosen, quick, into):
            if "failed" in measured.row:
                failed.append(measured.benchmark)
            yield row(measured)

    show_table(COLUMNS, cells())
    if failed:
        raise SemisegError(f"bench: failed: {', '.join(dict.fromkeys(failed))}")


def row(measured: "Measured") -> list[str]:
    """Return a row's cells."""
    here, then, known = measured.seconds, measured.seconds_then, measured.recorded
    return [
        measured.benchmark,
        measured.shape,
        str(measured.row["failed"]) if "failed" in measured.row else cell(here),
        cell(then),
        cell(then / here if here and then else None),
        "-" if known is None else f"{known.get('gpu') or known.get('cpu', '')}, {known.get('date', '')}",
    ]


def cell(value: float | None) -> str:
    """Return a figure with as many digits as it has, - for none."""
    return "-" if value is None else f"{value:.3g}"
