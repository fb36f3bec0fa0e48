"""What the kernels say about given segments against the CPU path, from the same scores of passes."""

import cases
import numpy as np
import plans
import pytest
import torch
from larger import larger
from where import DEVICE, ON_GPU

pytest.importorskip("triton")

from passes import Scores, scores_of

from semiseg.kernels.cpu.batch import Asked
from semiseg.kernels.cpu.calls import Described, Request, describe
from semiseg.kernels.cpu.marginals import Smoother
from semiseg.kernels.edges import edge_tables
from semiseg.kernels.gpu import calls
from semiseg.kernels.gpu.model import Numbers, frame_of, model_of
from semiseg.kernels.gpu.pieces import table_of
from semiseg.kernels.plan import Plan
from semiseg.kernels.potentials import Potentials
from semiseg.kernels.resolve import Layout, Leaves, resolve, sequence
from semiseg.kernels.results import Segments

# lost sums, whose logarithm is never looked at, are warned of where kernels are interpreted by numpy
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:triton.runtime.interpreter")
BOUND, LEVEL = 5e-6, 0.9
CALLS = 24 if ON_GPU else 10


def asked_of(layout: Layout, C: int, seed: int, n: int) -> Asked:
    """Segments of all lengths and items, not in order, of concepts of up to two labels."""
    rng = np.random.default_rng(seed)
    item = rng.integers(len(layout.lengths), size=n)
    T = layout.lengths[item]
    start = rng.integers(T)
    end = np.minimum(start + rng.geometric(np.where(rng.random(n) < 0.5, 0.3, 1 / T.max())), T)
    start[: n // 8], end[n // 8 : n // 4] = 0, T[n // 8 : n // 4]
    start[-1], end[-1] = 0, T[-1]
    label = rng.integers(C, size=n)
    return Asked(Segments(*map(torch.from_numpy, (item, start, end, label))), label, np.arange(C) // 2, LEVEL)


def surveyed(leaves: Leaves, layout: Layout, s: Scores, asked: Asked, together: int | None) -> calls.Survey:
    """A survey of chunks that are in memory all at once, or so many of an item at a time."""
    items = [sequence(leaves, layout, item) for item in range(len(layout.lengths))]
    there = (x.to(DEVICE) for x in (leaves.durations, leaves.tail, leaves.transitions))
    model = model_of(frame_of(items[0], 32, DEVICE), Numbers(*there, fixed=False))
    forbidden = bool((leaves.emissions == -torch.inf).any())
    edges, lengths = [edge_tables(x) for x in items], layout.lengths.tolist()
    survey = calls.Survey(asked, model, s.chunks.host, lengths, edges, s.constants, forbidden)
    rows, position = (s.h, s.alpha, s.f, s.beta), torch.from_numpy(s.position).to(DEVICE)
    each = lambda at: (s.Z[at], s.Z[at], (s.open_left[at], s.open_right[at]))  # noqa: E731
    if together is None:
        whole = slice(0, len(s.chunks.host))
        survey.add(whole, calls.Scores(s.chunks, *rows, *each(whole), s.emissions, position))
        return survey
    for item in range(len(items)):
        mine = np.flatnonzero(s.chunks.host[:, 0] == item)
        for i in range(0, len(mine), together):
            at = slice(mine[i], mine[i : i + together][-1] + 1)
            _, a, b, row = s.chunks.host[at].T
            chunks = table_of(np.stack([0 * a, a, b, a - a[0]], 1), DEVICE)
            here = [x[row[0] : row[0] + b[-1] - a[0] + 1] for x in rows]
            inputs = (x[item : item + 1, a[0] : b[-1]] for x in (s.emissions, position))
            survey.add(at, calls.Scores(chunks, *here, *each(at), *inputs))
    return survey


def compare(p: Potentials, cut: int, together: int | None = None, n: int = CALLS, asked: Asked | None = None) -> int:
    """Return how many calls were left unfinished."""
    leaves, layout = resolve(p)
    s = scores_of(leaves, layout, cut)
    asked = asked or asked_of(layout, leaves.emissions.shape[2], cut, n)
    survey = surveyed(leaves, layout, s, asked, together)
    found, open_ = survey.result(), torch.cat(survey.unfinished).cpu().numpy()
    item, start, end, _ = (x.numpy() for x in asked.segments)
    for b, length in enumerate(layout.lengths):
        mine = np.flatnonzero(item == b)
        smoother = Smoother(sequence(leaves, layout, b), Plan(1, 0, int(length), int(length), True, 0), plans.POOL)
        want = describe(smoother, Request(start[mine], end[mine], asked.label[mine], asked.concepts, asked.level))
        got = Described(*(x.cpu().numpy()[mine] for x in found))
        for field in ("start", "end", "segment", "label"):
            np.testing.assert_allclose(getattr(got, field), getattr(want, field), rtol=0, atol=BOUND, err_msg=field)
        for i in np.flatnonzero(~np.isin(mine, open_)):
            for side in (got[4:7], want[4:7]), (got[7:], want[7:]):
                (*bounds, mass), (*right, true) = ([x[i] for x in fields] for fields in side)
                if bounds == right:
                    assert mass == pytest.approx(true, abs=BOUND)
                else:  # only where rounding decides
                    assert min(abs(mass - asked.level), abs(true - asked.level)) < BOUND, (i, bounds, mass, right, true)
    return len(open_)


GRID = {case.name: case.potentials for case in cases.grid() if "by_duration" not in case.name}
RAGGED = {case.name: case.potentials for case in cases.ragged()}


@pytest.mark.parametrize(
    ("name", "cut"), [(name, (1, 3, 100)[i % 3]) for i, name in enumerate(list(GRID)[:: 5 if ON_GPU else 37])]
)
def test_small(name, cut):
    assert compare(GRID[name], cut) == 0


@pytest.mark.parametrize(
    ("name", "together"),
    [(name, together) for name in list(RAGGED)[::3] for together in (None, 2)][:: 1 if ON_GPU else 5],
)
def test_batches_of_their_own_lengths(name, together):
    compare(RAGGED[name], 2, together)


@pytest.mark.parametrize(
    ("seed", "cut", "together"),
    [(3, 64, None), (5, 50, 2), (6, 333, None), (8, 17, 3), (2, 17, None)][:: 1 if ON_GPU else 3],
)
def test_larger(seed, cut, together):
    """Cuts, tails of both periods, phases, maps, and durations longer than a chunk; several tiles of everything."""
    compare(larger(seed, T=200 if ON_GPU else 80), cut, together)
