"""What has no kernels yet is the CPU's work: entropies, second derivatives; results are on the GPU."""

import pytest
import torch
from larger import larger
from planted_states import drawn, source
from tolerances import GPU

from semiseg import Constraints, SemiCRF, kernels
from semiseg.crf import Decoding, Posteriors
from semiseg.hsmm_fit import Settings, fit
from semiseg.kernels import devices
from semiseg.kernels.devices import moved, say_once
from semiseg.kernels.errors import OutOfMemoryError

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.fixture(autouse=True)
def on_kernels(monkeypatch):
    """However small the work; and nothing was said yet."""
    monkeypatch.setattr(devices, "quicker_here", lambda *given: False)
    say_once.cache_clear()
    yield
    say_once.cache_clear()


def close(got: torch.Tensor, want: torch.Tensor) -> None:
    assert got.device.type == "cuda"
    torch.testing.assert_close(got.cpu(), want)


def test_entropy():
    p = larger(1)
    with pytest.warns(UserWarning, match="no kernels for entropy on cuda") as said:
        got = [kernels.entropy(moved(p, "cuda")) for _ in range(2)][1]
    assert len(said) == 1
    close(got, kernels.entropy(p))


def second_derivative(p, device: str) -> torch.Tensor:
    """Return the Hessian of log Z times the square of the emissions."""
    e = p.emissions.to(device).requires_grad_()
    z = kernels.log_partition(moved(p, device)._replace(emissions=e))
    (first,) = torch.autograd.grad(z, e, create_graph=True)
    alive = e.detach() > -torch.inf
    (second,) = torch.autograd.grad((torch.where(alive, first, 0) * torch.where(alive, e.detach() ** 2, 0)).sum(), e)
    return second


def test_second_derivatives():
    p = larger(2, 200)
    want = second_derivative(p, "cpu")
    with pytest.warns(UserWarning, match="no kernels for second derivatives on cuda") as said:
        got = [second_derivative(p, "cuda") for _ in range(2)][1]
    assert len(said) == 1
    close(got, want)


def constrained(device: str) -> tuple[Decoding, Posteriors]:
    """Return what a layer makes of sequences in which a segment, a boundary and labels are given."""
    torch.manual_seed(0)
    layer, hidden = SemiCRF(labels=3, max_duration=8, hidden=5).to(device), torch.randn(2, 60, 5).to(device)
    rules = Constraints().segment(10, 16, 1).boundary(20, 24).no_label(30, 35, [0])
    return layer.decode(hidden, constraints=rules), layer.marginals(hidden, constraints=rules)


@pytest.mark.filterwarnings("ignore:semiseg. no kernels for entropy")
def test_constraints():
    (best, found), (best_there, found_there) = constrained("cpu"), constrained("cuda")
    for here, there in zip(best.segments, best_there.segments, strict=True):
        assert torch.equal(here, there.cpu())
    for name in ("start", "end", "position"):
        torch.testing.assert_close(getattr(found_there, name).cpu(), getattr(found, name), atol=GPU, rtol=0)


def test_tensors_on_different_devices_are_named():
    p = larger(1, 50)
    with pytest.raises(kernels.PotentialsError, match="durations: expected device cuda:0 as for emissions, got cpu"):
        kernels.viterbi(moved(p, "cuda")._replace(durations=p.durations))


def test_a_device_without_enough_memory_is_one_line():
    T, C = 1_000_000, 64
    p = moved(kernels.Potentials(torch.zeros(T, C), torch.zeros(2, C), torch.zeros(C, C)), "cuda")
    torch.cuda.empty_cache()
    room = torch.cuda.memory_reserved() + (128 << 20)  # less than the posteriors of positions alone
    torch.cuda.set_per_process_memory_fraction(room / torch.cuda.get_device_properties(0).total_memory)
    try:
        with pytest.raises(OutOfMemoryError, match=r"(MiB|GiB|bytes), even for the smallest plan") as error:
            kernels.marginals(p)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["bernoulli", "gaussian"])
def test_a_fit_is_that_of_the_cpu(name: str):
    """For marks explicit laws come last, on kernels that were loaded beside the first passes."""
    x, _ = drawn(name, 3000)
    settings = Settings((3,), restarts=2, trial=4, settle=4, passes=4)
    one, other = (fit([source(x)], name, settings, device=device) for device in ("cpu", "cuda"))
    assert other.nats == pytest.approx(one.nats, abs=1e-5)
    for key, want in one.model.emissions.items():
        torch.testing.assert_close(other.model.emissions[key], want, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(other.model.mean_durations(), one.model.mean_durations(), atol=1e-2, rtol=1e-2)
