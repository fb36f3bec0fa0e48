"""Heavy packages, loaded by what uses them."""

import importlib
from typing import Any

from ..errors import SemisegError


def needed(package: str, what: str, otherwise: str = "") -> Any:
    """Return the package; a missing one is an error that says what needs it, and what else could be done."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise SemisegError(
            f"{what} needs {package}, which is not installed: pip install {package}{otherwise}"
        ) from error
