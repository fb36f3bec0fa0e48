"""Several processes that train one model: what torchrun says of them, and their group."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist

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
