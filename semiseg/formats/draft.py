"""Files that appear under their names only when they are complete."""

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from .bgzip import is_compressed
from .tabix import remove_indexes


class Draft:
    """A hidden folder beside the final files: on the same disk, so that renaming is all that is left to do."""

    def __init__(self, where: Path, is_file: bool) -> None:
        """Begin the file or the folder of files where; a folder is made if there is none."""
        self.is_file = is_file
        self.target = where.parent if is_file else where
        self.made = not self.target.exists() and not is_file
        if self.made:
            self.target.mkdir(parents=True)
        try:
            self.folder = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=self.target))
        except OSError:
            self.remove_target()
            raise
        self.file = self.folder / where.name

    def publish(self) -> None:
        """Give all files their names; what stood there is replaced, with what it was indexed by."""
        paths = sorted(self.folder.iterdir())  # an index comes after its file, and must not be older
        for path in paths:
            sync(path)
        for path in paths:
            if is_compressed(path):
                remove_indexes(self.target / path.name)
            os.replace(path, self.target / path.name)
        self.folder.rmdir()

    def discard(self) -> None:
        """Remove the files, and the folder if it was made for them and holds nothing else."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.remove_target()

    def remove_target(self) -> None:
        """Remove the folder that was made."""
        if self.made:
            with suppress(OSError):
                self.target.rmdir()


def sync(path: Path) -> None:
    """Wait until the file is on the disk: a name must not survive a crash that its content does not."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
