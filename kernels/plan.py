"""Sizes in, schedule out: how a sequence is cut in time. Pure, so it is tested without any device."""

from typing import NamedTuple

BUDGET = 1 << 30  # bytes of scores kept between passes before they are computed again instead
SNAPSHOTS = 1 << 28  # bytes of states kept for stopping repairs early
WARM_UP = 4  # times the longest explicit duration
STRETCH = 2048  # positions of a sequence that goes through in one piece, others beside it
CELLS = 1 << 18  # scores of one kind that such sequences have together: more do not get any quicker for it
SMALL = 1 << 17  # pairs of scores that are combined before a second thread has helped
PANEL = 32  # times K: an anchor costs K^2 C, a few per cent of such a panel


class Plan(NamedTuple):
    """A schedule; every plan gives the same answer."""

    chunks: int  # parts that run at once
    warm_up: int  # positions each part runs ahead of itself
    panel: int  # positions between anchors, and between states kept for recomputation
    mark: int  # positions between the states at which a repair may stop
    keep: bool  # scores of every position stay in memory between passes
    bytes: int  # what the passes hold at most, without inputs and outputs


def plan(
    T: int, C: int, K: int, threads: int, chunks: int | None = None, warm_up: int | None = None, values: int = 4
) -> Plan:
    """Return the schedule for one sequence; `values` float64 a position and label are kept where they fit."""
    warm_up = max(256, WARM_UP * K) if warm_up is None else warm_up
    if chunks is None:  # a part must be worth its warm-up
        chunks = max(1, min(threads, T // (8 * (warm_up + 1))))
    chunks = max(1, min(chunks, T))
    part = -(-T // chunks)
    state = 8 * C * (K + 64)
    stored = 8 * values * T * C
    keep = 0 < stored <= BUDGET
    # states of all panels grow with T, scores of one panel with its length: equal at the square root
    panel = max(PANEL * K, 16384, int((T * state / (8 * max(values, 1) * C)) ** 0.5))
    mark = max(2 * K, 2048)
    while T // mark * state > SNAPSHOTS and mark < panel:
        mark *= 2
    panel = min(part, panel // mark * mark if panel > mark else mark)
    held = stored if keep else 8 * values * panel * C * threads
    return Plan(chunks, warm_up, panel, min(mark, panel), keep, held + (T // panel + 1) * 2 * state)


def groups(lengths: list[int], C: int, K: int, threads: int) -> list[range]:
    """Return the items of a batch in order, neighbours that go through together as one; longer ones are alone."""
    fair = len(lengths) if sum(lengths) * C * (C + K) < SMALL else -(-len(lengths) // threads)
    out: list[range] = []
    widest = 0
    for i, T in enumerate(lengths):
        joined = len(out[-1]) + 1 if out else 0
        widest = max(widest, T)
        if 0 < joined <= fair and widest <= STRETCH and joined * C * (widest + K) <= CELLS:
            out[-1] = range(out[-1].start, i + 1)
        else:
            out.append(range(i, i + 1))
            widest = T
    return out


def boundaries(T: int, parts: int) -> list[int]:
    """Return parts + 1 boundaries that cut [0, T) evenly."""
    return [T * i // parts for i in range(parts + 1)]
