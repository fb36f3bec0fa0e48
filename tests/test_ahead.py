"""A stage ahead of its consumer: the same items in the same order, errors where they are used, no thread left over."""

import threading
import time
from collections.abc import Iterator
from itertools import count

import pytest

from semiseg.ahead import ahead, in_stages
from semiseg.kernels.cpu.threads import torch_threads


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    before = threading.active_count()
    yield
    assert threading.active_count() == before


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("length", [0, 1, 2, 100])
def test_order_is_kept(length: int, depth: int) -> None:
    assert list(ahead(iter(range(length)), depth)) == list(range(length))


def test_stages_follow_each_other() -> None:
    assert list(ahead(x + 1 for x in ahead(x * 2 for x in ahead(iter(range(50)))))) == list(range(1, 100, 2))


def test_nothing_is_too_much_ahead() -> None:
    made = []

    def items() -> Iterator[int]:
        for i in range(20):
            made.append(i)
            yield i

    for i in ahead(items(), 2):
        time.sleep(0.002)
        assert len(made) <= i + 5  # the one in use, two that wait, one in hand, one in the making


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_what_goes_wrong_arrives_after_what_was_made(error: type[BaseException]) -> None:
    def items() -> Iterator[int]:
        yield from range(3)
        raise error("here")

    found = ahead(items())
    assert [next(found) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(error, match="here"):
        next(found)


def test_a_consumer_that_stops_ends_the_thread() -> None:
    ended = threading.Event()

    def items() -> Iterator[int]:
        try:
            yield from count()
        finally:
            ended.set()

    stage = items()
    found = ahead(stage)
    assert [next(found), next(found)] == [0, 1]
    found.close()
    stage.close()
    assert ended.is_set()


def test_a_chain_that_is_not_used_up_ends() -> None:
    inner = ahead(count())
    found = ahead(x + 1 for x in inner)
    assert next(found) == 1
    found.close()
    inner.close()


@pytest.mark.parametrize(("device", "threads", "stage"), [("cpu", 1, iter), ("cpu", 2, ahead), ("cuda", 1, ahead)])
def test_one_thread_of_a_cpu_goes_step_by_step(device: str, threads: int, stage: object) -> None:
    with torch_threads(threads):
        assert in_stages(device) is stage
