"""The program `semiseg`: a group of commands, each loaded when it is used."""

import gc
import os
import signal
import sys
from importlib import import_module

import click

from semiseg import __version__

from . import console

COMMANDS = ("bench", "decode", "demo", "evaluate", "fit", "models", "plot", "posteriors", "tracks", "train")
SELDOM = 50_000, 20, 20  # objects: with torch loaded there are half a million that nothing can be found among


class CommandsOnUse(click.Group):
    """Commands found by module name; the modules import click and the lazy names of semiseg, so help is quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f".{cmd_name}", __package__).command
        return command


@click.group(cls=CommandsOnUse, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="semiseg")
def group() -> None:
    """Segment long sequences exactly, with the posterior of every call."""


def main() -> None:
    """Exit with the status of the command line; told to stop, it takes back what is half written."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup and shells have it of what they put aside
            signal.signal(number, lambda number, frame: sys.exit(console.STOPPED + number))
    gc.set_threshold(*SELDOM)
    status = console.run(group)
    if status > console.STOPPED:  # all is tidied up, and a thread may need seconds for a window of a large model
        os._exit(status)
    gc.freeze()  # what is left ends with the process: to look for cycles among it takes half a second
    sys.exit(status)


if __name__ == "__main__":  # python -m semiseg.cli.main, as torchrun starts it
    main()
