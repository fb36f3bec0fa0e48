"""What is on a device for as long as it is asked for again: lists and tables that depend on shapes only."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class _Reader(threading.local):
    seen: list[Any] | None = None


_reader = _Reader()


def lasting(size: int) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Remember what a function returned for its latest arguments; a training run asks for the same at every step."""

    def remember(make: Callable[P, R]) -> Callable[P, R]:
        cached: Any = lru_cache(size)(make)

        @wraps(make)
        def get(*arguments: P.args, **options: P.kwargs) -> R:
            found: R = cached(*arguments, **options)
            if _reader.seen is not None:
                _reader.seen.append(found)
            return found

        return get

    return remember


@contextmanager
def read() -> Iterator[list[Any]]:
    """Give a list of all that is asked for meanwhile: whoever goes on using it holds it, the memory may forget it."""
    before, _reader.seen = _reader.seen, []
    try:
        yield _reader.seen
    finally:
        _reader.seen = before
