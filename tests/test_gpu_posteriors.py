"""Posteriors, label changes and expected durations of the Triton path against the CPU path's, from the same scores."""

import cases
import numpy as np
import pytest
import torch
from larger import larger, long_tail
from where import DEVICE, ON_GPU

pytest.importorskip("triton")

from passes import scores_of

from semiseg.kernels.edges import continued
from semiseg.kernels.gpu import changes, durations, posteriors
from semiseg.kernels.gpu.tiles import LOG2E, NEVER
from semiseg.kernels.potentials import Boundary, Potentials
from semiseg.kernels.resolve import Layout, Leaves, resolve

POSTERIOR, COUNT = 2e-6, 1e-5


def arc_lists(leaves: Leaves, layout: Layout, n: int) -> changes.Arcs:
    """The lists of changes as the passes have them: padded to a power of two of sources a label."""
    log2 = leaves.transitions.numpy() * LOG2E
    P, C, _ = log2.shape
    M = len(layout.types)
    D = 1 << int(max(1, (log2 > -np.inf).sum(1).max()) - 1).bit_length()
    source = np.full((P, D, C), -1, np.int32)
    score = np.full((P, D, C), float(NEVER))
    types = np.full((P, D, C, M), -1, np.int32)
    for p in range(P):
        for c in range(C):
            for d, j in enumerate(np.flatnonzero(log2[p, :, c] > -np.inf)):
                source[p, d, c], score[p, d, c] = j, log2[p, j, c]
                types[p, d, c] = layout.types[:, j, c]
    return changes.arcs(source, types, torch.from_numpy(np.append(score, NEVER)).to(DEVICE), n)


def compare(leaves: Leaves, layout: Layout, cut: int, dtype=torch.float64, **options) -> None:
    """Everything the kernels make of one batch, against the CPU path."""
    s = scores_of(leaves, layout, cut)
    passes, Z = (s.h, s.alpha, s.f, s.beta, s.chunks), (s.Z, s.Z)
    out = {
        name: torch.full(getattr(s, name).shape, torch.nan, dtype=dtype, device=DEVICE)
        for name in ("start", "end", "position", "kinds")
    }
    closing = posteriors.rows(
        *passes, *Z, start=out["start"], end=out["end"], position=out["position"], shares=s.shares,
        open_right=s.closing, emissions=s.emissions, tiles=1,
    )  # fmt: skip
    assert closing.abs().max() < 1e-5
    for name in ("start", "end", "position"):
        check(out[name], getattr(s, name), POSTERIOR)
    n = s.scores.shape[2]
    out["kinds"].zero_()
    found = changes.changes(
        s.alpha, s.f, s.chunks, *Z, s.alpha_at_a, s.scores, arc_lists(leaves, layout, n), layout.origin,
        kinds=out["kinds"], piece=3 * len(leaves.transitions),
    )  # fmt: skip
    check(out["kinds"], s.kinds, POSTERIOR)
    check(found, s.transitions, COUNT, COUNT)
    tails = leaves.tail.numpy() > -np.inf
    model = durations.lists(layout.longest, np.where(tails, layout.period, 0), DEVICE)
    A = int(layout.longest.max()) + int(model.period.max())
    law = continued(leaves.durations.numpy(), layout.longest, leaves.tail.numpy(), layout.period, A) * LOG2E
    law = torch.from_numpy(np.maximum(law, NEVER)).to(DEVICE)
    counts, steps = durations.durations(
        s.h, s.beta, s.emissions, s.chunks, *Z, (s.open_left, s.open_right), model, law, leaves.tail.to(DEVICE) * LOG2E,
        forbidden=bool((s.emissions == -torch.inf).any()), scan=16, **options,
    )  # fmt: skip
    check(counts, s.counts[:, : counts.shape[1]], COUNT, COUNT)
    check(steps, s.steps, COUNT, COUNT)


def check(found: torch.Tensor, expected: np.ndarray, absolute: float, relative: float = 0.0) -> None:
    np.testing.assert_allclose(found.cpu().double().numpy(), expected, rtol=relative, atol=absolute)


GRID = {case.name: case.potentials for case in cases.grid() if "by_duration" not in case.name}
RAGGED = {case.name: case.potentials for case in cases.ragged()}


@pytest.mark.parametrize(
    ("name", "cut"), [(name, (1, 3, 100)[i % 3]) for i, name in enumerate(list(GRID)[:: 3 if ON_GPU else 10])]
)
def test_small(name, cut):
    compare(*resolve(GRID[name]), cut)


@pytest.mark.parametrize("name", list(RAGGED)[:: 2 if ON_GPU else 4])
def test_batches_of_their_own_lengths(name):
    compare(*resolve(RAGGED[name]), 2)


@pytest.mark.parametrize(("seed", "cut"), [(3, 64), (5, 50), (6, 333), (8, 17)][:: 1 if ON_GPU else 3])
def test_larger(seed, cut):
    """Cuts, tails of both periods, phases, maps, and durations longer than a chunk; several tiles of everything."""
    compare(*resolve(larger(seed, T=200 if ON_GPU else 100)), cut, parts=3)


def test_many_labels():
    """Labels, durations and changes that fill no block, float32 inputs and outputs."""
    p = random_potentials(T=100 if ON_GPU else 40, C=37, K=70)
    compare(*resolve(p), 25, torch.float32)


def test_long_enough_for_several_pieces():
    leaves, layout = resolve(long_tail(900))
    compare(leaves, layout, 600)


def test_normalisers_and_anchors_that_drift():
    """A slope in the scores and an error at the right anchor are both spread evenly over the chunk."""
    leaves, layout = resolve(larger(3, T=200))
    s = scores_of(leaves, layout, 70)
    s = s._replace(h=s.h.clone(), alpha=s.alpha.clone())
    drift, error = 0.37, 1e-3
    position, open_right, ZR = s.position.copy(), s.closing.clone(), s.Z + drift
    for i, (_, a, b, row) in enumerate(s.chunks.host.tolist()):
        along = torch.arange(b - a + 1, device=DEVICE)[:, None] / (b - a)
        s.h[row : row + b - a] += drift * along[:-1]
        s.alpha[row + 1 : row + b - a + 1] += drift * along[1:]
        open_right[i, 0] -= error
        position[0, a:b, 0] -= error * along[:-1, 0].cpu().numpy()
    out = torch.zeros(s.end.shape, device=DEVICE)
    only = posteriors.rows(s.h, s.alpha, s.f, s.beta, s.chunks, s.Z, ZR, end=out)
    assert only is None
    check(out[:, 1:201], s.end[:, 1:201], POSTERIOR)
    out = torch.zeros(position.shape, device=DEVICE)
    closing = posteriors.rows(
        s.h, s.alpha, s.f, s.beta, s.chunks, s.Z, ZR, position=out, shares=s.shares, open_right=open_right
    )
    check(closing.abs().amax(1), np.full(len(s.chunks.host), error), POSTERIOR)
    allowed = np.isfinite(leaves.emissions.numpy())
    check(out * torch.from_numpy(allowed).to(DEVICE), np.where(allowed, position, 0), POSTERIOR)


def random_potentials(T: int, C: int, K: int) -> Potentials:
    """Sparse changes, tails at some labels, one map of four types by pair and one by the label that begins."""
    rng = np.random.default_rng(C)
    longest = np.where(rng.random(C) < 0.3, rng.integers(1, K + 1, C), rng.integers(1, 4, C))
    longest[0] = K
    transitions = rng.normal(size=(3, C, C))
    transitions[rng.random(transitions.shape) < 0.8] = -np.inf
    transitions[:, np.arange(C), (np.arange(C) + 1) % C] = 0.0
    types = rng.integers(-1, 4, (C, C)), np.tile(np.arange(C), (C, 1))
    sizes = 4, C
    return Potentials(
        torch.from_numpy(rng.normal(size=(T, C)).astype(np.float32)),
        torch.from_numpy(rng.normal(size=(K + 1, C))),
        torch.from_numpy(transitions),
        torch.from_numpy(longest),
        torch.from_numpy(np.where(rng.random(C) < 0.5, -0.2, -np.inf)),
        torch.from_numpy(rng.choice([1, 3], C)),
        tuple(
            Boundary(torch.from_numpy(rng.normal(size=(T + 1, n)).astype(np.float32)), torch.from_numpy(kind))
            for n, kind in zip(sizes, types, strict=True)
        ),
        origin=2,
    )
