"""Inference over what does not fit in memory: a sequence that is read piece by piece, or block by block.

`Stream` reads a sequence it can read again: every operation holds the states at panel boundaries and a few panels of
scores, nothing that grows with the sequence but the states. `forward`, `backward` and `posteriors` carry explicit
states from block to block, for those who schedule blocks themselves. `ViterbiStream` (in `cpu.stream`) needs one
pass and no second look. All give the same answers as the whole in one go.
"""

from collections.abc import Callable, Iterator
from collections.abc import Sequence as Listed
from typing import NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .checks import check_types
from .cpu import batch
from .cpu.calls import Request, describe
from .cpu.chunks import Chunks
from .cpu.directions import Direction, State
from .cpu.gradients import combine
from .cpu.marginals import Part, Smoother, final_partition
from .cpu.posteriors import Wanted
from .cpu.sample import sample_item
from .cpu.stream import ViterbiStream
from .cpu.threads import pool
from .errors import PotentialsError
from .expansion import uncensor
from .plan import plan
from .potentials import Boundary, Potentials
from .resolve import Sequence, resolve, sequence
from .results import Calls, Segments

Read = Callable[[int, int], Tensor]  # (first, last) -> rows first..last-1
PIECE = 1 << 16  # positions read at a time where only one pass is made


class Rows:
    """Rows that are read when they are sliced; stands where an array would."""

    def __init__(self, name: str, read: Read, rows: int, columns: int, repeat: int = 1, silent_ends: bool = False):
        self.name, self.read, self.repeat, self.silent_ends = name, read, repeat, silent_ends
        self.shape = (rows, columns * repeat)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, where: slice) -> NDArray:
        a, b, _ = where.indices(len(self))
        n, width = max(b - a, 0), self.shape[1] // self.repeat
        if n == 0:
            return np.zeros((0, self.shape[1]))
        values = self.read(a, b)
        if not isinstance(values, Tensor):
            raise PotentialsError(f"{self.name}: expected a torch tensor of rows, got {type(values).__name__}")
        if tuple(values.shape) != (n, width):
            got = tuple(values.shape)
            raise PotentialsError(f"{self.name}: expected rows {a}..{b} of shape {(n, width)}, got {got}")
        out = values.detach().cpu().to(torch.float64 if values.dtype == torch.float64 else torch.float32).numpy()
        bad = ~(out < np.inf)
        if bad.any():
            t, c = np.argwhere(bad)[0]
            raise PotentialsError(
                f"{self.name}: expected finite values or -inf, got {out[t, c]} at item 0, position {a + t}, column {c}"
            )
        out = np.tile(out, (1, self.repeat))
        if self.silent_ends:
            out[: int(a == 0)] = 0
            out[len(out) - int(b == len(self)) :] = 0
        return out


class Stream:
    """One long sequence, read again by every operation; answers are numbers and numpy arrays, without gradients.

    `model` is everything but emissions and boundary scores, whose first column axis alone counts there. `emissions(a,
    b)` returns rows a..b-1 of T, each of `scores` the rows a..b-1 of T + 1 boundaries for one boundary map.
    """

    def __init__(
        self,
        model: Potentials,
        length: int,
        emissions: Read,
        scores: Listed[Read] = (),
        *,
        threads: int | None = None,
        chunks: int | None = None,
    ):
        if not isinstance(model, Potentials) or model.transitions_by_duration or model.emissions.ndim != 2:
            raise PotentialsError("stream: expected Potentials with emissions (., C) and transitions not by duration")
        for read in (emissions, *scores):
            if not callable(read):
                raise PotentialsError(f"stream: expected a function (first, last) -> rows, got {type(read).__name__}")
        if length < 1 or len(scores) != len(model.boundaries):
            wanted = len(model.boundaries)
            raise PotentialsError(
                f"stream: expected a length >= 1 and {wanted} boundary readers, got {length} and {len(scores)}"
            )
        self.model, self.length, self.read, self.read_scores = model, length, emissions, tuple(scores)
        C = model.emissions.shape[-1]
        # the ends' own boundary scores go into what begins and finishes, so a sequence of one position has both
        self.ends = model._replace(
            emissions=torch.zeros(1, C, dtype=model.emissions.dtype),
            boundaries=tuple(
                Boundary(torch.cat([read(0, 1), read(length, length + 1)]), b.types)
                for read, b in zip(self.read_scores, model.boundaries, strict=True)
            ),
            lengths=None,
        )
        self.x = self._lazy(self.ends)
        self.pool = pool(threads)
        self.plan = plan(length, C, int(self.x.longest.max()), self.pool._max_workers, chunks, values=0)

    def _lazy(self, ends: Potentials, repeat: int = 1) -> Sequence:
        """Return a sequence whose rows are read on demand; `ends` is the model over its two end boundaries."""
        x = sequence(*resolve(ends), 0)
        C, widths = self.model.emissions.shape[-1], [b.scores.shape[-1] for b in ends.boundaries]

        def every_map(a: int, b: int) -> Tensor:
            return torch.cat([read(a, b) for read in self.read_scores], 1) if widths else torch.zeros(b - a, 0)

        scores = Rows("boundary scores", every_map, self.length + 1, sum(widths), silent_ends=repeat > 1)
        emissions = Rows("emissions", self.read, self.length, C, repeat)
        # sliced and measured like the arrays they stand for
        return x._replace(emissions=cast(NDArray, emissions), scores=cast(NDArray, scores))

    def log_partition(self) -> float:
        """Return log Z."""
        chunks = Chunks([Direction(self.x)], self.plan, self.pool)
        chunks.settle()
        return float(final_partition(chunks, Direction(self.x, reverse=True)))

    def viterbi(self) -> Iterator[Segments]:
        """Yield the best segmentation, left to right, as it becomes final."""
        decoder = ViterbiStream(self.ends)
        for a in range(0, self.length, PIECE):
            b = min(self.length, a + PIECE)
            yield decoder.push(self.read(a, b), [read(a, b) for read in self.read_scores])
        yield decoder.finish([read(self.length, self.length + 1)[0] for read in self.read_scores])

    def marginals(self, changes: bool = False, durations: bool = False) -> Iterator[Part]:
        """Yield the posteriors of one stretch [u, v) after the other, left to right.

        Each has numpy arrays `start` (at boundaries u..v-1), `end` (at u+1..v) and `position`, and on request `kinds`
        (boundary types at u..v-1) and `counts`, whose sums over all stretches are the expected transitions and
        durations (but for what a censored edge hides).
        """
        yield from self._smoother().parts(Wanted(changes, durations))

    def calls(self, segments: Segments, concepts: Tensor | None = None, level: float = 0.95) -> Calls:
        """Return what is known about given segments."""
        concept = np.arange(len(self.x.longest)) if concepts is None else concepts.numpy()
        request = Request(segments.start.numpy(), segments.end.numpy(), segments.label.numpy(), concept, level)
        return Calls(*(torch.from_numpy(a) for a in describe(self._smoother(), request)))

    def sample(self, n: int, seed: int = 0) -> list[Segments]:
        """Return n exact posterior samples."""
        return [batch.table([(0, *draw)]) for draw in sample_item(self.x, n, seed, self.plan, self.pool)]

    def entropy(self) -> float:
        """Return the entropy over whole segmentations, in nats."""
        return self.cross_entropy(self)

    def cross_entropy(self, other: "Stream") -> float:
        """Return `-E_p log q` in nats, p this stream and q the other: the same labels, lengths and boundary maps."""
        if self.length != other.length:
            raise PotentialsError(f"stream: expected {self.length} positions as in p, got {other.length} in q")
        p, q = self._uncensored(), other._uncensored()
        for name in ("longest", "period", "types"):
            if not np.array_equal(getattr(p, name), getattr(q, name)):
                raise PotentialsError(f"{name}: expected the same in both streams")
        smoother = Smoother(p, self.plan, self.pool)
        total = 0.0

        def add(part: Part) -> None:
            nonlocal total
            total += product(part.position, q.emissions[part.u : part.v])
            if part.kinds is not None:
                total += product(part.kinds, q.scores[part.u : part.v])

        counts, _ = combine(smoother, Wanted(True, True), add)
        for expected, score in (
            (counts.transitions, q.transitions),
            (counts.durations, q.durations),
            (counts.tail_steps, q.tail),
            (smoother.edge_rows(0)[0], q.begin),
            (smoother.edge_rows(1)[0], q.finish),
        ):
            total += product(expected, score)
        chunks = smoother.chunks if q is p else Chunks([Direction(q)], other.plan, other.pool)
        if q is not p:
            chunks.settle()
        return float(final_partition(chunks, Direction(q, reverse=True))) - total

    def kl(self, other: "Stream") -> float:
        """Return `E_p (log p - log q)` in nats."""
        return self.cross_entropy(other) - self.entropy()

    def _uncensored(self) -> Sequence:
        if self.model.left == self.model.right == "exact":
            return self.x
        return self._lazy(uncensor(self.ends, 0, self.length), repeat=4)

    def _smoother(self) -> Smoother:
        return Smoother(self.x, self.plan, self.pool)


def product(expected: NDArray, scores: NDArray) -> float:
    """Return the sum of expected features times scores, where never times forbidden is nothing."""
    nothing = (expected == 0) & np.isneginf(scores)
    return float((expected * np.where(nothing, 0.0, scores)).sum())


class Posteriors(NamedTuple):
    """Posteriors of one block of n positions between two states."""

    start: Tensor  # (n, C) at the boundaries before each position
    end: Tensor  # (n, C) at the boundaries behind each position
    position: Tensor  # (n, C)
    log_partition: float  # of the whole stream


def forward(block: Potentials, left: State | None = None) -> State:
    """Return the state at a block's right boundary from the one at its left (None: the stream begins here).

    Boundary scores have one row more than emissions; neighbouring blocks share the row between them. `origin` is the
    absolute position of the block's first emission.
    """
    return _travel(Direction(_block(block)), left)


def backward(block: Potentials, right: State | None = None) -> State:
    """Return the state at a block's left boundary from the one at its right (None: the stream ends here)."""
    return _travel(Direction(_block(block), reverse=True), right)


def posteriors(block: Potentials, left: State | None, right: State | None) -> Posteriors:
    """Return the posteriors inside a block between the states of what lies left and right of it."""
    x = _block(block)
    T, C = x.emissions.shape
    threads = pool()
    ends = [None if s is None else s._replace(position=0) for s in (left, right)]
    smoother = Smoother(x, plan(T, C, int(x.longest.max()), threads._max_workers), threads, *ends)
    parts = list(smoother.parts(Wanted()))
    start, end, position = (
        torch.from_numpy(np.concatenate([getattr(p, f) for p in parts])) for f in ("start", "end", "position")
    )
    if left is None and x.left == "censored":
        start[0] = 0
    if right is None and x.right == "censored":
        end[-1] = 0
    return Posteriors(start, end, position, float(smoother.log_partition()))


def _block(block: Potentials) -> Sequence:
    """Return a block as a sequence; its edges are not looked at where a state is given."""
    check_types(block)
    if block.emissions.ndim != 2 or block.transitions_by_duration:
        raise PotentialsError(f"emissions: expected a block of shape (n, C), got {tuple(block.emissions.shape)}")
    return sequence(*resolve(block), 0)


def _travel(direction: Direction, state: State | None) -> State:
    return direction.travel(direction.start() if state is None else state._replace(position=0))
