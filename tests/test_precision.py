"""Long sequences: float64 against plain loops, float32 against float64. Longer ones: `bench/precision.py`."""

import numpy as np
import pytest
import torch
from tolerances import CHUNKED, EXACT, POSTERIOR, log_partition

from semiseg import kernels
from semiseg.kernels import Potentials
from semiseg.kernels.naive import naive_passes
from semiseg.kernels.resolve import resolve, sequence

K = 40
NAMES = ("start", "end", "position")


def model(T: int, C: int, mean: float, dtype: torch.dtype) -> Potentials:
    """Labels that last 27, 20 and 16 positions on average, with means of +m, -m and +m nats and noise of one nat.

    The maximum of each position is taken off; emissions are rounded to float32 whatever the dtype.
    """
    rng = np.random.default_rng(C)
    k = np.arange(1, K + 1)[:, None]
    durations = np.full((K + 1, C), -np.inf)
    durations[1:] = np.log(k) - k / (K / np.arange(3, 3 + C))
    durations -= np.logaddexp.reduce(durations)
    e = rng.standard_normal((T, C), dtype=np.float32)
    e += np.float32(mean) * np.where(np.arange(C) % 2 == 0, 1, -1).astype(np.float32)
    e -= e.max(1, keepdims=True)
    change = np.log(rng.dirichlet(np.ones(C), C))
    return Potentials(torch.from_numpy(e).to(dtype), torch.from_numpy(durations), torch.from_numpy(change))


@pytest.mark.parametrize("C", [2, 3])
@pytest.mark.parametrize("mean", [0.01, 1.0, 5.0])
def test_float64_equals_plain_loops(mean, C):
    potentials = model(10_000, C, mean, torch.float64)
    alpha, h, beta, f, _, z = naive_passes(sequence(*resolve(potentials), 0))
    start, end = np.exp(h + f - z), np.exp(alpha + beta - z)
    want = {"start": start, "end": end, "position": np.cumsum(start - end, 0)[:-1]}
    for chunks, atol in ((1, EXACT), (4, CHUNKED)):
        found = kernels.marginals(potentials, chunks=chunks)
        assert found.log_partition.item() == pytest.approx(z, rel=1e-12 if chunks == 1 else EXACT)
        for name in NAMES:
            np.testing.assert_allclose(getattr(found, name), want[name], atol=atol, err_msg=name)


@pytest.mark.parametrize("T", [10_000, 1_000_000])
@pytest.mark.parametrize("mean", [0.01, 1.0, 5.0])
def test_float32_against_float64(mean, T):
    """The same values in both; float32 is the dtype of what comes in and goes out, the recursion knows float64 only."""
    want, got = (kernels.marginals(model(T, 2, mean, dtype)) for dtype in (torch.float64, torch.float32))
    assert abs(got.log_partition.item() - want.log_partition.item()) <= log_partition(T)
    for name in NAMES:
        assert getattr(got, name).dtype == torch.float32
        assert (getattr(got, name) - getattr(want, name)).abs().max() <= POSTERIOR, name
