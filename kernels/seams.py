"""Chunks that started blind are made to agree: compare at every seam, repair in parallel rounds, certify.

A step of the recursion never drives two states further apart, so a chunk whose warm-up reached its left neighbour's
end state up to a constant is the sequential run plus that constant. Where it did not, the chunk runs again from the
neighbour's present end state until it meets its own earlier states. Device-independent: a backend gives two callables.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

ENOUGH = 1e-6  # total variation accepted at a seam
GAP = 1e-8  # log units of span accepted without asking what lies ahead (total variation <= GAP / 4)


class Verdict(NamedTuple):
    """How two states at a seam compare."""

    agree: bool
    gap: float
    certificate: float


class Settled(NamedTuple):
    rounds: int
    repaired: int
    gap: float
    certificate: float


Seam = tuple[int, int]  # direction of travel (0 forward, 1 backward), and the chunk that starts there


def settle(
    seams: Iterable[Seam],
    compare: Callable[[Seam], Verdict],
    repair: Callable[[list[Seam]], list[tuple[int, set[Seam]]]],
) -> Settled:
    """Repair until every seam agrees; return what it took.

    `repair` runs the chunks behind the seams given, at once, and returns for each how many positions it computed and
    which seams see another state now.
    """
    verdicts: dict[Seam, Verdict] = {}
    pending = list(seams)
    rounds = repaired = 0
    while pending:
        for seam in pending:
            verdicts[seam] = compare(seam)
        failed = [seam for seam in pending if not verdicts[seam].agree]
        if not failed:
            break
        rounds += 1
        touched: set[Seam] = set(failed)
        for positions, seen in repair(failed):
            repaired += positions
            touched |= seen
        pending = sorted(touched & verdicts.keys())
    last = verdicts.values()
    return Settled(
        rounds, repaired, max((v.gap for v in last), default=0.0), max((v.certificate for v in last), default=0.0)
    )
