"""States of many runs: the pool in which kernels move them, and a form of their own for comparing and handing on."""

from math import prod
from typing import NamedTuple

import torch
from torch import Tensor

from .model import Model
from .tiles import DEEP, FLOOR, NEVER, QUAD, TILE, span_of


class Pool(NamedTuple):
    """States by slot, as the kernels move them: rings of sources, their blocks weighed, and rows behind the windows."""

    ring: Tensor  # (n, 16 blocks, C): source q stands at q modulo the rows, without its emissions' sum
    work: Tensor  # (n, 4 blocks, C, 4) 32-bit, relative to the block's top: rows by quads
    top: Tensor  # (n, blocks, C)
    span: Tensor  # (n, blocks, C) int32: first and last source of a block that is not forbidden, see `span_of`
    folded: Tensor  # (n, 2, folds, C): even and odd tiles
    alpha: Tensor  # (n, C)
    entry: Tensor  # (n, C)
    total: Tensor  # (n, C) sum of emissions since the run began
    first: Tensor  # (n, C)
    low: Tensor  # (n, C) int32: sources before it are cut off


class States(NamedTuple):
    """States at boundaries, up to one constant each; scores count all emissions up to the boundary."""

    alpha: Tensor  # (n, C) a segment ends here
    entry: Tensor  # (n, C) a segment may begin here without a predecessor
    open: Tensor  # (n, K + folds, C) open segments by age 1.., behind K_c the folded rows
    first: Tensor  # (n, C) max semiring: a first segment cut by a censored start

    def at(self, index: Tensor | slice | int) -> "States":
        """Return some of the states."""
        return States(*(x[index] for x in self))

    def put(self, index: Tensor, states: "States") -> None:
        """Replace some of the states."""
        for x, y in zip(self, states, strict=True):
            x[index] = y

    def shifted(self, amount: Tensor) -> "States":
        """Return all states with (n,) amounts added to their scores."""
        each = (amount.view(-1, *[1] * (x.ndim - 1)) for x in self)
        return States(*(torch.where(x > FLOOR, x + more, NEVER) for x, more in zip(self, each, strict=True)))


def scores_dtype(model: Model) -> torch.dtype:
    """Return the type of scores."""
    return torch.int64 if model.fixed else torch.float64


def new_pool(model: Model, n: int) -> Pool:
    """Return n states in which nothing is alive."""
    s, device, dtype = model.sizes, model.law.device, scores_dtype(model)
    rows, C = s.blocks * TILE, s.labels
    shapes = (n, rows, C), (n, s.blocks, C), (n, 2, max(1, s.folds), C), (n, C), (n, C), (n, C)
    sizes = [prod(shape) for shape in shapes]
    parts = torch.full((sum(sizes),), NEVER, dtype=dtype, device=device).split(sizes)
    ring, top, folded, alpha, entry, first = (x.view(shape) for x, shape in zip(parts, shapes, strict=True))
    kind, nothing = (torch.int32, DEEP) if model.fixed else (torch.float32, 0)
    return Pool(
        ring,
        torch.full((n, rows // QUAD, C, QUAD), nothing, dtype=kind, device=device),
        top,
        torch.full((n, s.blocks, C), span_of(0, TILE - 1), dtype=torch.int32, device=device),
        folded,
        alpha,
        entry,
        torch.zeros(n, C, dtype=dtype, device=device),
        first,
        torch.full((n, C), -(2**30), dtype=torch.int32, device=device),
    )


def _ages(model: Model) -> tuple[Tensor, Tensor, Tensor]:
    """Return (A, 1) ages, and (A, C) whether they lie in a label's window, or among the rows behind it."""
    s = model.sizes
    age = torch.arange(1, s.longest + s.folds + 1, device=model.law.device)[:, None]
    inside = age <= model.longest
    return age, inside, ~inside & (age <= model.longest + model.period)


def load(model: Model, pool: Pool, states: States) -> None:
    """Put states into a new pool, as runs that begin with boundary 0."""
    s = model.sizes
    pool.entry[:] = states.entry
    if states.open.shape[1] == 0:  # nothing but how segments may start
        return
    pool.alpha[:], pool.first[:] = states.alpha, states.first
    n, rows = len(states.alpha), s.blocks * TILE
    _, inside, _ = _ages(model)
    pool.ring[:, rows - s.longest :] = torch.where(inside, states.open, NEVER)[:, : s.longest].flip(1)
    blocks = pool.ring.view(n, s.blocks, TILE, s.labels)
    pool.top[:] = blocks.amax(2)
    relative = blocks - pool.top[:, :, None]
    work = relative.clamp(min=DEEP) if model.fixed else relative.exp2()
    work = torch.where(pool.top[:, :, None] > FLOOR, work, DEEP if model.fixed else 0)
    pool.work[:] = work.view(n, rows // QUAD, QUAD, s.labels).transpose(2, 3)
    label = torch.arange(s.labels, device=pool.ring.device)
    for i in range(s.folds):
        at = (model.longest + model.period - i - 1).long().clamp(max=states.open.shape[1] - 1)
        pool.folded[:, 0, i] = torch.where(i < model.period, states.open[:, at, label], NEVER)


def unload(model: Model, pool: Pool, q: Tensor, since: Tensor) -> States:
    """Return the states of runs that stand at boundaries `q` (n,) of their own, `since` of their items."""
    s = model.sizes
    rows = s.blocks * TILE
    age, inside, behind = _ages(model)
    at = (q[:, None] - age.T) % rows  # (n, A)
    total = pool.total[:, None]
    source = pool.ring.gather(1, at[..., None].expand(-1, -1, s.labels))  # (n, A, C)
    known = (source > FLOOR) & (q[:, None, None] - age >= pool.low[:, None]) & inside
    if s.folds:
        parity = ((-(-q // TILE)) % 2)[:, None, None]
        row = (model.longest + model.period - age).clamp(0, s.folds - 1)  # (A, C)
        folded = torch.where(parity == 0, pool.folded[:, 0], pool.folded[:, 1])  # (n, folds, C)
        folded = folded.gather(1, row.long()[None].expand(len(q), -1, -1))
        source = torch.where(behind, folded, source)
        known = known | ((source > FLOOR) & behind)
    open_ = torch.where(known, source + total, NEVER)
    first = torch.where(pool.first > FLOOR, pool.first + total[:, 0], NEVER)
    if len(model.enter) > 1:
        first = torch.where(_outlived(model, open_, first, since[:, None]), NEVER, first)
    return States(pool.alpha, pool.entry, open_, first)


def _outlived(model: Model, open_: Tensor, first: Tensor, age: Tensor) -> Tensor:
    """Return (n, C) whether a cut first segment of an age can never again beat what came later (ties go to those).

    Behind the window both offer the same score every period. Forgotten then, it is no difference between states.
    """
    K, p = model.longest.long(), model.period.long()
    label = torch.arange(len(K), device=K.device)
    out = (age >= K) & (first > FLOOR)
    for k in range(1, model.sizes.folds + 1):
        visible = torch.where(p > 0, K - (K - age - k) % p.clamp(min=1), 0)
        best = torch.full_like(first, NEVER)
        for j in range(1, model.sizes.folds + 1):
            row = open_[:, (K + j - 1).clamp(max=open_.shape[1] - 1), label]
            best = torch.where(j <= p, torch.maximum(best, row + model.law[K + j + k, label]), best)
        offer = torch.where(p > 0, first + model.enter[visible, label], NEVER)
        out = out & ((k > p) | (offer <= best))
    return out
