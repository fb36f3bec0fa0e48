"""Maximum expected accuracy: the segmentation that is expected to have the most positions right.

It may say what the grammar may say, and no more: labels that cannot stand somewhere and boundaries that are impossible
stay so. Every other position scores the posterior of its label, whatever its segment's length.
"""

from collections import deque
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from .kernels import Potentials, Views, ViterbiStream
from .kernels.cpu.marginals import Smoother
from .kernels.cpu.posteriors import Wanted
from .segment_stream import Ready, rows_of


def most_accurate(
    ready: Iterator[Ready], model: Potentials, asked: NDArray, shortest: NDArray, threads: int | None = None
) -> Iterator[Ready]:
    """Yield the views of a stream with the segments of greatest expected accuracy in place of the best path's.

    `model` is the stream's, `shortest` (C,) the least length of a segment. A segment that lies over the end of a view,
    which was cut where the best path has nothing to ask about, is not told about.
    """

    def posterior(smoother: Smoother, note: Ready) -> tuple[Ready, NDArray]:
        return note, np.concatenate([part.position for part in smoother.parts(Wanted())])

    stream = ViterbiStream(free(model, shortest))
    waiting: deque[Ready] = deque()
    path = np.zeros((0, 3), np.int64)

    def done(known: int) -> Iterator[Ready]:  # as far as it is decided, or lies in one segment
        nonlocal path
        while waiting and waiting[0].first + len(waiting[0].block.emissions) <= known:
            view = waiting.popleft()
            last = view.first + len(view.block.emissions)
            ended = path[:, 1] <= last
            rows, path = path[ended], path[~ended]
            yield view._replace(segments=rows, asked=asked[rows[:, 2]] & (rows[:, 0] >= view.first))

    views = Views(posterior, threads)

    def take(results: list[tuple[Ready, NDArray]]) -> Iterator[Ready]:
        nonlocal path
        for view, position in results:
            waiting.append(view)
            n = len(position)
            scores = torch.from_numpy(position).masked_fill(torch.isinf(view.block.emissions), -torch.inf)
            allowed = [b.scores[:n].masked_fill(torch.isfinite(b.scores[:n]), 0.0) for b in view.block.boundaries]
            path = np.concatenate([path, rows_of(stream.push(scores, allowed))])
            yield from done(stream.base)

    view: Ready | None = None
    for view in ready:
        yield from take(views.add(view.block, view.beyond, view))
    yield from take(views.close())
    assert view is not None
    ends = [b.scores[-1].masked_fill(torch.isfinite(b.scores[-1]), 0.0) for b in view.block.boundaries]
    path = np.concatenate([path, rows_of(stream.finish(ends))])
    yield from done(int(path[-1, 1]))


def free(model: Potentials, shortest: NDArray) -> Potentials:
    """Return a grammar without any preference: changes that are possible, and segments of at least some length."""
    C, K = len(shortest), int(shortest.max())
    durations = torch.full((K + 1, C), -torch.inf, dtype=torch.float64)
    durations[torch.from_numpy(shortest), torch.arange(C)] = 0.0
    transitions = torch.where(torch.isfinite(model.transitions), 0.0, -torch.inf).double()
    return model._replace(
        durations=durations, longest=torch.from_numpy(shortest), tail=torch.zeros(C, dtype=torch.float64), period=None,
        transitions=transitions, left="exact", right="exact", first=None, last=None,
    )  # fmt: skip
