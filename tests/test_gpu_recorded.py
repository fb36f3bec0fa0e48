"""Operations that come again are recorded and played: the same bits, whatever numbers come in.

Without a GPU a recording is played by doing the work again on the recording's own memory: what it forgets to copy, and
what a kind fails to tell apart, shows there too.
"""

import gc
import weakref

import pytest
import torch
from cases import grid
from larger import larger
from models import informative
from where import DEVICE, ON_GPU

pytest.importorskip("triton")

from semiseg.kernels import autograd
from semiseg.kernels.autograd import log_partition_of
from semiseg.kernels.devices import moved
from semiseg.kernels.gpu import batch, recorded, seen, steps
from semiseg.kernels.gpu.recorded import Kinds
from semiseg.kernels.gpu.seen import HOW, scores_of
from semiseg.kernels.gpu.steps import play
from semiseg.kernels.potentials import Boundary, Potentials
from semiseg.kernels.resolve import resolve

pytestmark = [pytest.mark.filterwarnings("ignore::RuntimeWarning:triton.runtime.interpreter")]
if ON_GPU:
    pytestmark.append(pytest.mark.gpu)
SECOND = 2  # steps that are alike: then it is recorded
ALL = ("emissions", "durations", "transitions", "tail", "first", "last")


def again(work):
    """Record work that is simply done again."""
    outputs = work()

    def play() -> None:
        for mine, new in zip(outputs, work(), strict=True):
            assert (mine is None) == (new is None)
            if mine is not None:
                mine.copy_(new)

    return play, outputs


@pytest.fixture
def kinds(monkeypatch) -> Kinds:
    """Recordings of this test's own; where there is no GPU, of work on the CPU."""
    found = Kinds(recorded.graph if ON_GPU else again)
    monkeypatch.setattr(steps, "KINDS", found)
    monkeypatch.setattr(steps, "OFTEN", SECOND)
    if not ON_GPU:  # the usual way is that of a GPU too
        monkeypatch.setattr(autograd, "backend", lambda device: batch)
    return found


def ragged() -> Potentials:
    """Two sequences, with boundary scores."""
    p = informative(10, 2, 4, seed=0)
    p = p._replace(emissions=p.emissions.reshape(2, 5, 2))
    maps = (Boundary(torch.randn(2, 6, 2, dtype=torch.float64), torch.tensor([[0, 1]] * 2)),)
    return p._replace(lengths=torch.tensor([5, 4]), boundaries=maps, first=torch.tensor([[0.3, -0.2]]))


def alone() -> Potentials:
    """One sequence without a batch axis, float32, forbidden changes, no tail."""
    p = informative(9, 3, 5, seed=1)
    change = p.transitions.clone().fill_diagonal_(-torch.inf)
    return p._replace(emissions=p.emissions.float(), transitions=change, tail=None, last=torch.zeros(3))


def shaken(p: Potentials, seed: int) -> Potentials:
    """Return potentials whose finite numbers are others."""
    draw = torch.Generator().manual_seed(seed)
    other = lambda x: x + 0.1 * torch.rand(x.shape, generator=draw, dtype=x.dtype) * (x > -torch.inf)  # noqa: E731
    fields = {name: None if (x := getattr(p, name)) is None else other(x) for name in ALL}
    return p._replace(**fields, boundaries=tuple(b._replace(scores=other(b.scores)) for b in p.boundaries))


def learning(p: Potentials) -> Potentials:
    """Return potentials on the device, all of which learns."""
    leaf = lambda x: None if x is None else x.to(DEVICE).requires_grad_()  # noqa: E731
    fields = {name: leaf(getattr(p, name)) for name in ALL}
    return p._replace(**fields, boundaries=tuple(b._replace(scores=leaf(b.scores)) for b in p.boundaries))


def step(p: Potentials, z: torch.Tensor) -> list[torch.Tensor]:
    """Return log partitions, and the gradients of their weighed sum."""
    weight = torch.arange(1.0, 1 + z.numel(), dtype=z.dtype, device=z.device).view(z.shape)
    return [z.detach(), *torch.autograd.grad((z * weight).sum(), scores_of(p))]


def plainly(p: Potentials) -> list[torch.Tensor]:
    """Return a step the usual way."""
    return step(p, log_partition_of(p, HOW))


def same(got: list[torch.Tensor], want: list[torch.Tensor]) -> None:
    assert len(got) == len(want)
    for mine, theirs in zip(got, want, strict=True):
        assert mine.dtype == theirs.dtype
        assert torch.equal(mine, theirs)


def held(kinds: Kinds) -> int:
    return sum(kind.step is not None for kind in kinds.known.values())


CASES = {"ragged": ragged, "alone": alone}
if ON_GPU:
    CASES |= {f"larger-{seed}": lambda seed=seed: larger(seed) for seed in (0, 4, 8)}
    CASES |= {n: lambda p=p: p for n, p in grid() if p.left == p.right == "exact" and not p.transitions_by_duration}


@pytest.mark.parametrize("name", CASES)
def test_a_step_has_the_same_bits_whatever_comes_in(name, kinds):
    p = CASES[name]()
    kept = []
    for n in range(SECOND + 2):
        other = learning(shaken(p, n))
        z = play("log_partition", other, patient=False)
        assert (z is None) == (n < SECOND - 1)
        if z is not None:
            got = step(other, z)
            same(got, plainly(other))
            kept.append((got, [x.clone() for x in got]))
    assert held(kinds) == len(kinds.known) == 1
    for got, before in kept:  # what was handed out stays as it is
        same(got, before)


def test_the_way_back_is_of_its_own_step(kinds):
    """Steps may be asked for one after the other, and go back later."""
    those = [learning(shaken(ragged(), n)) for n in range(SECOND + 1)]
    each = [play("log_partition", p, patient=False) for p in those]
    for p, z in list(zip(those, each, strict=True))[SECOND - 1 :]:
        same(step(p, z), plainly(p))


@pytest.mark.filterwarnings("ignore:semiseg. no kernels for second derivatives")
def test_a_gradient_is_differentiable(kinds):
    p = alone()
    p = p._replace(emissions=p.emissions.double())
    for _ in range(SECOND):
        mine = learning(p)
        z = play("log_partition", mine, patient=False)
    found = []
    for value in (z, log_partition_of(mine, HOW)):
        (gradient,) = torch.autograd.grad(value, mine.emissions, create_graph=True)
        found.append(torch.autograd.grad(gradient.square().sum(), mine.durations)[0])
    assert torch.allclose(*found, rtol=1e-9, atol=1e-12)
    assert bool(found[0].any())


@pytest.mark.parametrize("name", CASES)
def test_a_path_has_the_same_bits_whatever_comes_in(name, kinds):
    p = CASES[name]()
    for n in range(SECOND + 2):
        other = moved(shaken(p, n), DEVICE)
        best = play("viterbi", other, patient=False)
        assert (best is None) == (n < SECOND - 1)
        if best is not None:
            leaves, layout = resolve(other)
            score, segments, _ = batch.viterbi(leaves, layout, HOW)
            same([best.score, *best.segments], [score if layout.batched else score[0], *segments])
    assert held(kinds) == 1


@pytest.mark.filterwarnings("ignore:semiseg. no kernels for second derivatives")
def test_a_gradient_is_differentiable_where_scores_share_a_tensor(kinds):
    p = alone()._replace(first=None, last=None)
    p = p._replace(emissions=p.emissions.double())
    for _ in range(SECOND):
        mine = learning(p)
        t = torch.tensor([0.1, -0.3, 0.2], dtype=torch.float64, device=DEVICE, requires_grad=True)
        mine = mine._replace(first=t, last=t)
        z = play("log_partition", mine, patient=False)
    found = []
    for value in (z, log_partition_of(mine, HOW)):
        (gradient,) = torch.autograd.grad(value, t, create_graph=True)
        found.append(torch.stack([gradient, *torch.autograd.grad(gradient.square().sum(), t)]))
    assert torch.allclose(*found, rtol=1e-9, atol=1e-12)


def test_the_users_tensors_are_let_go_and_may_change(kinds):
    lengths = torch.tensor([5, 4])
    for n in range(SECOND):
        mine = learning(shaken(ragged(), n))._replace(lengths=lengths)
        emissions = mine.emissions * 1.0
        z = play("log_partition", mine._replace(emissions=emissions), patient=False)
    gone = weakref.ref(emissions)
    del emissions, z
    gc.collect()
    assert gone() is None
    lengths[:] = torch.tensor([2, 3])
    mine = learning(ragged())._replace(lengths=torch.tensor([5, 4]))
    same(step(mine, play("log_partition", mine, patient=False)), plainly(mine))


def test_what_was_found_may_be_changed(kinds):
    for _ in range(SECOND):
        mine = learning(alone())
        z = play("log_partition", mine, patient=False)
    z += 1
    assert torch.equal(
        torch.autograd.grad(z, mine.last)[0], torch.autograd.grad(log_partition_of(mine, HOW), mine.last)[0]
    )


def test_what_is_done_again_goes_the_usual_way(kinds):
    """`torch.utils.checkpoint` must find the same saved both times."""
    for _ in range(2 * SECOND):
        mine = learning(alone())
        with torch.autograd.graph.saved_tensors_hooks(lambda x: x, lambda x: x):
            assert play("log_partition", mine, patient=False) is None


def test_too_many_kinds_are_recorded_ever_more_seldom(kinds):
    made = []
    for _ in range(4):
        before = sum(kinds.made.values())
        for T in range(2, recorded.FEW + 3):
            p = moved(informative(T, 1, 2, seed=0), DEVICE)
            for _ in range(SECOND):
                play("log_partition", p, patient=False)
        made.append(sum(kinds.made.values()) - before)
    assert made == [recorded.FEW + 1, 0, 0, 0]


def test_log_partitions_alone(kinds):
    for n in range(SECOND + 1):
        p = moved(shaken(ragged(), n), DEVICE)
        z = play("log_partition", p, patient=False)
    assert z is not None
    assert not z.requires_grad
    assert torch.equal(z, log_partition_of(p, HOW))


def spoiled(p: Potentials) -> dict[str, Potentials]:
    """Return potentials of the same kind that a recording of `p` is not for."""
    nan = p.emissions.clone()
    nan.view(-1)[3] = torch.nan
    cut, tail, law = p.emissions.clone(), p.tail.clone(), p.durations.clone()
    cut.view(-1)[3] = tail[0] = law[2, 1] = -torch.inf
    high = p.transitions.clone()
    high[..., 0, 0] = torch.inf
    barred = p.transitions.clone()
    barred[..., 0, 0] = -torch.inf
    return {
        "change": p._replace(transitions=barred),
        "nan": p._replace(emissions=nan),
        "inf": p._replace(transitions=high),
        "cut": p._replace(emissions=cut),
        "tail": p._replace(tail=tail),
        "law": p._replace(durations=law),
        "large": p._replace(emissions=p.emissions * 1e14),
        "wide": p._replace(emissions=p.emissions - 2e4),
    }


@pytest.mark.parametrize("operation", ["viterbi", "log_partition"])
@pytest.mark.parametrize("name", ["nan", "inf", "cut", "change", "tail", "law", "large", "wide", "none"])
def test_what_it_is_not_for_goes_the_usual_way(name, operation, kinds):
    p = ragged()._replace(tail=torch.full((2,), -0.5, dtype=torch.float64))
    for _ in range(SECOND):
        found = play(operation, moved(p, DEVICE), patient=False)
    assert found is not None
    if name == "none":  # a batch without any segmentation
        other = p._replace(durations=p.durations.clone().fill_(-torch.inf), tail=torch.full_like(p.tail, -torch.inf))
    else:
        other = spoiled(p)[name]
    found = play(operation, moved(other, DEVICE), patient=False)
    fits = name == "wide" and operation == "log_partition"
    assert (found is None) != fits
    assert held(kinds) == fits
    (kind,) = kinds.known.values()
    assert kind.failures == (not fits)


def test_a_kind_that_may_be_cut_is_recorded_for_both(kinds):
    p = ragged()
    cut = p.emissions.clone()
    cut[0, 2, 0] = -torch.inf
    for _ in range(SECOND):
        play("log_partition", moved(p, DEVICE), patient=False)
    for n in range(2 * SECOND + 2):
        z = play("log_partition", moved(p._replace(emissions=cut) if n % 2 == 0 else p, DEVICE), patient=False)
        # it fails once; twice more, and it is recorded with cuts
        assert (z is None) == (n < SECOND)
    (kind,) = kinds.known.values()
    assert (kind.failures, kind.forbidden) == (1, (True, False))


def test_a_kind_that_is_two_is_given_up(kinds):
    p = ragged()._replace(tail=torch.full((2,), -0.5, dtype=torch.float64))
    other = spoiled(p)["law"]
    for n in range(20):
        play("log_partition", moved((p, other)[n // SECOND % 2], DEVICE), patient=False)
    (kind,) = kinds.known.values()
    assert kind.step is None
    assert kind.failures == recorded.FAILURES + 1


@pytest.mark.parametrize("device", ["cpu", DEVICE])
def test_integers_count_wherever_they_are(device, kinds):
    """On the host they tell kinds apart; on the device they are looked at."""
    p = moved(ragged(), DEVICE)
    one, two = (p._replace(lengths=torch.tensor(n, device=device)) for n in ([5, 4], [4, 5]))
    for _ in range(SECOND):
        play("log_partition", one, patient=False)
    assert play("log_partition", two, patient=False) is None
    assert len(kinds.known) == (2 if device == "cpu" or not ON_GPU else 1)


def test_kinds_are_told_apart():
    p = larger(4, 9, 3, 4)
    p = p._replace(left="exact", right="exact")
    kind = lambda p: seen.kind_of("viterbi", moved(p, DEVICE))  # noqa: E731
    assert kind(p) == kind(shaken(p, 0))
    others = [
        p,
        p._replace(emissions=p.emissions.float()),
        p._replace(origin=p.origin + 1),
        p._replace(left="censored"),
        p._replace(tail=None),
        p._replace(emissions=p.emissions.clone().requires_grad_()),
        p._replace(boundaries=()),
    ]
    assert len(set(map(kind, others))) == len(others)


@pytest.mark.parametrize("name", ["censored", "long", "by duration", "inference"])
def test_what_is_not_recorded(name, kinds):
    p = ragged()
    if name == "censored":
        p = p._replace(left="censored", durations=p.durations.log_softmax(0), tail=None)
    if name == "long":
        p = informative(1 << 15, 2, 4, seed=0)
    if name == "by duration":
        p = p._replace(transitions=p.transitions.expand(5, 2, 2), transitions_by_duration=True)
    p = moved(p, DEVICE)
    with torch.inference_mode(name == "inference"):
        for _ in range(SECOND + 1):
            assert play("viterbi", p, patient=False) is None
    assert held(kinds) == 0


def test_few_are_remembered(kinds):
    for _ in range(SECOND):
        for T in range(2, recorded.FEW + 3):
            assert play("viterbi", moved(informative(T, 2, 3, seed=0), DEVICE), patient=False) is None
    assert len(kinds.known) == recorded.FEW


def test_what_a_cpu_does_meanwhile_is_recorded_later(kinds):
    p = moved(alone(), DEVICE)
    found = [play("viterbi", p, patient=True) for _ in range(steps.VERY_OFTEN)]
    assert [x is None for x in found] == [True] * (steps.VERY_OFTEN - 1) + [False]


def test_what_cannot_be_recorded_is_done(kinds):
    def never(work):
        raise torch.OutOfMemoryError("no room")

    kinds.record = never
    for _ in range(SECOND + 2):
        assert play("viterbi", moved(alone(), DEVICE), patient=False) is None
    assert held(kinds) == 0
