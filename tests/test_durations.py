"""Duration laws: distributions with their tails, differentiable, and as long as what they must cover."""

import pytest
import torch

from semiseg.durations import FAMILIES, Given, family, tabulate
from semiseg.errors import SemisegError
from semiseg.kernels import Potentials, log_partition, viterbi

EVERY = pytest.mark.parametrize("name", FAMILIES)
SHAPED = pytest.mark.parametrize("name", [name for name in FAMILIES if name != "uniform"])  # has a tail to learn only
WIDE = pytest.mark.parametrize("name", [name for name in FAMILIES if name != "poisson"])  # ends as steeply as it goes


def mass(law) -> float:
    x, tail = (y.detach() for y in law())
    return float(x.exp().sum() + x[-1].exp() * tail.exp() / -torch.expm1(tail))


@EVERY
@pytest.mark.parametrize(("longest", "shortest"), [(2, 1), (60, 1), (500, 30)])
def test_a_law_sums_to_one_with_its_tail(name, longest, shortest):
    law = family(name, longest, shortest)
    with torch.no_grad():
        for parameter in law.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    assert mass(law) == pytest.approx(1, abs=1e-12)
    x, tail = (y.detach() for y in law())
    assert bool((x[: shortest - 1] == -torch.inf).all())
    assert float(tail) < 0


@EVERY
def test_gradients_are_finite_and_right(name):
    law = family(name, 40, 3)
    names, values = zip(*law.named_parameters(), strict=True)

    def weighed(*given):
        x, tail = torch.func.functional_call(law, dict(zip(names, given, strict=True)))
        return x[2:] @ torch.linspace(-1, 1, 38, dtype=torch.float64) + tail

    assert torch.autograd.gradcheck(weighed, tuple(v.detach().clone().requires_grad_() for v in values))


@SHAPED
def test_a_law_learns_lengths(name):
    """Maximum likelihood finds the mean of what it is shown."""
    torch.manual_seed(0)
    seen = torch.distributions.LogNormal(4.0, 0.4).sample((4000,)).round().long().clamp(1, 300)
    law = family(name, 300)
    optimiser = torch.optim.Adam(law.parameters(), lr=0.05)
    for _ in range(300):
        optimiser.zero_grad()
        loss = -law()[0][seen - 1].mean()
        loss.backward()
        optimiser.step()
    x, _ = law()
    mean = float((x.detach().exp() * law.lengths).sum())
    assert mean == pytest.approx(float(seen.double().mean()), rel=0.1)


@EVERY
@pytest.mark.parametrize("tail", [True, False])
def test_laws_side_by_side_are_laws(name, tail):
    together, alone = family(name, 40, 3, labels=2, tail=tail), [family(name, 40, 3, tail=tail) for _ in range(2)]
    with torch.no_grad():
        for key, x in together.named_parameters():
            x += 0.3 * torch.randn_like(x)
            for c, law in enumerate(alone):
                law.get_parameter(key).copy_(x[..., c])
    for mine, theirs in zip(tabulate([together]), tabulate(alone), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-12)
    if list(together.parameters()):
        together()[0][2:].sum().backward()
    assert all(bool(x.grad.isfinite().all()) for x in together.parameters())


@pytest.mark.parametrize("name", [name for name in FAMILIES if name not in ("uniform", "free")])
def test_a_law_around_a_mean(name):
    law = family(name, 200, labels=3)
    with torch.no_grad():
        law.around(torch.tensor([2.0, 10.0, 30.0], dtype=torch.float64))
    mean = (law()[0].detach().exp() * law.lengths).sum(0)
    torch.testing.assert_close(mean, mean.new_tensor([2.0, 10.0, 30.0]), rtol=0.35, atol=0)


def test_a_function_is_a_law():
    def peaked(k):
        return -((k[:, None] - k.new_tensor([5.0, 9.0])) ** 2)

    law = Given(20, labels=2, function=peaked)
    assert law()[0].argmax(0).tolist() == [4, 8]
    assert Given(20, labels=2, function=torch.neg)()[0].shape == (20, 2)
    with pytest.raises(SemisegError, match=r"return a tensor \(20,\) or \(20, 3\), got \(20, 2\)"):
        Given(20, labels=3, function=peaked)()


def test_the_tail_goes_on_as_the_family_ends():
    law = family("negative-binomial", 200, mean=60.0)
    longer = family("negative-binomial", 201, mean=60.0)
    x, tail = (y.detach() for y in law())
    y = longer()[0].detach()
    assert float(x[-1] + tail) == pytest.approx(float(y[-1]), abs=0.01)


@pytest.mark.parametrize("longest", [20, 60, 200, 1000])  # before, at and behind the peak
def test_a_lognormal_tail_is_as_long_as_what_it_stands_for(longest):
    seen = torch.distributions.LogNormal(4.0, 0.5).sample((2_000_000,))
    beyond = seen[seen > longest] - longest
    tail = family("lognormal", longest, mean=4.0, deviation=0.5)()[1].detach()
    if len(beyond) > 1000:
        assert float(1 / -torch.expm1(tail)) == pytest.approx(float(beyond.mean()), rel=0.1)
    else:
        assert -1 < float(tail) < -1e-3


def test_laws_side_by_side_are_potentials():
    laws = [family("lognormal", 50), family("free", 20, 5), family("spline", 30)]
    table = tabulate(laws)
    assert table.durations.shape == (51, 3)
    assert table.longest.tolist() == [50, 20, 30]
    emissions = torch.randn(100, 3, generator=torch.Generator().manual_seed(0))
    p = Potentials(
        emissions, table.durations, torch.zeros(3, 3), table.longest, table.tail, left="censored", right="censored"
    )
    log_partition(p).backward()
    assert all(bool(x.grad.isfinite().all()) for law in laws for x in law.parameters())


@WIDE
def test_lengths_far_beyond_the_explicit_ones(name):
    """A segment of 12,000 positions between short ones, though a law lists 300 lengths."""
    laws = [family(name, 300), family(name, 300)]
    table = tabulate(laws)
    T, begin, end = 13_000, 500, 12_500
    emissions = torch.zeros(T, 2)
    emissions[:begin, 0] = emissions[end:, 0] = emissions[begin:end, 1] = 2.0
    p = Potentials(emissions, table.durations.detach(), torch.zeros(2, 2).fill_diagonal_(-torch.inf), table.longest,
                   table.tail.detach())  # fmt: skip
    assert viterbi(p).segments.start.tolist() == [0, begin, end]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("weibull", 10), "expected one of lognormal, gamma, .*, free, got 'weibull'"),
        (("spline", 10, 10), "expected 1 <= shortest < longest, got 10 and 10"),
        (("free", 10, 0), "expected 1 <= shortest < longest, got 0 and 10"),
    ],
)
def test_what_is_no_law(arguments, message):
    with pytest.raises(SemisegError, match=message):
        family(*arguments)
