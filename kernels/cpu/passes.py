"""Both ways through one sequence, settled and cut into panels: what calls are described from."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from numpy.typing import NDArray

from ..resolve import Sequence
from .directions import Direction, State
from .meeting import across
from .posteriors import Panel


class Parts(Protocol):
    """Chunks that were settled, wherever their scores are."""

    @property
    def directions(self) -> Any: ...  # forward, backward
    @property
    def starts(self) -> Any: ...  # states that the two begin in; None: the sequence's own ends
    def panels(self) -> Iterator[tuple[int, int, int]]: ...
    def state(self, way: int, chunk: int, t: int) -> State: ...
    def constants(self, way: int) -> list[Any]: ...


class Passes:
    """Panels of one sequence and what is known where they meet, from its chunks."""

    x: Sequence
    forward: Direction
    length: int
    pool: ThreadPoolExecutor
    chunks: Parts

    def panels(self) -> list[tuple[int, int, int]]:
        """Return the chunk and the boundaries of every panel, in order."""
        return list(self.chunks.panels())

    def panel(self, chunk: int, u: int, v: int) -> Panel:
        """Return everything known between the boundaries of a panel."""
        raise NotImplementedError

    def crossing(self, way: int, chunk: int, panel: Panel) -> NDArray:
        """Return (C, R) upper bounds of the log posterior of what is open where a panel begins in one direction."""
        here, other = (panel.before, panel.behind)[way], self.chunks.directions[1 - way]
        there = self.chunks.state(1 - way, chunk, (panel.u, panel.v)[way])
        beyond, _ = across(other, there)
        return here.ring + beyond + (here.offset + there.offset - panel.partition)

    def closed(self, way: int) -> bool:
        """Return whether what lies beyond an end is summed up there: not where a stream goes on."""
        edge, starts = (self.x.left, self.x.right)[way], self.chunks.starts
        return edge == "censored" and (len(starts) < 2 or starts[way] is None)

    def constants(self) -> list[Any]:
        """Return what puts the backward scores of all chunks on one scale."""
        return self.chunks.constants(1)
