"""The ladder of trust on small cases: enumeration of every segmentation = naive = cpu, whole and cut to pieces."""

from functools import cache

import cases
import enumeration
import numpy as np
import plans
import pytest
import torch
from tolerances import CHUNKED, EXACT

from semiseg import kernels
from semiseg.kernels.cpu.gradients import combine
from semiseg.kernels.cpu.marginals import Smoother
from semiseg.kernels.cpu.posteriors import Wanted
from semiseg.kernels.naive import naive_marginals
from semiseg.kernels.resolve import resolve, sequence

EVERYTHING = Wanted(changes=True, durations=True)


# every item of every small case in plain form
ITEMS = [
    pytest.param(potentials, item, id=f"{name}-{item}")
    for name, potentials in [*cases.grid(), *cases.ragged()]
    if not potentials.transitions_by_duration
    for item in range(potentials.emissions.shape[0] if potentials.emissions.ndim == 3 else 1)
]
GRID = [pytest.param(case.potentials, id=case.name) for case in cases.grid()]


@cache  # a case is enumerated once, not for every schedule
def expected(potentials, item):
    found = enumeration.enumerate_segmentations(enumeration.from_potentials(potentials, item))
    return found, enumeration.posteriors(found)


@pytest.mark.parametrize(("potentials", "item"), ITEMS)
def test_naive_equals_enumeration(potentials, item):
    found, truth = expected(potentials, item)
    got = naive_marginals(potentials, item)
    assert got.log_partition == pytest.approx(found.log_partition, abs=EXACT)
    rows = len(truth.durations)
    for name in ("start", "end", "position"):
        np.testing.assert_allclose(getattr(got, name), getattr(truth, name), atol=EXACT, err_msg=name)
    np.testing.assert_allclose(got.change, truth.boundary, atol=EXACT)
    np.testing.assert_allclose(got.durations[1:rows], truth.durations[1:], atol=EXACT)
    np.testing.assert_allclose(got.tail_steps, truth.tail_steps, atol=EXACT)


@pytest.mark.parametrize("schedule", plans.SMALL)
@pytest.mark.parametrize(("potentials", "item"), ITEMS)
def test_cpu_equals_enumeration(potentials, item, schedule):
    found, truth = expected(potentials, item)
    gradients = enumeration.gradients(found)
    x = sequence(*resolve(potentials), item)
    T, C = x.emissions.shape
    smoother = Smoother(x, plans.SMALL[schedule](T), plans.POOL)
    start, end, position = np.zeros((T + 1, C)), np.zeros((T + 1, C)), np.zeros((T, C))

    def keep(part):
        start[part.u : part.v], end[part.u + 1 : part.v + 1] = part.start, part.end
        position[part.u : part.v] = part.position

    counts, closing = combine(smoother, EVERYTHING, keep)
    start[0] *= potentials.left == "exact"
    end[T] *= potentials.right == "exact"
    tolerance = EXACT if smoother.settled.certificate == 0 else CHUNKED
    rows = len(gradients.durations)
    assert smoother.log_partition() == pytest.approx(found.log_partition, abs=tolerance)
    assert closing < tolerance
    for name, got, want in (
        ("start", start, truth.start),
        ("end", end, truth.end),
        ("position", position, truth.position),
        ("transitions", counts.transitions, truth.transitions),
        ("durations", counts.durations[1:rows], gradients.durations[1:]),
        ("tail", counts.tail_steps, gradients.tail),
    ):
        np.testing.assert_allclose(got, want, atol=tolerance, rtol=tolerance, err_msg=name)


@pytest.mark.parametrize("potentials", GRID)
def test_every_gradient_equals_enumeration(potentials):
    fields = ("emissions", "durations", "transitions", "tail", "first", "last")
    names = [f for f in fields if getattr(potentials, f) is not None]
    leaves = {f: getattr(potentials, f).clone().requires_grad_() for f in names}
    boundaries = tuple(b._replace(scores=b.scores.clone().requires_grad_()) for b in potentials.boundaries)
    found = enumeration.enumerate_segmentations(enumeration.from_potentials(potentials))
    truth = enumeration.gradients(found)
    z = kernels.log_partition(potentials._replace(**leaves, boundaries=boundaries))
    z.backward()
    assert z.item() == pytest.approx(found.log_partition, abs=EXACT)
    for name, leaf in leaves.items():
        got = torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
        first = 1 if name == "durations" else 0  # row 0 is unused
        want = torch.from_numpy(np.asarray(getattr(truth, name))).reshape(leaf.shape)
        np.testing.assert_allclose(got[first:], want[first:], atol=EXACT, err_msg=name)
    for boundary, want in zip(boundaries, truth.boundaries, strict=True):
        got = torch.zeros_like(boundary.scores) if boundary.scores.grad is None else boundary.scores.grad
        np.testing.assert_allclose(got, want, atol=EXACT)


@pytest.mark.parametrize("potentials", GRID)
def test_marginals_equal_enumeration(potentials):
    found, truth = expected(potentials, 0)
    gradients = enumeration.gradients(found)
    got = kernels.marginals(potentials, want=("start", "end", "position", "transitions", "durations", "boundaries"))
    rows = len(gradients.durations)
    assert got.log_partition.item() == pytest.approx(found.log_partition, abs=EXACT)
    for name in ("start", "end", "position"):
        np.testing.assert_allclose(getattr(got, name), getattr(truth, name), atol=EXACT, err_msg=name)
    # by duration: row 0 is unused, and a tail may need rows beyond K
    first, last = (1, len(truth.transitions)) if potentials.transitions_by_duration else (0, None)
    np.testing.assert_allclose(got.transitions[first:last], truth.transitions[first:], atol=EXACT)
    np.testing.assert_allclose(got.durations[1:rows], gradients.durations[1:], atol=EXACT)
    np.testing.assert_allclose(got.tail_steps, gradients.tail, atol=EXACT)
    for mine, want in zip(got.boundaries, gradients.boundaries, strict=True):
        T = len(want) - 1
        np.testing.assert_allclose(mine[1:T], want[1:T], atol=EXACT)


def test_a_ragged_batch_is_its_items():
    for name, potentials in cases.ragged():
        got = kernels.marginals(potentials)
        for item in range(len(potentials.lengths)):
            found, truth = expected(potentials, item)
            T = len(truth.position)
            assert got.log_partition[item].item() == pytest.approx(found.log_partition, abs=EXACT), name
            np.testing.assert_allclose(got.start[item, : T + 1], truth.start, atol=EXACT)
            np.testing.assert_allclose(got.end[item, : T + 1], truth.end, atol=EXACT)
            np.testing.assert_allclose(got.position[item, :T], truth.position, atol=EXACT)
            assert not got.position[item, T:].any()
