"""Text on its way into a file, and into one that a run which was killed can go on with.

What is in such a file for certain is noted, and the rest written again: `.NAME.partial` grows beside the file, and
`.NAME.journal` has a line for every mark: how many results are in the first so many bytes. Both are gone when the file
is complete.
"""

import os
from pathlib import Path
from typing import BinaryIO

from .bgzip import Bgzip, is_compressed
from .telling import told


class Output:
    """Text on its way into a file; every failure is a SemisegError that names the file."""

    done = 0  # results that are in it already

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self.file, self.path = file, path
        self.stream = Bgzip(file) if is_compressed(path) else file

    def begin(self) -> None:
        """The first new result follows."""

    def write(self, text: str) -> None:
        """Write text as UTF-8."""
        with told(self.path):
            self.stream.write(text.encode())

    def mark(self, done: int) -> None:
        """So many results are written: a new block begins, where a run that goes on after it was killed has one too."""
        with told(self.path):
            self.stream.flush()

    def close(self) -> None:
        """Complete the file."""
        with told(self.path):
            self.stream.close()


class Resumable(Output):
    """The same for a run that can be gone on with; `key` says what belongs together: another one begins anew."""

    def __init__(self, path: Path, key: str) -> None:
        self.part = path.with_name(f".{path.name}.partial")
        self.journal = path.with_name(f".{path.name}.journal")
        self.done, size = self.last(key)
        self.has_begun = self.done == 0  # what is written before the first new result is there already
        with told(path):
            file = open(self.part, "r+b" if self.done else "wb")  # noqa: SIM115
            file.truncate(size)
            file.seek(size)
            if not self.done:
                self.journal.write_text(f"{key}\n")
        super().__init__(file, path)

    def last(self, key: str) -> tuple[int, int]:
        """How many results are in how many bytes, by the last whole line of the journal."""
        try:
            first, *lines = self.journal.read_text().split("\n")[:-1]
            done, size = map(int, lines[-1].split())
            fits = first == key and self.part.stat().st_size >= size
        except (OSError, ValueError, IndexError):
            return 0, 0
        return (done, size) if fits else (0, 0)

    def begin(self) -> None:
        self.has_begun = True

    def write(self, text: str) -> None:
        if self.has_begun:
            super().write(text)

    def mark(self, done: int) -> None:
        """Note that so many results are in the file."""
        with told(self.path):
            self.settle()
            with self.journal.open("a") as journal:
                journal.write(f"{done} {self.file.tell()}\n")
                journal.flush()
                os.fsync(journal.fileno())

    def close(self) -> None:
        """Complete the part; the journal is of use until it has the file's name."""
        with told(self.path):
            self.settle()
        super().close()

    def settle(self) -> None:
        """Have all that was written on the disk."""
        self.stream.flush()
        self.file.flush()
        os.fsync(self.file.fileno())
