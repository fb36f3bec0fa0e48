"""HDF5 files from strangers, read with care.

A file may point to others (external links, external storage, virtual datasets), and may name filters that HDF5 would
load from a folder. None of that is followed: a dataset is read if all of it lies in its own file.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import SemisegError
from .packages import needed

SUFFIXES = (".h5", ".hdf5", ".hdf")
MAGIC = b"\x89HDF\r\n\x1a\n"
FILTERS = {1: "gzip", 2: "shuffle", 3: "fletcher32", 32000: "lzf"}  # built into h5py
LARGEST_CHUNK = 1 << 28  # bytes
LONGEST = 1 << 12  # bytes of a name
CACHE = 1 << 26  # bytes of chunks that stay unpacked: windows are shorter than chunks
LISTED = 10  # datasets in a message


def is_hdf5(path: Path) -> bool:
    """Whether a file begins like one."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


@contextmanager
def unpacking(path: Path) -> Iterator[None]:
    """Whatever goes wrong with the file inside is a SemisegError."""
    try:
        yield
    except SemisegError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        why = " ".join(str(error.args[0] if error.args else error).split())
        raise SemisegError(f"{path}: cannot be read as HDF5, it may be damaged or cut off: {why}") from error


def open_hdf5(path: Path) -> Any:
    """Return a file to read from."""
    h5py = needed("h5py", "HDF5")
    if not path.is_file():
        raise SemisegError(f"{path}: no such file")
    if not is_hdf5(path):
        raise SemisegError(f"{path}: not HDF5")
    with unpacking(path):
        return h5py.File(path, "r", rdcc_nbytes=CACHE)


def dataset(path: Path, file: Any, name: str, is_text: bool = False) -> Any:
    """Return the dataset of a name, once all of it is known to lie in this file and to be numbers, or text."""
    with unpacking(path):
        found = inside(path, file, name)
    where = f"{path}: dataset {name}"
    if found is None or not hasattr(found, "dtype"):
        there = list(datasets(path, file))
        more = ", ..." if len(there) > LISTED else ""
        raise SemisegError(f"{path}: no dataset {name}; there are {', '.join(there[:LISTED]) or 'none'}{more}")
    with unpacking(path):
        plan = found.id.get_create_plist()
        used = [plan.get_filter(i)[0] for i in range(plan.get_nfilters())]
        if found.is_virtual or found.external:
            raise SemisegError(f"{where}: its values lie in other files, which are not opened: copy them into one")
    if set(used) - FILTERS.keys():
        raise SemisegError(f"{where}: not compressed by {', '.join(FILTERS.values())}: repack it with one of these")
    if found.dtype.kind not in ("SO" if is_text else "fiub") or found.dtype.itemsize > (LONGEST if is_text else 8):
        raise SemisegError(f"{where}: expected {'text' if is_text else 'numbers'}, found {found.dtype}")
    size = found.dtype.itemsize
    for length in found.chunks or ():
        size *= length
    if size > LARGEST_CHUNK:
        raise SemisegError(f"{where}: its chunks have {size >> 20} MiB: repack it with smaller ones")
    return found


def inside(path: Path, file: Any, name: str) -> Any:
    """Return what lies under a name, None for nothing; links to elsewhere are refused."""
    h5py = needed("h5py", "HDF5")
    at = file
    for part in name.strip("/").split("/"):
        if not isinstance(at, h5py.Group):
            return None
        link = at.get(part, getlink=True)
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            raise SemisegError(f"{path}: {name} is a link to elsewhere, which is not followed")
        at = at[part]
    return at


def datasets(path: Path, file: Any) -> Iterator[str]:
    """Yield the names of all datasets, without following any link to elsewhere."""
    h5py = needed("h5py", "HDF5")
    found: list[str] = []

    def note(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found.append(name)

    with unpacking(path):
        file.visititems(note)  # hard links alone
    yield from found


def text(value: Any) -> str:
    """Return what is stored as text, in either of the ways in which HDF5 does."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
