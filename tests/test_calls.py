"""What the CPU path says about called segments: equal to the enumeration, to plain sums, and true on sampled data."""

import cases
import numpy as np
import pytest
import torch
from enumeration import Enumeration, enumerate_segmentations, from_potentials, posteriors
from enumeration_calls import describe_call, shortest_interval

from semiseg.kernels.cpu.calls import Described, Request, describe
from semiseg.kernels.cpu.marginals import Smoother
from semiseg.kernels.cpu.posteriors import Wanted
from semiseg.kernels.cpu.threads import pool
from semiseg.kernels.edges import continued, edge_tables
from semiseg.kernels.naive import Passes, lengthen, naive_passes
from semiseg.kernels.plan import Plan, plan
from semiseg.kernels.potentials import Edge, Potentials
from semiseg.kernels.resolve import Sequence, resolve, sequence

EXACT = 1e-9
SMALL = [c for c in (*cases.grid(), *cases.ragged()) if not c.potentials.transitions_by_duration]


def smoother_of(potentials: Potentials, item: int = 0, schedule: Plan | None = None, threads: int = 2) -> Smoother:
    x = sequence(*resolve(potentials), item)
    T, C = x.emissions.shape
    schedule = schedule or plan(T, C, int(x.longest.max()), threads)
    return Smoother(x, schedule, pool(threads))


def be_exact(monkeypatch) -> None:
    """Otherwise a seam may be off by what its certificate says."""
    monkeypatch.setattr("semiseg.kernels.cpu.chunks.ENOUGH", 1e-12)
    monkeypatch.setattr("semiseg.kernels.cpu.chunks.GAP", 1e-12)


def schedules(T: int) -> list[Plan]:
    """Whole, in one chunk of many panels, and in many chunks; scores kept and computed again."""
    out = [Plan(1, 4, T, T, True, 0)]
    for keep in (True, False):
        out += [Plan(1, 4, 1, 1, keep, 0), Plan(min(3, T), 1, 2, 1, keep, 0), Plan(T, 2, 1, 1, keep, 0)]
    return out


def chosen_segments(everything: Enumeration, rng: np.random.Generator) -> list[tuple[int, int, int]]:
    """All segments of the best path, of the worst and of four drawn ones."""
    scores = everything.scores
    scores = np.where(scores > scores.max() - 300, scores, np.nan)  # not where the enumeration has only zeros left
    paths = {int(np.nanargmax(scores)), int(np.nanargmin(scores))}
    paths |= set(rng.choice(np.flatnonzero(scores == scores), size=4).tolist())
    return sorted({segment for i in paths for segment in everything.paths[i]})


def check(found: Described, i: int, call, level: float, name: str) -> None:
    for field in ("start", "end", "segment", "label"):
        assert getattr(found, field)[i] == pytest.approx(getattr(call, field), abs=EXACT), (name, field)
    for side in ("start", "end"):
        fields = [f"{side}_{f}" for f in ("low", "high", "mass")]
        got, expected = [getattr(found, f)[i] for f in fields], [getattr(call, f) for f in fields]
        if got[:2] != expected[:2]:  # only where rounding decides
            assert min(abs(got[2] - level), abs(expected[2] - level)) < EXACT, (name, side, got, expected)
        else:
            assert got[2] == pytest.approx(expected[2], abs=EXACT), (name, side)


@pytest.mark.parametrize("part", range(8))
def test_equals_the_enumeration(part, monkeypatch):
    be_exact(monkeypatch)
    rng = np.random.default_rng(part)
    for name, potentials in SMALL[part::8]:
        batch = 1 if potentials.emissions.ndim == 2 else len(potentials.emissions)
        for item in range(batch):
            case = from_potentials(potentials, item)
            everything = enumerate_segmentations(case)
            known = posteriors(everything)
            T, C = case.emissions.shape
            segments = chosen_segments(everything, rng)
            starts, ends, labels = np.array(segments).T
            for concepts in (np.arange(C), np.array([0, 1, 0])[:C], np.full(C, 5)):
                level = float(rng.choice([0.5, 0.8, 0.95]))
                alike = [set(np.flatnonzero(concepts == concepts[c]).tolist()) for c in labels]
                calls = [
                    describe_call(everything, s, own, level, known) for s, own in zip(segments, alike, strict=True)
                ]
                choice = schedules(T)
                for schedule in (choice[0], choice[1 + rng.integers(len(choice) - 1)]):
                    smoother = smoother_of(potentials, item, schedule)
                    found = describe(smoother, Request(starts, ends, labels, concepts, level))
                    for i, call in enumerate(calls):
                        check(found, i, call, level, f"{name} {item} {schedule} {segments[i]}")


def naive_laws(x: Sequence, passes: Passes, m: int, labels: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the laws of start and end of the segment over position m, given that it has one of these labels."""
    T = len(x.emissions)
    tables = edge_tables(x)
    D, enter, leave = lengthen(x, tables)
    pairs = np.zeros((m + 1, T - m))
    s, t = np.arange(m + 1)[:, None], np.arange(m + 1, T + 1)[None]
    sums = np.concatenate([np.zeros((1, x.emissions.shape[1])), np.cumsum(x.emissions, 0)])
    for c in labels:
        length, before, after = D[t - s, c], passes.h[s, c] + 0 * t, passes.beta[t, c] + 0 * s
        if leave is not None:
            length[:, -1], after[:, -1] = leave[T - s[:, 0], c], 0
        if enter is not None:
            length[0], before[0] = enter[t[0], c], 0
            if leave is not None:
                length[0, -1] = tables.both[c]
        pairs += np.exp(before + sums[t, c] - sums[s, c] + length + after - passes.log_partition)
    total = pairs.sum()
    return pairs.sum(1) / total, np.concatenate([np.zeros(m + 1), pairs.sum(0)]) / total


def long_model(edges: tuple[Edge, Edge], period: int, weak: float, T: int) -> Potentials:
    """Label 1 covers a half of T through its tail, from 0.23 T on; label 2 looks the same to the right of 0.57 T."""
    rng = np.random.default_rng(period)
    K, (begin, other, end) = 20, (T * part // 30 for part in (7, 17, 22))
    durations = rng.normal(size=(K + 1, 3))
    tail = np.array([-0.2, -0.004 * period, -0.05])
    periods = np.array([1, period, 1])
    entering = np.array([np.exp(durations[K + 1 - p :, c]).sum() for c, p in enumerate(periods)])
    durations -= np.log(np.exp(durations[1:]).sum(0) + entering * np.exp(tail) / -np.expm1(tail))
    emissions = rng.normal(size=(T, 3)) * 0.2
    emissions[:begin, 0] += weak
    emissions[begin:end, 1] += weak
    emissions[other:end, 2] += weak * 0.9
    emissions[end:, 0] += weak
    transitions = np.log(np.array([[0.2, 0.5, 0.3], [0.6, 0.0001, 0.3999], [0.4, 0.3, 0.3]]))
    e, d, a, lam, p = map(torch.from_numpy, (emissions, durations, transitions, tail, periods))
    return Potentials(e, d, a, tail=lam, period=p, left=edges[0], right=edges[1])


# each choice of one with each of the others
@pytest.mark.parametrize(
    ("edge", "period", "weak"), [("exact", 1, 0.2), ("exact", 3, 0.01), ("censored", 1, 0.01), ("censored", 3, 0.2)]
)
def test_far_through_the_tail(edge, period, weak, monkeypatch):
    """Boundaries hundreds of positions from the middle, many panels away, in models that know much and little."""
    be_exact(monkeypatch)
    potentials = long_model((edge, edge), period, weak, 1500)
    x = sequence(*resolve(potentials), 0)
    T, passes = len(x.emissions), naive_passes(x)
    starts, ends, labels = np.array([[350, 1100, 1], [1050, 1150, 2], [5, 9, 0], [1490, T, 0], [0, T, 1]]).T
    concepts = np.array([0, 1, 1])
    expected = []
    for s, t, c in zip(starts, ends, labels, strict=True):
        begin, end = naive_laws(x, passes, (s + t - 1) // 2, np.flatnonzero(concepts == concepts[c]).tolist())
        expected.append((shortest_interval(begin, 0.9), shortest_interval(end, 0.9)))
    for schedule in (None, Plan(1, 0, 64, 64, False, 0), Plan(1, 0, 10, 10, True, 0), Plan(7, 200, 128, 64, False, 0)):
        found = describe(smoother_of(potentials, 0, schedule), Request(starts, ends, labels, concepts, 0.9))
        for i, intervals in enumerate(expected):
            got = [f[i] for f in found[4:]]
            for a, b in zip((got[:3], got[3:]), intervals, strict=True):
                assert tuple(a[:2]) == b[:2] or min(abs(a[2] - 0.9), abs(b[2] - 0.9)) < EXACT, (schedule, i, a, b)
                assert a[2] == pytest.approx(b[2], abs=EXACT)


def test_a_later_block_of_a_stream():
    """With the state of what came before, a block says the same; what is folded into it counts at its latest source."""
    potentials, T, cut = long_model(("censored", "exact"), 3, 0.2, 3000), 3000, 1500
    whole = smoother_of(potentials, 0, Plan(1, 0, 100, 100, True, 0))
    left = whole.chunks.state(0, 0, cut)._replace(position=0)
    block = potentials._replace(emissions=potentials.emissions[cut:], origin=cut)
    later = Smoother(sequence(*resolve(block), 0), Plan(1, 0, 64, 64, True, 0), pool(2), left)
    segments = np.array([[1540, 1600, 1], [2300, 2310, 2], [cut, 2200, 1], [2500, T, 0]]).T
    expected = describe(whole, Request(*segments))
    found = describe(later, Request(segments[0] - cut, segments[1] - cut, segments[2]))
    for field, a, b in zip(Described._fields, expected, found, strict=True):
        if field in ("start_low", "start_high", "start_mass"):
            a, b = a[[1, 3]], b[[1, 3]]
        np.testing.assert_allclose(a, b + cut * field.endswith(("low", "high")), atol=EXACT)
    K = len(potentials.durations) - 1
    assert -K - 3 <= found.start_low[0] < -K  # most of it lies in 628..1500, which this block cannot tell apart
    assert 0.95 <= found.start_mass[0] <= 1


def test_coverage_on_sampled_data():
    """Intervals hold the true boundaries as often as they say, over calls whose middle truly has the called label."""
    rng = np.random.default_rng(11)
    C, K, N = 3, 40, 16_000
    law = rng.dirichlet(np.ones(K), size=C).T * np.linspace(1, 0.2, K)[:, None] ** 2
    weights = np.zeros((K + 1, C))
    weights[1:] = law
    tail = np.array([-0.1, -0.3, -0.2])
    weights /= weights.sum(0) + weights[K] * np.exp(tail) / -np.expm1(tail)
    change = np.array([[0.0, 0.7, 0.3], [0.5, 0.0, 0.5], [0.8, 0.2, 0.0]])
    with np.errstate(divide="ignore"):
        durations, transitions, first = np.log(weights), np.log(change), np.log(np.array([1.0, 0, 0]))
    lengths = np.exp(continued(durations, np.full(C, K), tail, np.ones(C, int), 400))
    label = np.zeros(N, int)
    for i in range(1, N):
        label[i] = rng.choice(C, p=change[label[i - 1]])
    drawn = [rng.choice(len(lengths), p=lengths[:, c] / lengths[:, c].sum(), size=N) for c in range(C)]
    end = np.cumsum(np.choose(label, drawn))
    begin = np.concatenate([[0], end[:-1]])
    truth = np.repeat(np.arange(N), end - begin)
    means = np.array([-0.8, 0.2, 0.9])
    signal = rng.normal(means[label[truth]], 1.0)
    emissions = -0.5 * (signal[:, None] - means) ** 2
    e, d, a, lam, pi = map(torch.from_numpy, (emissions, durations, transitions, tail, first))
    potentials = Potentials(e, d, a, tail=lam, first=pi, right="censored")
    smoother = smoother_of(potentials)

    position = np.concatenate([part.position for part in smoother.parts(Wanted())])
    best = position.argmax(1)
    cuts = np.concatenate([[0], np.flatnonzero(best[1:] != best[:-1]) + 1, [len(best)]])
    starts, ends = cuts[:-1], cuts[1:]
    for concepts in (np.arange(C), np.array([0, 1, 1])):
        found = describe(smoother, Request(starts, ends, best[starts], concepts, 0.8))
        true = truth[(starts + ends - 1) // 2]
        right = concepts[label[true]] == concepts[best[starts]]
        assert right.sum() > 8_000
        for law_of, low, high, mass in ((begin, *found[4:7]), (end, *found[7:10])):
            covered = (low <= law_of[true]) & (law_of[true] <= high)
            assert abs(covered[right].mean() - mass[right].mean()) < 0.01
