"""What is told to stop, and whether it can be gone on with."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

GOES_ON = "--resume continues"


@contextmanager
def resumable(kept: Callable[[], bool]) -> Iterator[None]:
    """Note with what interrupts the work inside that it can be gone on with, where by then something is `kept`."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as stop:
        if kept():
            stop.add_note(GOES_ON)
        raise
