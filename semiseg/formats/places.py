"""Places that are to be written to, looked at before the work is done; nothing is left there."""

import errno
import os
from pathlib import Path

from ..errors import SemisegError
from .draft import Draft
from .telling import told


def check_file(path: Path | None, *, whole: bool = False) -> None:
    """Refuse what no file can be written to; None and "-" are standard output.

    A file that is to be there `whole` or not at all takes the place of what has its name: that must be a file.
    """
    if path is not None and whole and (str(path) == "-" or is_stream(path)) and not path.is_dir():
        raise SemisegError(f"cannot write {path}: it is a pipe or a device: give the name of a file")
    if path is None or str(path) == "-":
        return
    with told(path):
        if path.is_dir():
            raise SemisegError(f"cannot write {path}: it is a folder: give the name of a file")
        if not is_stream(path):
            draft = Draft(Path(os.path.realpath(path)), is_file=True)
            try:
                draft.file.touch()  # its name may be too long
            finally:
                draft.discard()
        elif not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def check_folder(path: Path) -> None:
    """Refuse what no folder of files can be written to; folders that are missing will be made."""
    with told(path):
        there = next(x for x in (path, *path.absolute().parents) if x.exists())
        if not there.is_dir():
            raise SemisegError(f"cannot write {path}: {there} is a file: give the name of a folder")
        Draft(there, is_file=False).discard()


def is_stream(path: Path) -> bool:
    """Whether it is a pipe or a device, which is written into as it is."""
    return path.exists() and not path.is_file()
