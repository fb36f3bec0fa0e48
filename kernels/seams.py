"""Chunks that started blind are made to agree: compare at every seam, repair in parallel rounds, certify.

A step of the recursion never drives two states further apart, so a chunk whose warm-up reached its left neighbour's
end state up to a constant is the sequential run plus that constant. Where it did not, the chunk runs again from the
neighbour's present end state until it meets its own earlier states. Device-independent: a backend gives two callables.

Models that forget within a few chunks settle in EAGER parallel rounds. Where nothing is forgotten, a chunk behind a
failed one would only be computed in vain: later rounds run neighbours one after the other, which is the
sequential scan.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

ENOUGH = 1e-6  # total variation accepted at a seam
EAGER = 3  # rounds in which all failed chunks run at once; from then on neighbours run one after the other
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


def before(seam: Seam) -> Seam:
    """Return the neighbour whose end is this chunk's start."""
    way, chunk = seam
    return way, chunk + (-1 if way == 0 else 1)


def scans(failed: set[Seam], seams: Iterable[Seam]) -> list[list[Seam]]:
    """Return, for each direction, its seams in the order of travel from the first failed one on."""
    out = []
    for way, step in ((0, 1), (1, -1)):
        ordered = sorted((s for s in seams if s[0] == way), key=lambda s: step * s[1])
        starts = [i for i, seam in enumerate(ordered) if seam in failed]
        if starts:
            out.append(ordered[starts[0] :])
    return out


def settle(
    seams: Iterable[Seam],
    compare: Callable[[list[Seam]], Iterable[Verdict]],
    repair: Callable[[list[list[Seam]], set[Seam]], Iterable[tuple[int, set[Seam]]]],
) -> Settled:
    """Repair until every seam agrees; return what it took.

    `repair` takes lists of seams, and which of them failed. Lists run at once; along a list, a chunk runs again where
    its seam failed or its neighbour's new end is not what it started from. It returns for each list how many positions
    it computed and which seams see another state now.
    """
    verdicts: dict[Seam, Verdict] = {}
    pending = list(seams)
    rounds = repaired = 0
    while pending:
        verdicts.update(zip(pending, compare(pending), strict=True))
        failed = {seam for seam in pending if not verdicts[seam].agree}
        if not failed:
            break
        rounds += 1
        touched: set[Seam] = set(failed)
        lists = [[s] for s in sorted(failed)] if rounds <= EAGER else scans(failed, verdicts)
        for positions, seen in repair(lists, failed):
            repaired += positions
            touched |= seen
        pending = sorted(touched & verdicts.keys())
    last = verdicts.values()
    return Settled(
        rounds, repaired, max((v.gap for v in last), default=0.0), max((v.certificate for v in last), default=0.0)
    )
