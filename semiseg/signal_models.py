"""Models of signals, from their files: the kind that a file tells is a module that knows it."""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import cast

from .errors import SemisegError
from .model_file import read_kind
from .signals import SignalModel

MODULES = {"states": "semiseg.hsmm_model", "waves": "semiseg.segmenter"}  # each has load(path)


def load(path: Path) -> SignalModel:
    """Return the model of a file."""
    kind = read_kind(path)
    if kind.endswith("checkpoint"):
        raise SemisegError(f"{path}: training is not complete: the same command with --resume completes it")
    module = MODULES.get(kind)
    if module is None or find_spec(module) is None:
        raise SemisegError(f"{path}: a model of kind {kind}, which this semiseg does not know: upgrade semiseg")
    return cast(SignalModel, import_module(module).load(path))
