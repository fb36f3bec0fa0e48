"""Models on disk: one safetensors file, what is not a tensor as JSON in its header. Nothing is ever unpickled."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .errors import SemisegError
from .formats.telling import explain

if TYPE_CHECKING:  # a header is read without torch
    import torch
    from torch import Tensor

FORMAT, VERSION = "semiseg-model", 1
LENGTH = 8  # bytes that say how long a safetensors header is


class Stored(NamedTuple):
    """What a file holds."""

    kind: str  # of model, e.g. "genes"
    config: dict[str, Any]  # what builds it
    about: dict[str, Any]  # name, provenance, licence, validation figures
    tensors: "dict[str, Tensor]"


def save(path: Path, stored: Stored) -> None:
    """Write a file whole or not at all: to a neighbour first, then to the disk, then under its name."""
    from safetensors.torch import save as to_bytes

    header = {"format": FORMAT, "version": str(VERSION)}
    header |= {name: json.dumps(getattr(stored, name), sort_keys=True) for name in ("kind", "config", "about")}
    tensors = {name: x.detach().cpu().contiguous() for name, x in stored.tensors.items()}
    replace(path, settled(to_bytes(tensors, metadata=header)))


def settled(data: bytes) -> bytes:
    """Return a safetensors file whose header has its metadata in one order: the library's differs from run to run."""
    start = LENGTH + int.from_bytes(data[:LENGTH], "little")
    header = json.loads(data[LENGTH:start])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % LENGTH)  # tensors begin at a multiple of it
    return len(text).to_bytes(LENGTH, "little") + text + data[start:]


def replace(path: Path, data: bytes) -> None:
    """Put data where a file was; interrupted at any moment, the old one or the new one is there, whole."""
    path = Path(os.path.realpath(path))  # a link stays one
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise SemisegError(f"{path}: cannot write: {explain(error, path.parent)}") from None
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def load(path: Path) -> Stored:
    """Return what a file holds; refuse what is not of this format, or newer than this program."""
    with opened(path, "pt") as (file, header):
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        for name, x in tensors.items():
            if bool(x.isnan().any()):
                raise SemisegError(f"{path}: {name} holds values that are no numbers: the file is damaged")
        return Stored(**header, tensors=tensors)


def load_checkpoint(path: Path) -> Stored:
    """Return what a checkpoint holds; one that cannot be read is of no use to go on from."""
    try:
        return load(path)
    except SemisegError as error:
        raise SemisegError(f"{error}: delete it to begin anew") from None


def read_about(path: Path) -> dict[str, Any]:
    """Return what a file says about itself; no tensor is read."""
    with opened(path, "numpy") as (_, header):
        return header["about"]


def read_kind(path: Path) -> str:
    """Return the kind of a file's model; no tensor is read."""
    with opened(path, "numpy") as (_, header):
        return str(header["kind"])


@contextmanager
def opened(path: Path, framework: str) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Give an open file and its header: kind, config and about."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework) as file:
            header = file.metadata() or {}
            if header.get("format") != FORMAT:
                raise SemisegError(f"{path}: not a semiseg model")
            version = header.get("version", "")
            if not version.isdecimal() or int(version) > VERSION:
                raise SemisegError(
                    f"{path}: written by a newer semiseg (format {version}, this one reads {VERSION}): upgrade semiseg"
                )
            values = {name: json.loads(header[name]) for name in ("kind", "config", "about")}
            if not (isinstance(values["config"], dict) and isinstance(values["about"], dict)):
                raise SemisegError(f"{path}: not a semiseg model, or damaged")
            yield file, values
    except FileNotFoundError:
        raise SemisegError(f"{path}: no such file") from None
    except OSError as error:
        if path.is_dir():
            raise SemisegError(f"{path}: it is a folder: give the name of a file") from None
        raise SemisegError(f"{path}: cannot read: {error.strerror or error}") from None
    except (SafetensorError, KeyError, json.JSONDecodeError):
        raise SemisegError(f"{path}: not a semiseg model, or damaged") from None


def fill(module: "torch.nn.Module", stored: Stored, path: Path) -> None:
    """Put stored weights into a module, in its own precision; every one must be there, of its shape, and no other."""
    own = dict(module.state_dict())
    missing, foreign = sorted(own.keys() - stored.tensors.keys()), sorted(stored.tensors.keys() - own.keys())
    if missing or foreign:
        what = f"missing {', '.join(missing[:3])}" if missing else f"unknown {', '.join(foreign[:3])}"
        raise SemisegError(f"{path}: its tensors are not those of its configuration: {what}")
    for name, x in own.items():
        if stored.tensors[name].shape != x.shape:
            raise SemisegError(
                f"{path}: {name} has shape {tuple(stored.tensors[name].shape)}, its configuration says {tuple(x.shape)}"
            )
        if not bool(stored.tensors[name].isfinite().all()):
            raise SemisegError(f"{path}: {name} holds infinite values: the file is damaged")
    module.load_state_dict({name: stored.tensors[name].to(x.dtype) for name, x in own.items()})


def shrunk(module: "torch.nn.Module") -> "dict[str, Tensor]":
    """Return a module's weights with float32 as bfloat16."""
    return {name: shrink(x) for name, x in module.state_dict().items()}


def shrink(x: "Tensor") -> "Tensor":
    """Return a tensor as a file has it."""
    import torch

    return x.bfloat16() if x.dtype == torch.float32 else x
