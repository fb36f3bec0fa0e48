"""Processes of their own, forked from one that has imported what they need and done nothing else.

A start from nothing takes a processor eight seconds, nearly all of them imports.
"""

import multiprocessing
from collections.abc import Callable
from typing import Any

NEEDED = ["torch.distributed", "torch.nn.parallel", "semiseg.crf", "semiseg.kernels.autograd", "semiseg.trainer"]


def start(function: Callable[..., None], *arguments: Any) -> Any:
    """Return a process that has begun to call a function of a module."""
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(NEEDED)
    process = server.Process(target=function, args=arguments)
    process.start()
    return process


def exit_code(process: Any, patience: float = 240.0) -> int:
    """Return what a process ends with, negative for a signal."""
    process.join(patience)
    if process.is_alive():
        process.kill()
        process.join()
    return process.exitcode
