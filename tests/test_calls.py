"""What the CPU path says about called segments: equal to the enumeration, to plain sums, and true on sampled data."""

import cases
import numpy as np
import pytest
import torch
from enumeration import Enumeration, enumerate_segmentations, from_potentials
from enumeration_calls import describe_call, shortest_interval

from semiseg.kernels.cpu.calls import Described, describe
from semiseg.kernels.cpu.marginals import Smoother
from semiseg.kernels.cpu.threads import pool
from semiseg.kernels.edges import edge_tables
from semiseg.kernels.naive import Passes, lengthen, naive_passes
from semiseg.kernels.plan import Plan, plan
from semiseg.kernels.potentials import Potentials
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
            T, C = case.emissions.shape
            segments = chosen_segments(everything, rng)
            starts, ends, labels = np.array(segments).T
            for concepts in (np.arange(C), np.array([0, 1, 0])[:C], np.full(C, 5)):
                level = float(rng.choice([0.5, 0.8, 0.95]))
                calls = [
                    describe_call(everything, s, set(np.flatnonzero(concepts == concepts[s[2]]).tolist()), level)
                    for s in segments
                ]
                choice = schedules(T)
                for schedule in (choice[0], choice[1 + rng.integers(len(choice) - 1)]):
                    smoother = smoother_of(potentials, item, schedule)
                    found = describe(smoother, starts, ends, labels, concepts, level)
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


def long_model(edges: tuple[str, str], period: int, weak: float) -> Potentials:
    """Label 1 covers 700..2200 through its tail; label 2 looks the same to the right of 1700."""
    rng = np.random.default_rng(period)
    T, K = 3000, 20
    durations = rng.normal(size=(K + 1, 3))
    tail = np.array([-0.2, -0.004 * period, -0.05])
    periods = np.array([1, period, 1])
    entering = np.array([np.exp(durations[K + 1 - p :, c]).sum() for c, p in enumerate(periods)])
    durations -= np.log(np.exp(durations[1:]).sum(0) + entering * np.exp(tail) / -np.expm1(tail))
    emissions = rng.normal(size=(T, 3)) * 0.2
    emissions[:700, 0] += weak
    emissions[700:2200, 1] += weak
    emissions[1700:2200, 2] += weak * 0.9
    emissions[2200:, 0] += weak
    transitions = np.log(np.array([[0.2, 0.5, 0.3], [0.6, 0.0001, 0.3999], [0.4, 0.3, 0.3]]))
    tensors = [torch.from_numpy(a) for a in (emissions, durations, transitions)]
    tails = {"tail": torch.from_numpy(tail), "period": torch.from_numpy(periods)}
    return Potentials(*tensors, **tails, left=edges[0], right=edges[1])  # type: ignore[arg-type]


@pytest.mark.parametrize("edges", [("exact", "exact"), ("censored", "censored")])
@pytest.mark.parametrize("period", [1, 3])
@pytest.mark.parametrize("weak", [0.2, 0.01])
def test_far_through_the_tail(edges, period, weak, monkeypatch):
    """Boundaries a thousand positions from the middle, many panels away, in models that know much and little."""
    be_exact(monkeypatch)
    potentials = long_model(edges, period, weak)
    x = sequence(*resolve(potentials), 0)
    T, passes = len(x.emissions), naive_passes(x)
    segments = np.array([[700, 2200, 1], [2100, 2300, 2], [5, 9, 0], [2990, 3000, 0], [0, T, 1]])
    concepts = np.array([0, 1, 1])
    expected = []
    for s, t, c in segments:
        begin, end = naive_laws(x, passes, (s + t - 1) // 2, np.flatnonzero(concepts == concepts[c]).tolist())
        expected.append((shortest_interval(begin, 0.9), shortest_interval(end, 0.9)))
    for schedule in (None, Plan(1, 0, 64, 64, False, 0), Plan(1, 0, 10, 10, True, 0), Plan(7, 200, 128, 64, False, 0)):
        found = describe(smoother_of(potentials, 0, schedule), *segments.T, concepts, 0.9)
        for i, (begin, end) in enumerate(expected):
            got = [f[i] for f in found[4:]]
            for a, b in ((got[:3], begin), (got[3:], end)):
                assert tuple(a[:2]) == b[:2] or min(abs(a[2] - 0.9), abs(b[2] - 0.9)) < EXACT, (schedule, i, a, b)
                assert a[2] == pytest.approx(b[2], abs=EXACT)
