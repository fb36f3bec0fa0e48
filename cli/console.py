"""How commands speak to the terminal: results on stdout, errors as one line on stderr, exit statuses."""

import os
import signal
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from semiseg.errors import SemisegError, UsageError
from semiseg.formats.telling import explain

STOPPED = 128  # exit statuses above it: by a signal


def run(command: click.Command, args: Sequence[str] | None = None) -> int:
    """Exit status of a command: 0 done, 1 bad input or a closed pipe, 2 wrong usage, 128 + n stopped by signal n."""
    try:
        status = command.main(args, prog_name="semiseg", standalone_mode=False)
        sys.stdout.flush()  # click deals with a pipe that closes earlier
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        where = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else ""
        tell(f"{error.format_message().rstrip('.')}{where and f' ({where} --help)'}")
        return error.exit_code
    except click.Abort as error:
        return interrupted(STOPPED + signal.SIGINT, error.__cause__)
    except SystemExit as stop:
        if not isinstance(stop.code, int) or stop.code <= STOPPED:
            raise
        return interrupted(stop.code, stop)
    except BrokenPipeError:
        silence()
        return 1
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        tell(f"{where}cannot write: {explain(error, Path(error.filename or '.').parent)}")
        silence()
        return 1
    except SemisegError as error:
        tell(str(error))
        return 2 if isinstance(error, UsageError) else 1
    return status if isinstance(status, int) else 0


def tell(text: str) -> None:
    """Write an error to stderr, in one line whatever it holds."""
    click.echo(f"semiseg: {' '.join(text.split())}", err=True)


def interrupted(status: int, stop: BaseException | None) -> int:
    """Say that the command was told to stop, and what was noted with that; return the exit status."""
    if sys.stderr.isatty():
        click.echo(err=True)  # behind the ^C that stands there
    tell("; ".join(["interrupted", *getattr(stop, "__notes__", [])]))
    return status


def silence() -> None:
    """Send what is left of stdout nowhere: the interpreter flushes once more when it ends, and would complain then."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def show_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write rows to stdout: drawn as a table on a terminal, else as tab-separated lines under a header."""
    if not sys.stdout.isatty():
        for row in (columns, *rows):
            click.echo("\t".join(str(cell) for cell in row))
        return
    from rich.console import Console  # 50 ms that piped output need not wait for
    from rich.table import Column, Table

    first, *rest = columns
    table = Table(Column(first, no_wrap=True), *rest)  # what a row is about is the last to be cut short
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    Console().print(table)
