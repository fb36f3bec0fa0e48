"""Work of a kind that comes again is recorded and played: the same bits, whatever numbers come in.

Without a GPU a recording is played by doing the work again on the recording's own memory: what it forgets to copy, and
what a kind fails to tell apart, shows there too.
"""

import pytest
import torch
from larger import larger
from models import informative
from where import DEVICE, ON_GPU

pytest.importorskip("triton")

from semiseg.kernels.cpu.batch import Options
from semiseg.kernels.devices import moved
from semiseg.kernels.gpu import batch, recorded
from semiseg.kernels.gpu.inputs import given
from semiseg.kernels.gpu.recorded import Outputs, Recording, Recordings, kind_of
from semiseg.kernels.potentials import Boundary, Potentials
from semiseg.kernels.resolve import Leaves, resolve

pytestmark = [pytest.mark.filterwarnings("ignore::RuntimeWarning:triton.runtime.interpreter")]
if ON_GPU:
    pytestmark.append(pytest.mark.gpu)
SECOND = 2  # steps that are alike: then it is recorded


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
def recordings(monkeypatch):
    """Recordings of this test's own; where there is no GPU, of work on the CPU too."""
    found = Recordings(recorded.graph if ON_GPU else again)
    monkeypatch.setattr(batch, "RECORDINGS", found)
    monkeypatch.setattr(recorded, "OFTEN", SECOND)
    if not ON_GPU:
        monkeypatch.setattr(batch, "worth_it", recorded.light)
    return found


def ragged() -> Potentials:
    """Two sequences, with boundary scores."""
    p = informative(10, 2, 4, seed=0)
    p = p._replace(emissions=p.emissions.reshape(2, 5, 2))
    maps = (Boundary(torch.randn(2, 6, 2, dtype=torch.float64), torch.tensor([[0, 1]] * 2)),)
    return p._replace(lengths=torch.tensor([5, 4]), boundaries=maps)


def shaken(p: Potentials, seed: int) -> Potentials:
    """Return potentials whose finite numbers are others."""
    draw = torch.Generator().manual_seed(seed)
    other = lambda x: x + 0.1 * torch.rand(x.shape, generator=draw, dtype=x.dtype) * (x > -torch.inf)  # noqa: E731
    fields = {name: getattr(p, name) for name in ("emissions", "durations", "transitions", "tail", "last")}
    maps = tuple(b._replace(scores=other(b.scores)) for b in p.boundaries)
    return p._replace(**{k: None if x is None else other(x) for k, x in fields.items()}, boundaries=maps)


def gradients(p: Potentials) -> list[torch.Tensor]:
    leaves, layout = resolve(moved(p, DEVICE))
    z, found = batch.gradients(leaves, layout, Options(), tuple(True for _ in Leaves._fields))
    return [x for x in (z, *found) if x is not None]


def plainly(p: Potentials) -> list[torch.Tensor]:
    """Return what they are when nothing is recorded."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch, "worth_it", lambda given: False)
        return gradients(p)


def same(got: list[torch.Tensor], want: list[torch.Tensor]) -> None:
    assert len(got) == len(want)
    for mine, theirs in zip(got, want, strict=True):
        assert torch.equal(mine, theirs)


def played(recordings: Recordings) -> int:
    return sum(isinstance(x, Recording) for x in recordings.known.values())


CASES = {"ragged": ragged}
if ON_GPU:
    CASES |= {f"larger-{seed}": lambda seed=seed: larger(seed) for seed in (0, 4, 8)}


@pytest.mark.parametrize("name", CASES)
def test_the_same_bits_whatever_comes_in(name, recordings):
    p = CASES[name]()
    kept = []
    for step in range(SECOND + 1):
        other = shaken(p, step)
        got = gradients(other)
        if step > 0:
            same(got, plainly(other))
        kept.append((got, [x.clone() for x in got]))
    assert played(recordings) == len(recordings.known) == 1
    for got, before in kept:  # what was handed out stays as it is
        same(got, before)


def kind(p: Potentials):
    return kind_of(given(*resolve(moved(p, DEVICE)), Options(), None))


def test_kinds_are_told_apart():
    p = larger(4, 9, 3, 4)
    assert kind(p) == kind(shaken(p, 0))
    others = [
        p,
        p._replace(emissions=p.emissions.float()),
        p._replace(origin=p.origin + 1),
        p._replace(emissions=torch.where(p.emissions < p.emissions.max(), p.emissions, -torch.inf)),
        p._replace(transitions=torch.where(torch.eye(3, dtype=torch.bool), -torch.inf, p.transitions)),
        p._replace(tail=torch.full_like(p.tail, -1.0)),
        p._replace(lengths=torch.tensor([8])),
    ]
    assert len(set(map(kind, others))) == len(others)


def outputs(x: torch.Tensor) -> Outputs:
    return x + 1, None


def test_few_are_remembered():
    mine = Recordings(again)
    x = torch.zeros(2)
    for kind in [*range(recorded.FEW + 1)] * (recorded.OFTEN + 1):
        assert torch.equal(mine.run(kind, (x,), (), outputs)[0], x + 1)
    assert len(mine.known) == recorded.FEW
    assert played(mine) == 0  # each was forgotten before it came again


def test_what_cannot_be_recorded_is_done():
    def never(work):
        raise torch.OutOfMemoryError("no room")

    mine = Recordings(never)
    for step in range(recorded.OFTEN + 2):
        got, nothing = mine.run("kind", (torch.full((2,), float(step)),), (), outputs)
        assert nothing is None
        assert torch.equal(got, torch.full((2,), step + 1.0))
    assert played(mine) == 0
