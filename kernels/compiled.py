"""The one way functions are compiled here: ahead of the interpreter lock, cached on disk per version of the sources.

numba's own cache looks at the file of a function only, not at the functions it calls from other files, and breaks
when a record it once knew moves. A directory named after the hash of all sources has neither fault.
"""

import hashlib
import os
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba
import numpy as np

POISON = bool(os.environ.get("SEMISEG_POISON"))  # tests: memory is NaN until it is written
FAST = {"contract", "reassoc", "nsz"}  # infinities and NaN keep their meaning


@cache
def directory() -> str:
    """Return where compiled code of these very sources is kept."""
    digest = hashlib.sha256(f"{numba.__version__} {POISON}".encode())
    for source in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(source.read_bytes())
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "semiseg"
    try:
        base.mkdir(parents=True, exist_ok=True)
    except OSError:
        base = Path(tempfile.mkdtemp(prefix="semiseg-"))  # private: what lies in a shared folder is not to be trusted
    return str(base / f"numba-{digest.hexdigest()[:16]}")


def compiled(
    function: Callable[..., Any] | None = None, *, fast: bool = False, inline: bool = False, lent: bool = False
) -> Any:
    """Return a compiled function, or the decorator that makes one.

    `fast` allows reordering of sums; such a function becomes a part of those that call it. Else the process that
    compiles them runs it as it is on its own, later ones run the copies that are kept with its callers, and sums differ
    in their last bits. `inline` copies the function into its callers: a call that passes a record of arrays costs
    0.3 us, which matters once a position. `lent`: it allocates nothing, so it need not count references to the arrays
    that it is given; counting those of what is copied into it takes as long again.
    """
    if function is None:
        return lambda f: compiled(f, fast=fast, inline=inline, lent=lent)
    settings: Any = numba.config
    previous = settings.CACHE_DIR
    settings.CACHE_DIR = directory()  # read when the function is decorated, so other packages keep theirs
    try:
        fastmath: Any = FAST if fast else False
        options: Any = {"inline": "always" if inline else "never", "_nrt": not lent, "forceinline": fast}
        return numba.njit(cache=True, nogil=True, fastmath=fastmath, **options)(function)
    finally:
        settings.CACHE_DIR = previous


@compiled
def scratch(shape: Any, dtype: Any) -> Any:
    """Return uninitialised memory (in tests: NaN, the most negative integer)."""
    out = np.empty(shape, dtype)
    if POISON:
        flat = out.reshape(out.size)
        for i in range(out.size):
            flat[i] = np.nan
    return out
