"""What the system says when a file cannot be written, as one line for its user."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import SemisegError


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Turn what the system says into one line; that a pipe's reader is gone is left for the caller."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise SemisegError(f"cannot write {path}: {explain(error, path.parent)}") from error


def explain(error: OSError, folder: Path) -> str:
    """What went wrong and what to do about it."""
    said = error.strerror or str(error)
    match error.errno:
        case errno.ENOENT if not folder.exists():
            return f"there is no folder {folder}: make it first"
        case errno.ENOENT:
            return f"{folder} takes no new files: choose another folder"
        case errno.ENOTDIR:
            return f"{folder} is no folder"
        case errno.ENOSPC | errno.EDQUOT:
            return f"{said}: free some space or write elsewhere"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return f"{said}: choose a folder that you may write into, {folder} is none"
    return said
