"""Which device to compute on."""

import torch

from .errors import SemisegError, UsageError


def choose(name: str) -> torch.device:
    """Return the device of a name: auto takes a GPU where there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise UsageError(f"--device: expected auto, cpu, cuda or cuda:N, got {name!r}")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SemisegError(f"--device: {name} asked for, but this machine has no CUDA device: choose cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise SemisegError(f"--device: {name} asked for, but there are {torch.cuda.device_count()} CUDA devices")
    return device
