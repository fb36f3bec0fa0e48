"""Scores of segments that a censored edge cuts: sums over the hidden part of their durations, in closed form.

A source at `s <= 0` left of the input is virtual. `enter[k]` sums them for a first segment that ends at `k`,
`leave[k]` sums the hidden ends of a last segment that shows `k` positions, `both` does both at once for a single
segment. In the log semiring virtual sources simply fill the ring (`virtual_rows`), and these sums come out by
themselves; the max semiring needs the tables, since a cut segment scores a log *sum* there too.
"""

from collections.abc import Iterator
from functools import lru_cache
from math import lcm
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from .resolve import Sequence


def continued(durations: NDArray, longest: NDArray, tail: NDArray, period: NDArray, last: int) -> NDArray:
    """Return durations for lengths 0..last: -inf at 0, the explicit ones, then what the tail gives."""
    K = min(durations.shape[0] - 1, last)
    out = np.full((last + 1, durations.shape[1]), -np.inf, durations.dtype)
    out[1 : K + 1] = durations[1 : K + 1]
    alive = tail.real > -np.inf
    if alive.any() and last > longest[alive].min():
        k = np.arange(last + 1)[:, None]
        steps = np.where(alive & (k > longest), -(-(k - longest) // period), 0)
        row = k - steps * period
        beyond = out[np.maximum(row, 0), np.arange(len(longest))] + steps * np.where(alive, tail, 0)
        out = np.where(steps > 0, np.where(row >= 1, beyond, -np.inf), out)
    return out


class Tables(NamedTuple):
    """Scores of cut segments by visible length, for lengths up to K (None at an exact edge)."""

    enter: NDArray | None  # (K + 1, C)
    leave: NDArray | None  # (K + 1, C)
    both: NDArray  # (C,) one segment cut at both ends; -inf unless both edges are censored


def edge_tables(x: "Sequence") -> Tables:
    """Return the edge tables of one sequence."""
    given = [np.ascontiguousarray(a) for a in (x.first, x.durations, x.tail, x.longest, x.period)]
    P = len(x.first)
    law = tuple((a.tobytes(), a.dtype.str, a.shape) for a in given)
    enter, leave = _of_law(x.left, x.right, x.origin % P, *law)
    both = np.full(x.durations.shape[1], -np.inf, x.durations.dtype)
    if enter is not None and leave is not None:
        both = _of_length(x.emissions.shape[0], x.left, x.right, x.origin % P, *law)
    return Tables(None if enter is None else enter.copy(), None if leave is None else leave.copy(), both.copy())


# Many short sequences have the same law, and its tables take longer than a short sequence.


def _arrays(given: tuple) -> Iterator[NDArray]:
    """Yield arrays of what they were kept as."""
    return (np.frombuffer(b, t).reshape(n).copy() for b, t, n in given)


@lru_cache(8)
def _of_law(left: str, right: str, origin: int, *given: tuple) -> tuple[NDArray | None, NDArray | None]:
    """Return the tables of a law."""
    first, durations, tail, longest, period = _arrays(given)
    law = torch.from_numpy(first), torch.from_numpy(durations), torch.from_numpy(tail)
    enter, leave, _ = tables(*law, longest, period, left, right, origin, 1)
    return None if enter is None else enter.numpy(), None if leave is None else leave.numpy()


@lru_cache(8)
def _of_length(T: int, *law: Any) -> NDArray:
    """Return what a law, censored at both ends, says of one segment over T positions and more."""
    enter, _ = _of_law(*law)
    assert enter is not None
    tail, longest, period = _arrays(law[-3:])
    return both_score(torch.from_numpy(enter), torch.from_numpy(tail), longest, period, T).numpy()


def tables(
    first: Tensor,
    durations: Tensor,
    tail: Tensor,
    longest: NDArray,
    period: NDArray,
    left: str,
    right: str,
    origin: int,
    T: int,
) -> tuple[Tensor | None, Tensor | None, Tensor]:
    """Return (enter, leave, both) as tensors, differentiable in `first`, `durations` and `tail`."""
    C = durations.shape[1]
    enter, leave = None, None
    both = durations.new_full((C,), -torch.inf)
    if left == "censored":
        enter = enter_table(first, durations, tail, longest, period, origin)
    if right == "censored":
        leave = enter_table(first.new_zeros(1, C), durations, tail, longest, period, 0)
    if enter is not None and leave is not None:
        both = both_score(enter, tail, longest, period, T)
    return enter, leave, both


def enter_table(
    first: Tensor, durations: Tensor, tail: Tensor, longest: NDArray, period: NDArray, origin: int
) -> Tensor:
    """Return `enter[k, c] = log sum_{s <= 0} exp(first[(origin + s) mod P, c] + D[k - s, c])` for 0 < k <= K.

    With `first = 0` this is the log survival `log sum_{d >= k} exp D[d, c]`: the `leave` table.
    """
    P, C = first.shape
    columns = []
    for c in range(C):
        K = int(longest[c])
        law, lengths = durations[1 : K + 1, c], torch.arange(1, K + 1)
        if tail[c] > -torch.inf:  # one cycle of the tail stands for all later ones
            cycle = lcm(int(period[c]), P)
            for k in range(K + 1, K + cycle + 1):
                law = torch.cat([law, law[k - 1 - int(period[c])][None] + tail[c]])
            beyond = -torch.log1p(-torch.exp(tail[c] * (cycle / int(period[c]))))
            law = torch.cat([law[:K], law[K:] + beyond])
            lengths = torch.arange(1, K + cycle + 1)
        top = law.detach().max()
        mass = torch.exp(law - top)
        # by residue of the duration mod P, since the virtual start's phase depends on it
        terms = torch.zeros_like(mass[:K])
        for r in range(P):
            later = torch.where(lengths % P == r, mass, 0.0).flip(0).cumsum(0).flip(0)[:K]
            phase = first[(origin + torch.arange(1, K + 1) - r) % P, c]
            terms = terms + later * torch.exp(phase)
        column = top + _safe_log(terms)
        columns.append(torch.nn.functional.pad(column, (1, len(durations) - 1 - K), value=-torch.inf))
    return torch.stack(columns, 1)


def both_score(enter: Tensor, tail: Tensor, longest: NDArray, period: NDArray, T: int) -> Tensor:
    """Return per label `log sum_{k >= T} exp enter[k]`: one segment that covers all T positions and more."""
    k = torch.arange(len(enter))[:, None]
    K, p = torch.from_numpy(np.asarray(longest)), torch.from_numpy(np.asarray(period))
    alive = tail > -torch.inf
    steps = torch.where(alive, (-(-(T - K) // p)).clamp(min=0), 0)  # beyond K every period multiplies by the tail
    visible = enter.masked_fill((k < (T - steps * p).clamp(min=1)) | (k > K), -torch.inf)
    lam = tail.masked_fill(~alive, -1.0)
    beyond = enter + (lam - torch.log1p(-torch.exp(lam)))
    sums = torch.cat([visible, beyond.masked_fill((k <= K - p) | (k > K) | ~alive, -torch.inf)])
    top = sums.detach().amax(0)
    top = torch.where(top > -torch.inf, top, 0.0)
    return top + _safe_log(torch.exp(sums - top).sum(0)) + steps * lam


def _safe_log(x: Tensor) -> Tensor:
    """Return log x, -inf with zero gradient where x is 0."""
    return torch.where(x > 0, torch.log(torch.where(x > 0, x, 1.0)), -torch.inf)


def virtual_rows(
    first: NDArray, longest: NDArray, tail: NDArray, period: NDArray, origin: int
) -> tuple[NDArray, NDArray]:
    """Return the sources left of a censored start: ring (K, C), row j at `s = -1 - j`, and folded rows (p, C).

    Folded row i of label c stands at `s = -K_c - p_c + i` and holds the geometric sum of its residue's older sources.
    """
    C = len(longest)
    ring = first[(origin - 1 - np.arange(longest.max())) % len(first)]
    folded = np.full((period.max(), C), -np.inf, first.dtype)
    for c in range(C):
        for i, terms in enumerate(_cycle_terms(first[:, c], longest[c], tail[c], period[c], origin)):
            folded[i, c] = _log_sum(terms)
    return ring, folded


def virtual_phases(
    ring: NDArray, folded: NDArray, first: NDArray, longest: NDArray, tail: NDArray, period: NDArray, origin: int
) -> NDArray:
    """Return (P, C) gradients of `first` from those of the rows that `virtual_rows` made of it."""
    P = len(first)
    out = np.zeros(first.shape, np.result_type(ring, first))
    for j in range(ring.shape[0]):
        out[(origin - 1 - j) % P] += ring[j]
    for c in range(len(longest)):
        start = origin - longest[c] - period[c]
        for i, terms in enumerate(_cycle_terms(first[:, c], longest[c], tail[c], period[c], origin)):
            if _log_sum(terms).real > -np.inf:
                for j, x in enumerate(terms):
                    out[(start + i - j * period[c]) % P, c] += folded[i, c] * np.exp(x - _log_sum(terms))
    return out


def _cycle_terms(first: NDArray, longest: int, tail: float, period: int, origin: int) -> list[NDArray]:
    """Return, per folded row, the log weights of one cycle of phases, each summed over all later cycles."""
    if tail.real == -np.inf:
        return []
    P = len(first)
    j = np.arange(lcm(int(period), P) // int(period))
    start = origin - longest - period
    rows = [first[(start + i - j * period) % P] + j * tail for i in range(period)]
    return [row - np.log1p(-np.exp(len(j) * tail)) for row in rows]


def _log_sum(x: NDArray) -> Any:
    top = x.real.max()
    return x[0] if top == -np.inf else top + np.log(np.exp(x - top).sum())
