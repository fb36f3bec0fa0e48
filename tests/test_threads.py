"""Works that threads share out."""

import threading

import pytest

from semiseg.kernels.cpu import threads
from semiseg.kernels.cpu.threads import pool, side_by_side, spread


@pytest.fixture(autouse=True)
def several(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have four threads, on machines of fewer cores too."""
    monkeypatch.setattr(threads.torch, "get_num_threads", lambda: 4)
    monkeypatch.setattr(threads, "_pool", threads._pool.__wrapped__)


def workers(_: int) -> set[str]:
    """Return the threads that a work within a work is done by."""
    inner = pool(role="inner")
    return set(spread(inner, lambda _: threading.current_thread().name, range(8)))


@pytest.mark.parametrize(("items", "alone"), [(0, True), (1, False), (2, True), (9, True)])
def test_works_side_by_side_ask_no_others(items: int, alone: bool) -> None:
    for names in side_by_side(workers, range(items)):
        assert all("inner" not in name for name in names) == alone
    assert any("inner" in name for name in workers(0))  # and nothing is left of it


def test_works_within_works_are_side_by_side_too() -> None:
    def outer(_: int) -> list[set[str]]:
        inner = side_by_side(lambda _: {threading.current_thread().name} | workers(0), range(8), "within")
        assert not any("inner" in name for name in workers(0))  # as before
        return inner

    names = set().union(*(found for each in side_by_side(outer, range(6)) for found in each))
    assert len(names) > 1
    assert all("within" in name for name in names)


def test_what_a_work_raises_comes_out() -> None:
    def work(i: int) -> int:
        if i == 2:
            raise KeyError(i)
        return i

    with pytest.raises(KeyError):
        side_by_side(work, range(4))
    assert side_by_side(work, range(2)) == [0, 1]
