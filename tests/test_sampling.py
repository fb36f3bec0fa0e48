"""Posterior samples: as often as enumeration says, the same whatever the schedule."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import enumeration
import numpy as np
import pytest
from cases import grid, ragged
from larger import forced_cycle, larger, long_tail

from semiseg.kernels.cpu.sample import sample_item
from semiseg.kernels.naive import naive_marginals
from semiseg.kernels.plan import Plan
from semiseg.kernels.resolve import resolve, sequence

POOL = ThreadPoolExecutor(2)
N = 100_000
LARGE = {f"{seed}": larger(seed, 150 + 10 * seed, K=20) for seed in range(4)}


def paths(samples):
    return [tuple(zip(*(v.tolist() for v in sample), strict=True)) for sample in samples]


@pytest.mark.parametrize(
    "potentials", [pytest.param(p, id=n) for n, p in [*grid(), *ragged()][::4] if not p.transitions_by_duration]
)
def test_frequencies_equal_enumeration(potentials):
    item = 0 if potentials.lengths is None else len(potentials.lengths) - 1
    x = sequence(*resolve(potentials), item)
    T = len(x.emissions)
    case = enumeration.from_potentials(potentials, item)
    exact = enumeration.probabilities(enumeration.enumerate_segmentations(case))
    counts = Counter(paths(sample_item(x, N, 7, Plan(min(T, 2), 1, 2, 1, bool(T % 2), 0), POOL)))
    assert sum(counts.values()) == N
    assert counts.keys() <= exact.keys()
    # a normal approximation needs counts; the rest is pooled
    often = {path: p for path, p in exact.items() if N * p >= 500}
    pairs = [(counts[path], p) for path, p in often.items()]
    pairs.append((N - sum(count for count, _ in pairs), max(0.0, 1 - sum(often.values()))))
    for count, p in pairs:
        assert abs(count - N * p) <= 4 * np.sqrt(N * p * (1 - min(p, 1))) + 1e-6 * N


@pytest.mark.parametrize("name", LARGE)
def test_starts_equal_the_marginals(name):
    x = sequence(*resolve(LARGE[name]), 0)
    T = len(x.emissions)
    position = naive_marginals(LARGE[name]).position
    seen = np.zeros_like(position)
    n = 4000
    for starts, ends, labels in sample_item(x, n, 3, Plan(3, 50, 40, 10, False, 0), POOL):
        for s, t, c in zip(starts, ends, labels, strict=True):
            seen[s:t, c] += 1
    z = (seen - n * position) / np.sqrt(n * np.maximum(position * (1 - position), 25 / n))
    assert np.abs(z).max() < 5.5  # over some thousand cells
    assert seen.sum() == n * T


@pytest.mark.parametrize("name", [*LARGE, "tail", "cycle"])
def test_a_sample_depends_on_its_seed_and_number_only(name):
    p = {"tail": long_tail(400), "cycle": forced_cycle(300), **LARGE}[name]
    x = sequence(*resolve(p), 0)
    whole = paths(sample_item(x, 200, 11, Plan(1, 0, 500, 500, True, 0), POOL))
    assert paths(sample_item(x, 200, 11, Plan(5, 40, 16, 8, False, 0), ThreadPoolExecutor(1))) == whole
    assert paths(sample_item(x, 50, 11, Plan(2, 0, 64, 32, True, 0), POOL)) == whole[:50]
    assert name == "cycle" or paths(sample_item(x, 50, 12, Plan(2, 0, 64, 32, True, 0), POOL)) != whole[:50]
