"""Short items of a batch go through side by side, and nothing depends on who else is there."""

import cases
import numpy as np
import pytest
import torch
from test_rare_boundaries import rarely
from tolerances import EXACT

from semiseg import kernels
from semiseg.kernels import plan
from semiseg.kernels.plan import STRETCH, groups
from semiseg.kernels.potentials import Boundary, Potentials
from semiseg.kernels.results import Marginals, Segments

RAGGED = [pytest.param(c.potentials, id=c.name) for c in cases.ragged()]
ALL = ("emissions", "durations", "transitions", "tail", "first", "last")
CUT = {"warm_up": 3}  # a schedule of one's own is followed: every item by itself


def gradients(p: Potentials, names: list[str], **how: int) -> list[torch.Tensor]:
    """Return weighed sums of log Z and of its derivatives for some of the tensors, and for the boundary scores."""
    leaves = [getattr(p, name).clone().requires_grad_() for name in names]
    scores = [b.scores.clone().requires_grad_() for b in p.boundaries]
    boundaries = tuple(Boundary(x, b.types) for x, b in zip(scores, p.boundaries, strict=True))
    z = kernels.log_partition(p._replace(**dict(zip(names, leaves, strict=True)), boundaries=boundaries), **how)
    weight = torch.linspace(-1, 2, len(z), dtype=z.dtype)
    return [z.detach(), *torch.autograd.grad(z @ weight, [*leaves, *scores])]


@pytest.mark.parametrize("potentials", RAGGED)
def test_a_group_is_what_its_items_are_alone(potentials):
    names = [name for name in ALL if getattr(potentials, name) is not None]
    if potentials.right == "censored":
        names.remove("last") if "last" in names else None
    together, alone = (gradients(potentials, names, **how) for how in ({}, CUT))
    for found, want in zip(together, alone, strict=True):
        torch.testing.assert_close(found, want, atol=EXACT, rtol=EXACT)
    torch.testing.assert_close(kernels.log_partition(potentials), together[0], atol=0, rtol=0)
    emissions = together[1]
    for row, length in zip(emissions, potentials.lengths.tolist(), strict=True):
        assert bool((row[length:] == 0).all())


def seldom(n: int = 9) -> Potentials:
    """A batch of items of a model whose labels change at few boundaries, and not at all in some."""
    p = rarely(3, 130)
    rng = np.random.default_rng(4)
    emissions = torch.from_numpy(rng.normal(size=(n, *p.emissions.shape)))
    emissions[1, 40, 1:] = -torch.inf
    maps = [torch.stack([b.scores.roll(7 * i, 0) for i in range(n)]) for b in p.boundaries]
    for scores in maps:
        scores[2, 1:] = -torch.inf
    boundaries = tuple(b._replace(scores=x) for b, x in zip(p.boundaries, maps, strict=True))
    lengths = torch.from_numpy(np.r_[130, rng.integers(60, 131, n - 2), 1])
    return p._replace(emissions=emissions, boundaries=boundaries, lengths=lengths, left="censored", right="censored")


@pytest.mark.parametrize("potentials", [*RAGGED, pytest.param(seldom(), id="seldom")])
def test_paths_and_posteriors_of_a_group_are_those_of_its_items(potentials, monkeypatch):
    """All posteriors, and what is known about every segment of the best paths, given in any order."""
    monkeypatch.setattr(plan, "CELLS", 1 << 30)  # one group
    together, alone = (kernels.viterbi(potentials, **how) for how in ({}, CUT))
    torch.testing.assert_close(together.score, alone.score, atol=0, rtol=0)
    for found, want in zip(together.segments, alone.segments, strict=True):
        assert torch.equal(found, want)
    order = torch.randperm(len(alone.segments.start), generator=torch.Generator().manual_seed(0))
    rows = Segments(*(x[order] for x in alone.segments))
    concepts = torch.arange(potentials.emissions.shape[-1]) // 2
    want = ("start", "end", "position", "transitions", "durations", "boundaries")
    for asked in (want, ()):
        one, other = (
            kernels.marginals(potentials, want=asked, segments=rows, concepts=concepts, **how) for how in ({}, CUT)
        )
        for name in Marginals._fields[:-1]:
            for x, y in zip(*(flattened(getattr(found, name)) for found in (one, other)), strict=True):
                torch.testing.assert_close(x, y, atol=EXACT, rtol=EXACT, msg=lambda text, name=name: f"{name}: {text}")


def flattened(x: object) -> list[torch.Tensor]:
    """All tensors of a field."""
    return [] if x is None else [x] if isinstance(x, torch.Tensor) else list(x)  # type: ignore[call-overload]


@pytest.mark.parametrize("needed", [["emissions"], ["durations"], ["transitions"], ["emissions", "first"]])
def test_only_what_is_wanted_is_worked_out(needed):
    for potentials in (c.potentials for c in list(cases.ragged())[:4]):
        names = [name for name in needed if getattr(potentials, name) is not None]
        for found, want in zip(gradients(potentials, names), gradients(potentials, names, **CUT), strict=True):
            torch.testing.assert_close(found, want, atol=EXACT, rtol=EXACT)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_groups_of_other_types(dtype):
    torch.manual_seed(0)
    p = Potentials(torch.randn(5, 90, 3, dtype=dtype), torch.randn(9, 3), torch.randn(3, 3))
    for found, want in zip(gradients(p, ["emissions"]), gradients(p, ["emissions"], **CUT), strict=True):
        assert found.dtype == want.dtype
        torch.testing.assert_close(found, want)


def test_chains_across_tiles():
    """Where every position is a segment nothing is summed over durations."""
    torch.manual_seed(0)
    emissions, change = torch.randn(3, 200, 4, dtype=torch.float64), torch.randn(4, 4, dtype=torch.float64)
    emissions[:, 130, 1:] = -torch.inf
    p = Potentials(emissions, torch.randn(2, 4, dtype=torch.float64), change)
    want = emissions[:, 0] + p.durations[1]
    for t in range(1, 200):
        want = torch.logsumexp(want[:, :, None] + change, 1) + emissions[:, t] + p.durations[1]
    torch.testing.assert_close(kernels.log_partition(p), want.logsumexp(1), atol=EXACT, rtol=EXACT)


@pytest.mark.parametrize("how", [{}, CUT])
def test_an_item_without_a_segmentation_is_named(how):
    emissions = torch.zeros(4, 30, 2)
    emissions[2, 7] = -torch.inf
    with pytest.raises(kernels.InfeasibleError, match="item 2, no state reaches boundary 8"):
        kernels.log_partition(Potentials(emissions, torch.zeros(3, 2), torch.zeros(2, 2)), **how)
    with pytest.raises(kernels.InfeasibleError, match="item 2, no state reaches boundary 8"):
        kernels.log_partition(Potentials(emissions.requires_grad_(), torch.zeros(3, 2), torch.zeros(2, 2)), **how)
    for operation in (kernels.viterbi, kernels.marginals):
        with pytest.raises(kernels.InfeasibleError, match="item 2, no state reaches boundary 8"):
            operation(Potentials(emissions.detach(), torch.zeros(3, 2), torch.zeros(2, 2)), **how)


@pytest.mark.parametrize("how", [{}, CUT])
def test_what_lies_behind_the_ends_may_be_too_large(how):
    p = Potentials(torch.zeros(3, 30, 2), torch.zeros(31, 2), torch.zeros(2, 2), lengths=torch.tensor([30, 20, 10]))
    best = kernels.viterbi(p, **how)
    p.emissions[1, 20:] = 3e38
    p.emissions[2, 10:] = 3e38
    again = kernels.viterbi(p, **how)
    assert torch.equal(best.score, again.score)
    assert torch.equal(best.segments.end, again.segments.end)
    assert kernels.marginals(p, **how).position.isfinite().all()
    p.emissions[1, 3] = 3e38
    with pytest.raises(kernels.PotentialsError, match="expected sums of finite scores below"):
        kernels.viterbi(p, **how)


@pytest.mark.parametrize("lengths", [[1], [100] * 64, [STRETCH] * 8, [5, 9_000, 3, 2, 9_000], list(range(1, 300))])
@pytest.mark.parametrize("threads", [1, 2, 7])
def test_plans_of_groups(lengths, threads):
    for C, K in ((2, 1), (16, 1), (64, 1_024)):
        found = groups(lengths, C, K, threads)
        assert [i for items in found for i in items] == list(range(len(lengths)))
        assert all(len(items) == 1 or max(lengths[i] for i in items) <= STRETCH for items in found)
    assert len(groups([100] * 64, 16, 1, 2)) == 2  # a share a thread
    assert len(groups([100] * 16, 8, 1, 2)) == 1  # too little to share
