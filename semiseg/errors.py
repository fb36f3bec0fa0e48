"""The one family of errors that a user of the library or of the command line can cause."""

from collections.abc import Iterable

from .kernels.errors import SemisegError as SemisegError  # there, since kernels import nothing upward

SHOWN = 5


class UsageError(SemisegError):
    """What was asked for makes no sense, whatever the data are."""


def show_names(names: Iterable[str]) -> str:
    """The first few names, for a message, and how many more there are."""
    names = list(names)
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if names[SHOWN:] else "")
