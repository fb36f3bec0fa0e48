"""Posteriors of a stream, view by view: what the two passes say inside a stretch, once its right end is certified.

The forward state is handed on from view to view. The backward pass of a view begins a little to its right, in a state
that knows nothing; what it had become at the view's end is compared with what the next view makes of it, in the unit
that matters (total variation of the segments over the seam, at most 1e-6). Where they differ, the view is worked out
again from what its neighbour knows, and so on to the left. A view is given out when its own seam and its neighbour's
hold with all that is known by then: what the newest view says has been forgotten before it gets there.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from . import fixed
from .cpu.directions import Direction, State
from .cpu.marginals import Smoother
from .cpu.meeting import ahead, same_up_to_constant, span, total_variation
from .cpu.stream import ViterbiStream
from .cpu.threads import pool
from .plan import plan
from .potentials import Potentials
from .resolve import Sequence, resolve, sequence
from .seams import ENOUGH, GAP

PARTS = 2  # a view is cut into, however many threads there are: the same bits on every machine


class View(NamedTuple):
    """One stretch as it has been worked out."""

    x: Sequence
    note: Any
    left: State | None  # None: the stream begins here
    right: State | None  # that the backward pass came from; None: the stream ends here
    near: State  # backward, at the view's left end
    end: State  # forward, at its right end
    result: Any


class Views:
    """Hands every view's settled passes to `work`, and returns its results in order once they are certain."""

    def __init__(self, work: Callable[[Smoother, Any], Any], threads: int | None = None):
        self.work, self.pool = work, pool(threads)
        self.views: list[View] = []
        self.like: tuple[Direction, Direction] | tuple[None, None] = None, None  # whose models serve all views
        self.certificate = 0.0  # the largest total variation accepted at a seam
        self.repaired = 0  # views worked out again

    def add(self, block: Potentials, beyond: Potentials | None, note: Any = None) -> list[Any]:
        """Take the next view and what lies right of it (None: nothing); return results that are certain by now.

        `work` gets the note with the view, each time that it is worked out. Both stretches have one row of boundary
        scores more than emissions, and share the row between them.
        """
        right = None if beyond is None else _bare(_backward(beyond, self.like[1])[1])
        left = self.views[-1].end if self.views else None
        self.views.append(self._view(_read(block), note, left, right))
        at = len(self.views) - 2
        while at >= 0 and not self._agree(at):
            old, near = self.views[at], self.views[at + 1].near
            self.views[at] = self._view(old.x, old.note, old.left, near)
            self.repaired += 1
            at -= 1
        return self._out(at)  # the seam right of `at` holds, and may move yet; those further left do not feel it

    def close(self) -> list[Any]:
        """Return the rest; the last view added was the stream's last."""
        return self._out(len(self.views))

    def _out(self, count: int) -> list[Any]:
        done = max(0, count)
        out, self.views = [view.result for view in self.views[:done]], self.views[done:]
        return out

    def _view(self, x: Sequence, note: Any, left: State | None, right: State | None) -> View:
        T, C = x.emissions.shape
        how = plan(T, C, int(x.longest.max()), PARTS)
        smoother = Smoother(x, how, self.pool, left, right, like=self.like)
        self.like = smoother.forward, smoother.backward
        chunks = smoother.chunks
        near, end = _bare(chunks.state(1, 0, 0)), _bare(chunks.last())
        return View(x, note, left, right, near, end, self.work(smoother, note))

    def _agree(self, at: int) -> bool:
        """Return whether a view came from what its neighbour makes of the boundary between them."""
        view, after = self.views[at], self.views[at + 1]
        assert view.right is not None
        gap, _ = span(after.near, view.right)
        if gap <= GAP:
            return True
        here = ahead(Direction(after.x, like=self.like[0]), view.end)
        distance, _ = total_variation(after.near, view.right, here)
        if distance <= ENOUGH:
            self.certificate = max(self.certificate, distance)
        return distance <= ENOUGH


def forgets(far: Potentials, near: Potentials, beyond: Potentials) -> bool:
    """Return whether the right end of `near` is the same with `far` left of it and without, given what lies beyond.

    For the best path that is to the last bit (and to a constant), for posteriors by the certificate of seams.
    """
    here, there = (_forward(parts) for parts in ([near], [far, near]))
    gap, _ = span(there, here)
    if gap > GAP and total_variation(there, here, ahead(*_backward(beyond)))[0] > ENOUGH:
        return False
    best = [_best(parts) for parts in ([near], [far, near])]
    return same_up_to_constant(best[0], best[1], fixed.NEVER)[0]


def _read(part: Potentials) -> Sequence:
    return sequence(*resolve(part), 0)


def _forward(parts: list[Potentials]) -> State:
    """Return the forward state behind neighbouring parts; the first one begins the stream."""
    state: State | None = None
    for part in parts:
        direction = Direction(_read(part))
        state = direction.travel(direction.start() if state is None else _bare(state))
    assert state is not None
    return state


def _best(parts: list[Potentials]) -> State:
    """Return the state of the best paths behind neighbouring parts."""
    stream = ViterbiStream(parts[0])
    for part in parts:
        n = len(part.emissions)
        stream.push(part.emissions, [b.scores[:n] for b in part.boundaries])
    return stream.state


def _backward(beyond: Potentials, like: Direction | None = None) -> tuple[Direction, State]:
    """Return the backward state at the left end of a stretch, if nothing is known about what lies right of it."""
    direction = Direction(_read(beyond), reverse=True, like=like)
    return direction, direction.travel(direction.blank(0))


def _bare(state: State) -> State:
    """Return a state as one to start from: only differences of its scores matter."""
    return state._replace(position=0, offset=0)
