"""Several processes that train one model: what torchrun says of them, and their group."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import nn

from .devices import choose


@contextmanager
def joined(name: str) -> Iterator[torch.device]:
    """Yield this process's device, in the group of all that torchrun started; alone, without a group."""
    device = choose(name)
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield device
        return
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield device
    finally:
        dist.destroy_process_group()


def rank() -> int:
    """Return this process's number in its group; 0 without one."""
    return 0 if is_alone() else dist.get_rank()


def is_alone() -> bool:
    """Return whether no other process trains the same model."""
    return not dist.is_initialized()


def share_gradients(model: nn.Module) -> None:
    """Replace gradients by their mean over all processes; one piece, since every message takes its time."""
    if is_alone():
        return
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    flat = torch.cat([g.reshape(-1).double() for g in gradients])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    for g, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        g.copy_(part.view_as(g))
