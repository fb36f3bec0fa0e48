"""Gradients in the ways a training loop takes them: twice, in half precision, compiled, and across processes."""

import cases
import pytest
import torch
from fresh import exit_code, start
from replicas import Head, replica
from tolerances import EXACT

from semiseg import kernels
from semiseg.kernels.potentials import Boundary, Potentials

PLAIN = [
    pytest.param(c.potentials, id=c.name)
    for c in list(cases.grid())[::5]
    if c.potentials.left == c.potentials.right == "exact"
]
LEAVES = ("emissions", "durations", "transitions", "tail", "first", "last")


def finite(x):
    """Return scores with something finite where a score is forbidden, to be masked again inside."""
    return x.nan_to_num(neginf=0.0).clone().requires_grad_()


@pytest.mark.parametrize("potentials", PLAIN)
def test_gradcheck_once_and_twice(potentials):
    names = [name for name in LEAVES if getattr(potentials, name) is not None]
    original = [getattr(potentials, name) for name in names] + [b.scores for b in potentials.boundaries]

    def of(*tensors):
        masked = [torch.where(torch.isfinite(x), t, x) for t, x in zip(tensors, original, strict=True)]
        scores = masked[len(names) :]
        boundaries = tuple(b._replace(scores=t) for b, t in zip(potentials.boundaries, scores, strict=True))
        moved = dict(zip(names, masked, strict=False))
        return kernels.log_partition(potentials._replace(**moved, boundaries=boundaries))

    inputs = tuple(finite(x) for x in original)
    assert torch.autograd.gradcheck(of, inputs)
    assert torch.autograd.gradgradcheck(of, inputs, atol=1e-5)


def censored(theta, tail):
    """Return a small model with both edges censored whose laws are normalised in every parameter."""
    law = torch.cat([theta, tail[None]], 0)  # lengths 1..3 and all that are longer
    law = torch.log_softmax(law, 0)
    lam = -torch.nn.functional.softplus(tail)
    # the tail's mass is D[3] * e^lam / (1 - e^lam)
    longer = law[3] + torch.log1p(-torch.exp(lam)) - lam
    whole = torch.stack([torch.zeros_like(lam), law[0], law[1], longer])
    whole = whole - torch.log(torch.exp(whole[1:]).sum(0) + torch.exp(whole[3] + lam) / (1 - torch.exp(lam)))
    torch.manual_seed(3)
    wide = torch.float64
    return Potentials(
        torch.randn(5, 2, dtype=wide),
        whole,
        torch.randn(3, 2, 2, dtype=wide),
        tail=lam,
        boundaries=(Boundary(torch.randn(6, 2, dtype=wide), torch.tensor([[0, 1], [1, -1]])),),
        first=torch.randn(3, 2, dtype=wide),
        left="censored",
        right="censored",
    )


def test_gradcheck_through_survival():
    torch.manual_seed(0)
    theta = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    tail = torch.randn(2, dtype=torch.float64, requires_grad=True)
    of = lambda a, b: kernels.log_partition(censored(a, b))  # noqa: E731
    assert torch.autograd.gradcheck(of, (theta, tail))
    assert torch.autograd.gradgradcheck(of, (theta, tail), atol=1e-5)
    assert torch.autograd.gradcheck(lambda a, b: kernels.entropy(censored(a, b)), (theta, tail), atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast(dtype):
    torch.manual_seed(0)
    head, x = Head(), torch.randn(2, 30, 5)
    with torch.autocast("cpu", dtype=dtype):
        emissions = head.encoder(x)
        z = kernels.log_partition(Potentials(emissions, head.durations, head.transitions)).sum()
    z.backward()
    assert emissions.dtype == dtype
    wide = kernels.log_partition(Potentials(emissions.double(), head.durations, head.transitions)).sum()
    assert z.item() == pytest.approx(wide.item(), abs=EXACT)
    assert torch.isfinite(head.encoder.weight.grad).all()
    got = kernels.marginals(Potentials(emissions.detach(), head.durations, head.transitions))
    assert got.start.dtype == torch.float32


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # torch's own, where it leaves the graph
def test_inside_torch_compile():
    torch.manual_seed(0)
    head, x = Head(), torch.randn(2, 20, 5)
    want = torch.autograd.grad(head(x), tuple(head.parameters()))
    compiled = torch.compile(head, backend="aot_eager")
    got = torch.autograd.grad(compiled(x), tuple(head.parameters()))
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b)


def test_distributed_data_parallel(tmp_path):
    ranks = [start(replica, rank, str(tmp_path / "store"), str(tmp_path / "out")) for rank in range(2)]
    assert [exit_code(process) for process in ranks] == [0, 0]
    torch.manual_seed(0)
    head, x = Head(), torch.randn(4, 20, 5)
    want = torch.autograd.grad(head(x), tuple(head.parameters()))
    for got, one in zip(torch.load(tmp_path / "out", weights_only=True), want, strict=True):
        torch.testing.assert_close(got, one / 2, rtol=1e-4, atol=1e-5)
