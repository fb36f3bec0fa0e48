"""Heavy packages, loaded by what uses them."""

import importlib
from typing import Any

from ..errors import SemisegError


def needed(package: str, what: str, otherwise: str = "", extra: str = "") -> Any:
    """Return the package; a missing one is an error that says what needs it, and what else could be done.

    `extra` is the part of this one's that it comes with.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        how = f"'semiseg[{extra}]'" if extra else package
        raise SemisegError(f"{what} needs {package}, which is not installed: pip install {how}{otherwise}") from error
