"""Entropy, cross-entropy and divergence against enumeration, and in closed form on a long sequence."""

import cases
import enumeration
import numpy as np
import pytest
import torch
from tolerances import EXACT

from semiseg import kernels
from semiseg.kernels.potentials import Potentials

GRID = {case.name: case.potentials for case in cases.grid()}


def enumerated(potentials):
    return enumeration.enumerate_segmentations(enumeration.from_potentials(potentials))


def other(potentials, seed=0):
    """Return a model with other scores over the same segmentations."""
    torch.manual_seed(seed)
    shift = lambda x: None if x is None else x + 0.3 * torch.randn_like(x)  # noqa: E731
    return potentials._replace(
        emissions=shift(potentials.emissions),
        transitions=shift(potentials.transitions),
        first=shift(potentials.first),
        last=shift(potentials.last),
        boundaries=tuple(b._replace(scores=shift(b.scores)) for b in potentials.boundaries),
    )


@pytest.mark.parametrize("name", GRID)
def test_entropy_and_divergence(name):
    p, q = GRID[name], other(GRID[name])
    found, against = enumerated(p), enumerated(q)
    assert kernels.entropy(p).item() == pytest.approx(enumeration.entropy(found), abs=10 * EXACT)
    crossed = enumeration.cross_entropy(found, against)
    assert kernels.cross_entropy(p, q).item() == pytest.approx(crossed, abs=10 * EXACT)
    assert kernels.kl(p, q).item() == pytest.approx(enumeration.kl(found, against), abs=10 * EXACT)


def test_models_with_other_lengths_tails_and_maps():
    torch.manual_seed(1)
    wide = torch.float64
    p = Potentials(torch.randn(6, 2, dtype=wide), torch.randn(4, 2, dtype=wide), torch.randn(3, 2, 2, dtype=wide))
    q = Potentials(
        p.emissions + 1.0,
        torch.randn(3, 2, dtype=wide),
        torch.randn(2, 2, dtype=wide),
        tail=torch.tensor([-0.5, -0.7], dtype=wide),
        period=torch.tensor([1, 3]),
        boundaries=(kernels.Boundary(torch.randn(7, 2, dtype=wide), torch.tensor([[0, 1], [0, 1]])),),
    )
    assert kernels.kl(p, q).item() == pytest.approx(enumeration.kl(enumerated(p), enumerated(q)), abs=EXACT)
    assert kernels.cross_entropy(q, p).item() == float("inf")  # q's tails are longer than anything p allows


def test_entropy_of_independent_positions_at_a_million():
    """K = 1 with free transitions makes every position its own variable, so the entropy is a sum."""
    torch.manual_seed(0)
    T = 1_000_000
    emissions = torch.randn(T, 2, dtype=torch.float64)
    durations = torch.tensor([[-torch.inf] * 2, [0.0, 0.0]], dtype=torch.float64)
    got = kernels.entropy(Potentials(emissions, durations, torch.zeros(2, 2, dtype=torch.float64)))
    p = torch.softmax(emissions, 1)
    # scores of a million positions are rounded at 1e-16 of their sum, and posteriors add thousands of them up
    assert got.item() == pytest.approx(-(p * p.log()).sum().item(), rel=1e-11)


def test_a_batch_is_its_items():
    for _, potentials in cases.ragged():
        got = kernels.entropy(potentials).numpy()
        want = [
            enumeration.entropy(enumeration.enumerate_segmentations(enumeration.from_potentials(potentials, b)))
            for b in range(len(got))
        ]
        np.testing.assert_allclose(got, want, atol=10 * EXACT)


def test_entropy_gradients():
    potentials = GRID[next(name for name in GRID if "exact-exact" in name and "T4" in name)]
    finite = torch.isfinite(potentials.emissions)

    def of(emissions, transitions):
        moved = torch.where(finite, emissions, -torch.inf)
        return kernels.entropy(potentials._replace(emissions=moved, transitions=transitions))

    emissions = torch.where(finite, potentials.emissions, 0.0).requires_grad_()
    transitions = potentials.transitions.nan_to_num(neginf=-3.0).requires_grad_()
    assert torch.autograd.gradcheck(of, (emissions, transitions), atol=1e-6)
