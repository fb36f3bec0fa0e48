"""States of many runs: the pool in which kernels move them, and a form of their own for comparing and handing on."""

from typing import NamedTuple

import torch
from torch import Tensor

from .model import Model
from .tiles import DEEP, FLOOR, NEVER, TILE


class Pool(NamedTuple):
    """States by slot, as the kernels move them: rings of sources, their blocks weighed, and rows behind the windows."""

    ring: Tensor  # (n, 16 blocks, C): source q stands at q modulo the rows, without its emissions' sum
    work: Tensor  # (n, 16 blocks, C) 32-bit, relative to the block's top
    top: Tensor  # (n, blocks, C)
    folded: Tensor  # (n, 2, folds, C): even and odd tiles
    alpha: Tensor  # (n, C)
    entry: Tensor  # (n, C)
    total: Tensor  # (n, C) sum of emissions since the run began
    first: Tensor  # (n, C)
    low: Tensor  # (n, C) int32: sources before it are cut off
    redone: Tensor  # (1,) int32: outputs taken again in 64 bits


class States(NamedTuple):
    """States at boundaries, up to one constant each; scores count all emissions up to the boundary."""

    alpha: Tensor  # (n, C) a segment ends here
    entry: Tensor  # (n, C) a segment may begin here without a predecessor
    open: Tensor  # (n, K + folds, C) open segments by age 1.., behind K_c the folded rows
    first: Tensor  # (n, C) max semiring: a first segment cut by a censored start

    def at(self, index: Tensor) -> "States":
        """Return some of the states."""
        return States(*(x[index] for x in self))


def scores_dtype(model: Model) -> torch.dtype:
    """Return the type of scores."""
    return torch.int64 if model.fixed else torch.float64


def new_pool(model: Model, n: int) -> Pool:
    """Return n states in which nothing is alive."""
    s, device, dtype = model.sizes, model.law.device, scores_dtype(model)
    never = lambda *shape: torch.full(shape, NEVER, dtype=dtype, device=device)  # noqa: E731
    rows = s.blocks * TILE
    work = torch.full((n, rows, s.labels), DEEP, dtype=torch.int32, device=device) if model.fixed else None
    return Pool(
        never(n, rows, s.labels),
        torch.zeros(n, rows, s.labels, device=device) if work is None else work,
        never(n, s.blocks, s.labels),
        never(n, 2, max(1, s.folds), s.labels),
        never(n, s.labels),
        never(n, s.labels),
        torch.zeros(n, s.labels, dtype=dtype, device=device),
        never(n, s.labels),
        torch.full((n, s.labels), -(2**30), dtype=torch.int32, device=device),
        torch.zeros(1, dtype=torch.int32, device=device),
    )


def _ages(model: Model) -> tuple[Tensor, Tensor, Tensor]:
    """Return (A, 1) ages, and (A, C) whether they lie in a label's window, or among the rows behind it."""
    s = model.sizes
    age = torch.arange(1, s.longest + s.folds + 1, device=model.law.device)[:, None]
    inside = age <= model.longest
    return age, inside, ~inside & (age <= model.longest + model.period)


def load(model: Model, pool: Pool, slots: Tensor, states: States) -> None:
    """Put states into slots of the pool, as runs that begin with boundary 0."""
    s = model.sizes
    n, rows = len(slots), s.blocks * TILE
    age, inside, _ = _ages(model)
    ring = pool.ring.new_full((n, rows, s.labels), NEVER)
    ring[:, rows - s.longest :] = torch.where(inside, states.open, NEVER)[:, : s.longest].flip(1)
    blocks = ring.view(n, s.blocks, TILE, s.labels)
    top = blocks.amax(2)
    relative = blocks - top[:, :, None]
    work = relative.clamp(min=DEEP).int() if model.fixed else relative.exp2().float()
    work = torch.where(top[:, :, None] > FLOOR, work, DEEP if model.fixed else 0).to(pool.work.dtype)
    pool.ring[slots], pool.top[slots], pool.work[slots] = ring, top, work.view(n, rows, s.labels)
    pool.folded[slots] = NEVER
    for i in range(s.folds):
        at = (model.longest + model.period - i - 1).long()
        row = states.open[:, at.clamp(max=states.open.shape[1] - 1), torch.arange(s.labels, device=at.device)]
        pool.folded[slots, 0, i] = torch.where(i < model.period, row, NEVER)
    pool.alpha[slots], pool.entry[slots], pool.first[slots] = states.alpha, states.entry, states.first
    pool.total[slots] = 0
    pool.low[slots] = -(2**30)


def unload(model: Model, pool: Pool, slots: Tensor, q: Tensor, since: Tensor) -> States:
    """Return the states of slots whose runs stand at boundaries `q` (n,) of their own, `since` of their items."""
    s = model.sizes
    rows = s.blocks * TILE
    age, inside, behind = _ages(model)
    at = (q[:, None] - age.T) % rows  # (n, A)
    total = pool.total[slots][:, None]
    source = pool.ring[slots[:, None], at]  # (n, A, C)
    known = (source > FLOOR) & (q[:, None, None] - age >= pool.low[slots][:, None]) & inside
    if s.folds:
        parity = (-(-q // TILE)) % 2
        row = (model.longest + model.period - age).clamp(0, s.folds - 1)  # (A, C)
        folded = pool.folded[slots, parity]  # (n, folds, C)
        folded = folded[:, row.long(), torch.arange(s.labels, device=q.device)]
        source = torch.where(behind, folded, source)
        known = known | ((source > FLOOR) & behind)
    open_ = torch.where(known, source + total, NEVER)
    first = torch.where(pool.first[slots] > FLOOR, pool.first[slots] + total[:, 0], NEVER)
    if len(model.enter) > 1:
        first = torch.where(_outlived(model, open_, first, since[:, None]), NEVER, first)
    return States(pool.alpha[slots], pool.entry[slots], open_, first)


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
