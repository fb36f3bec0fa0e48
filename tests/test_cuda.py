"""Tensors on a GPU are taken, and what comes back is on the GPU too; the work is the CPU's until there are kernels."""

import pytest
import torch
from larger import larger

from semiseg import kernels
from semiseg.kernels.devices import moved, say_once

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    pytest.mark.filterwarnings("ignore:semiseg. no kernels for cuda"),
]


@pytest.mark.parametrize("seed", range(4))
def test_results_are_those_of_the_cpu(seed):
    p = larger(seed)
    q = moved(p, "cuda")
    q.emissions.requires_grad_()
    p.emissions.requires_grad_()
    for x in (p, q):
        kernels.log_partition(x).backward()
    assert q.emissions.grad.device.type == "cuda"
    torch.testing.assert_close(q.emissions.grad.cpu(), p.emissions.grad)
    best, there = kernels.viterbi(p), kernels.viterbi(q)
    assert torch.equal(best.segments.start, there.segments.start.cpu())
    assert there.score.device.type == there.segments.start.device.type == "cuda"
    got = kernels.marginals(q, segments=there.segments)
    want = kernels.marginals(p, segments=best.segments)
    torch.testing.assert_close(got.position.cpu(), want.position)
    torch.testing.assert_close(got.calls.segment.cpu(), want.calls.segment)
    assert torch.isfinite(kernels.entropy(q)).all()
    assert len(kernels.sample(q, 2)) == 2


def test_it_is_said_once():
    say_once.cache_clear()
    with pytest.warns(UserWarning, match="computed on the CPU"):
        kernels.viterbi(moved(larger(0), "cuda"))
