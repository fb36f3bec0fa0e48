"""Options that decoding commands share, and what they do with them."""

import json
import math
import sys
from collections.abc import Callable
from datetime import datetime
from functools import reduce, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from semiseg.bundled import DEFAULT, names

if TYPE_CHECKING:
    import torch

    from semiseg.asked import Asked

Command = Callable[..., Any]


def several(*decorators: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Return decorators as one, in the order of the help."""
    return lambda command: reduce(lambda inner, one: one(inner), reversed(decorators), command)


class Number(click.FloatRange):
    """A finite number of a range."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number; it says so where it is none."""
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"expected a finite number, got {value!r}", param, ctx)
        return number


def drawable(*endings: str) -> Callable[[click.Context, click.Parameter, Path | None], Path | None]:
    """Return what refuses names that end neither as pictures do, nor so."""

    def checked(ctx: click.Context, param: click.Parameter, path: Path | None) -> Path | None:
        from semiseg.plots import FORMATS

        if path is not None and path.suffix[1:].lower() not in (*FORMATS, *endings):
            raise click.BadParameter(
                f"expected a name that ends in .{', .'.join((*FORMATS, *endings))}, got {path.name}"
            )
        return path

    return checked


class Batch(click.ParamType):
    """A number of positions, or None: auto."""

    name = "batch"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        """Return the number; it says so where it is none."""
        if value is None or value == "auto":
            return None
        try:
            number = int(str(value))
        except ValueError:
            number = 0
        if number < 1:
            self.fail(f"expected auto or a number of bases, got {value!r}", param, ctx)
        return number


def known_models(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return what a shell may complete a model to: a name, or a file."""
    return [*(CompletionItem(x) for x in names() if x.startswith(incomplete)), CompletionItem(incomplete, type="file")]


model = click.option(
    "--model", default=DEFAULT, show_default=True, metavar="NAME|FILE", shell_complete=known_models,
    help="A model that `semiseg models` lists, or a file that `semiseg train` or `fit` wrote.",
)  # fmt: skip
reading = several(
    click.option("--dataset", metavar="NAME", help="Of an HDF5 file that is no track store."),
    click.option("--rate", type=Number(0, min_open=True), help="Samples a second, where the file has none."),
    click.option("--channels", metavar="NAME,...", help="Tracks or channels to read, instead of all."),
)
data = several(click.argument("input", type=click.Path(path_type=Path, allow_dash=True)), model, reading)
regions = several(
    click.option(
        "-r", "--region", multiple=True, metavar="NAME[:FROM-TO]",
        help="Only here, from 1, both ends included; may be given several times.",
    ),
    click.option("--regions-bed", type=click.Path(path_type=Path), help="Only in the regions of a BED file."),
    click.option("--isolated", is_flag=True, help="Regions as if nothing were around them."),
)  # fmt: skip
threads = click.option("--threads", type=click.IntRange(1), help="By default as many as there are cores.")
running = several(
    click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N."),
    click.option(
        "--batch",
        type=Batch(),
        default="auto",
        show_default=True,
        metavar="auto|N",
        help="Bases that a GPU decodes at once; auto: as many as it has free memory for.",
    ),
    threads,
    click.option("--raw", is_flag=True, help="Posteriors as they are, without the model's calibration."),
    click.option("-q", "--quiet", is_flag=True, help="No progress and no warnings."),
    click.option("--json", "as_json", is_flag=True, help="A summary as JSON, on stderr."),
    click.option("--log-file", "log", type=click.Path(path_type=Path), help="Add what is said to a file, with times."),
)


def decoding(command: Command) -> Command:
    """Give a command what is asked for as `shared`, an `Asked` of the options that all have, with the rest of its own.

    It returns all that is asked for, and what does it.
    """

    @wraps(command)
    def whole(
        input: Path,
        model: str,
        region: tuple[str, ...],
        regions_bed: Path | None,
        isolated: bool,
        device: str,
        batch: int | None,
        threads: int | None,
        raw: bool,
        quiet: bool,
        as_json: bool,
        log: Path | None,
        dataset: str | None = None,
        rate: float | None = None,
        channels: str | None = None,
        **own: Any,
    ) -> None:
        from semiseg.asked import Asked, Reading
        from semiseg.genome import Settings

        shared = Asked(
            input, model, Settings(chosen_device(device, threads), isolated=isolated, batch=batch),
            regions=region, regions_bed=regions_bed, raw=raw, log=log, command=("semiseg", *sys.argv[1:]),
            reading=Reading(dataset, rate, tuple(channels.split(",")) if channels else ()),
        )  # fmt: skip
        asked, work = command(shared, **own)
        run(asked, work, quiet, as_json)

    return several(regions, running)(whole)


def chosen_device(device: str, threads: int | None) -> "torch.device":
    """Return the device, and have that many threads work."""
    from semiseg.devices import choose

    use_threads(threads)
    return choose(device)


def use_threads(threads: int | None) -> None:
    """Have that many threads work, where a number is given."""
    import torch

    if threads is not None:
        torch.set_num_threads(threads)


def run(asked: "Asked", work: Command, quiet: bool, as_json: bool) -> None:
    """Do the work with progress on stderr, where that is a terminal."""
    from semiseg.memory import keep_freed

    from .progress import positions

    def note(text: str) -> None:
        if asked.log is not None:
            with asked.log.open("a") as file:
                file.write(f"{datetime.now():%Y-%m-%d %H:%M:%S} {text}\n")

    def say(text: str) -> None:
        note(f"warning: {text}")
        if not quiet:
            click.echo(f"semiseg: warning: {text}", err=True)

    note(" ".join(asked.command))
    keep_freed()
    with positions(quiet) as report:
        summary = work(asked, say, report)
    note(json.dumps(summary))
    if as_json:
        click.echo(json.dumps(summary), err=True)
