"""What is told to stop, and what is kept of it to go on with."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import SemisegError

GOES_ON = "--resume continues"


def checkpoint_of(output: Path) -> Path:
    """Return where a run keeps what it has of a file that it is to write."""
    return output.with_name(f"{output.name}.checkpoint")


def check_fresh(output: Path, resume: bool) -> None:
    """Refuse to begin anew over what another run has kept."""
    checkpoint = checkpoint_of(output)
    if not resume and checkpoint.exists():
        raise SemisegError(f"{checkpoint} is there: --resume continues it, or delete it to begin anew")


@contextmanager
def keeping(kept: bool) -> Iterator[None]:
    """Say with what cannot be written inside that it can be gone on with, where something is `kept` already."""
    try:
        yield
    except SemisegError as error:
        raise SemisegError("; ".join([str(error), *([GOES_ON] if kept else [])])) from None


@contextmanager
def resumable(kept: Callable[[], bool]) -> Iterator[None]:
    """Note with what interrupts the work inside that it can be gone on with, where by then something is `kept`."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as stop:
        if kept() and GOES_ON not in getattr(stop, "__notes__", []):
            stop.add_note(GOES_ON)
        raise
