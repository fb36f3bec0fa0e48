"""Stages of a pipeline side by side: while one step is used, the next ones are made."""

import threading
from collections.abc import Callable, Iterator
from queue import Full, Queue
from typing import Any, TypeVar

import torch

Item = TypeVar("Item")
POLL = 0.1  # seconds after which a stage looks whether anyone still listens
PATIENCE = 1.0  # seconds that a stage is waited for once nobody does: whoever is told to stop stops soon


def ahead(items: Iterator[Item], depth: int = 1) -> Iterator[Item]:
    """Yield items that a thread of its own makes, so many ahead; what goes wrong there goes wrong here.

    A consumer that stops early ends the thread too.
    """
    waiting: Queue = Queue(depth)
    stopped = threading.Event()

    def put(kind: str, value: object) -> bool:
        while not stopped.is_set():
            try:
                waiting.put((kind, value), timeout=POLL)
            except Full:
                continue
            return True
        return False

    def make() -> None:
        try:
            for item in items:
                if not put("item", item):
                    return
            put("end", None)
        except BaseException as error:
            put("error", error)

    thread = threading.Thread(target=make, name="semiseg-ahead", daemon=True)
    thread.start()
    try:
        while True:
            kind, value = waiting.get()
            if kind == "error":
                raise value
            if kind == "end":
                return
            yield value
    finally:
        stopped.set()
        thread.join(PATIENCE)


def in_stages(device: torch.device | str) -> Callable[[Iterator[Any]], Iterator[Any]]:
    """Return how to begin a stage on a device: `ahead`, or one step after the other where a CPU may use one thread.

    There stages would take turns anyway, and hold as much as all of them need at once.
    """
    alone = torch.device(device).type == "cpu" and torch.get_num_threads() == 1
    return iter if alone else ahead
