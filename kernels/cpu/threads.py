"""One pool of threads per size, made on first use; the compiled functions release the interpreter lock."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import TypeVar

import torch

A = TypeVar("A")
R = TypeVar("R")
_here = threading.local()


def pool(threads: int | None = None, role: str = "chunks") -> ThreadPoolExecutor:
    """Return the shared pool of that many threads (None: as many as torch uses here).

    Items of a batch wait for their chunks, so each role has threads of its own.
    """
    return _pool(threads or torch.get_num_threads(), role)


@cache
def _pool(threads: int, role: str) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix=f"semiseg-{role}")


def spread(pool: ThreadPoolExecutor | None, work: Callable[[A], R], items: Sequence[A]) -> Iterable[R]:
    """Return what work makes of items, in order: by threads, where there are several of both and it is worth asking."""
    if pool is None or pool._max_workers == 1 or len(items) < 2 or getattr(_here, "alone", False):
        return map(work, items)
    return pool.map(work, items)


def side_by_side(work: Callable[[A], R], items: Sequence[A], role: str = "side by side") -> list[R]:
    """Return what work makes of items, by threads, which ask no others where there are several items.

    Small work takes as long as asking does, on sixteen cores as on two.
    """
    if len(items) < 2:
        return [work(item) for item in items]

    def one(item: A) -> R:
        _here.alone = True
        try:
            with torch_threads(1):
                return work(item)
        finally:
            _here.alone = False

    return list(pool(role=role).map(one, items))


@contextmanager
def torch_threads(n: int | None) -> Iterator[None]:
    """Have torch work on so many threads, None: on as many as before, to which it returns."""
    before = torch.get_num_threads()
    torch.set_num_threads(n or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
