"""Where operations run: on the device of the tensors, else on the CPU with one warning; smaller plans before giving up.

No GPU is needed: the device is a name, and what stands for its kernels fails on purpose.
"""

import warnings
from types import SimpleNamespace

import pytest
import torch
from larger import larger

from semiseg import kernels
from semiseg.kernels import devices
from semiseg.kernels.devices import moved, on_cpu, on_device, say_once, within_memory
from semiseg.kernels.errors import OutOfMemoryError, PotentialsError
from semiseg.kernels.potentials import Potentials

GIB = 1 << 30


class Elsewhere(torch.Tensor):
    """A tensor that says it is on a GPU; where it is moved to the CPU, an ordinary one."""

    device = torch.device("cuda", 0)

    def to(self, device, *rest, **options):
        return self.as_subclass(torch.Tensor)


def elsewhere(p: Potentials) -> Potentials:
    """Return potentials that say they are on a GPU."""
    there = lambda x: x.as_subclass(Elsewhere) if isinstance(x, torch.Tensor) else x  # noqa: E731
    return Potentials(*(there(x) for x in p))._replace(
        boundaries=tuple(type(b)(there(b.scores), b.types) for b in p.boundaries)
    )


@pytest.fixture(autouse=True)
def nothing_said():
    say_once.cache_clear()
    devices.obstacle.cache_clear()
    yield
    say_once.cache_clear()
    devices.obstacle.cache_clear()


def operation(p: Potentials) -> str:
    """Return where this runs, for the wrappers to wrap."""
    return p.emissions.device.type


def run(wrapped, p: Potentials) -> tuple[str, list[str]]:
    """Return what an operation gives, and what was said."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        return wrapped(p), [str(w.message) for w in said]


def gpu(monkeypatch, capability: tuple[int, int]) -> None:
    monkeypatch.setattr(devices, "find_spec", lambda name: name)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Old GPU")
    monkeypatch.setattr(devices, "quicker_here", lambda *given: False)


def test_a_gpu_runs_its_own(monkeypatch):
    gpu(monkeypatch, (9, 0))
    assert run(on_device(operation), elsewhere(larger(0))) == ("cuda", [])


def test_what_a_cpu_does_sooner_goes_there_without_a_word(monkeypatch):
    asked = []
    gpu(monkeypatch, (9, 0))
    monkeypatch.setattr(devices, "quicker_here", lambda *given: asked.append(given) or True)
    assert run(on_device(operation), elsewhere(larger(0))) == ("cpu", [])
    assert [name for name, _ in asked] == ["operation"]


def test_what_is_recorded_is_played(monkeypatch):
    """Whether a CPU would be done before the kernels or not, and without options."""
    gpu(monkeypatch, (9, 0))
    asked = []
    monkeypatch.setattr(devices, "played", lambda *given: asked.append(given) or "played")
    p = elsewhere(larger(0))
    for sooner in (False, True):
        monkeypatch.setattr(devices, "quicker_here", lambda *given, sooner=sooner: sooner)
        assert run(on_device(operation), p) == ("played", [])
        assert asked.pop() == ("operation", p, sooner)
    assert on_device(lambda p, chunks: p.emissions.device.type)(p, chunks=1) == "cpu"
    assert not asked


@pytest.mark.parametrize("name", ["marginals", "viterbi"])
def test_what_has_no_recording_is_not_played(name):
    assert devices.played(name, model(5000, 2, 2), False) is None  # the CPU is done before it


def model(T: int, C: int, K: int, B: int = 1) -> Potentials:
    return Potentials(torch.empty(B, T, C, device="meta"), torch.empty(K + 1, C), torch.empty(C, C))


@pytest.mark.parametrize("name", ["viterbi", "marginals"])
def test_little_work_is_done_sooner_on_a_cpu(name):
    assert devices.quicker_here(name, model(300, 4, 30))
    for more in (model(1000, 64, 30), model(300, 4, 10_000), model(300, 4, 30, 100), model(3_000_000, 4, 30)):
        assert not devices.quicker_here(name, more)


@pytest.mark.parametrize("shape", [(5,), (0, 3), (3, 0)])
def test_what_cannot_be_used_is_no_little_work(shape):
    assert not devices.quicker_here("viterbi", Potentials(torch.empty(shape), torch.empty(2, 3), torch.empty(3, 3)))


def test_the_cpu_asks_nothing(monkeypatch):
    monkeypatch.setattr(devices, "obstacle", None)
    assert run(on_device(operation), larger(0)) == ("cpu", [])


def test_a_gpu_that_is_too_old(monkeypatch):
    gpu(monkeypatch, (7, 5))
    where, said = run(on_device(operation), elsewhere(larger(0)))
    assert where == "cpu"
    assert said == ["semiseg: Old GPU is older than compute capability 8.0, computed on the CPU"]
    assert run(on_device(operation), elsewhere(larger(0))) == ("cpu", [])


def test_without_triton(monkeypatch):
    monkeypatch.setattr(devices, "find_spec", lambda name: None)
    assert run(on_device(operation), elsewhere(larger(0))) == (
        "cpu",
        ["semiseg: Triton is not installed, computed on the CPU"],
    )


def test_operations_without_kernels(monkeypatch):
    gpu(monkeypatch, (9, 0))
    assert run(on_cpu(operation), elsewhere(larger(0))) == (
        "cpu",
        ["semiseg: no kernels for operation on cuda, computed on the CPU"],
    )
    assert run(on_cpu(operation), elsewhere(larger(0))) == ("cpu", [])


def compiler_errors():
    """Yield what Triton raises where it cannot compile: its own errors, its assembler's, and for want of a compiler."""
    triton = pytest.importorskip("triton")
    from triton.runtime.errors import PTXASError

    yield triton.CompilationError("x = 1", SimpleNamespace(lineno=1, col_offset=0), "no such thing")
    yield PTXASError("ptxas failed")
    yield RuntimeError("Failed to find C compiler. Please specify via CC environment variable.")
    inside = RuntimeError("while a kernel was launched")
    inside.__cause__ = PTXASError("ptxas failed")
    yield inside


@pytest.mark.parametrize("which", range(4))
def test_a_compiler_that_fails(monkeypatch, which):
    gpu(monkeypatch, (9, 0))
    error = list(compiler_errors())[which]

    def fails(p):
        if p.emissions.device.type == "cuda":
            raise error
        return "cpu"

    where, said = run(on_device(fails), elsewhere(larger(0)))
    assert where == "cpu"
    assert said == [f"semiseg: Triton failed to compile ({type(error).__name__}), computed on the CPU"]
    assert run(on_device(fails), elsewhere(larger(0))) == ("cpu", [])


def test_other_errors_are_not_hidden(monkeypatch):
    gpu(monkeypatch, (9, 0))

    def fails(p):
        raise RuntimeError("an illegal memory access was encountered")

    with pytest.raises(RuntimeError, match="illegal memory access"):
        run(on_device(fails), elsewhere(larger(0)))


@pytest.mark.parametrize("name", ["viterbi", "marginals", "log_partition"])
def test_results_without_a_usable_gpu_are_those_of_the_cpu(monkeypatch, name):
    gpu(monkeypatch, (7, 5))
    monkeypatch.setattr(devices, "moved", lambda x, device: moved(x, "cpu"))  # there is nowhere to move them back to
    p = larger(1, 100)
    want = getattr(kernels, name)(p)
    found, said = run(getattr(kernels, name), elsewhere(p))
    assert len(said) == 1
    pick = {"viterbi": lambda x: x.segments.start, "marginals": lambda x: x.position, "log_partition": lambda x: x}
    assert torch.equal(pick[name](found), pick[name](want))


def fits(least: int, tried: list):
    """Return an operation that runs out of memory unless its plan takes at most so many bytes."""

    @within_memory
    def operation(x, memory=None):
        tried.append(memory)
        if memory is None or memory > least:
            raise torch.OutOfMemoryError(
                "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 139.80 GiB of which "
                "1.00 GiB is free. Of the allocated memory 1.00 GiB is allocated by PyTorch."
            )
        return x, memory

    return operation


@pytest.fixture
def free(monkeypatch):
    """A device with 16 GiB free."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda *device: (16 * GIB, 80 * GIB))
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)


@pytest.mark.usefixtures("free")
@pytest.mark.parametrize("times", [0, 1, 2, 3])
def test_a_smaller_plan_is_tried(times):
    tried = []
    sizes = [1 << 60, 4 * GIB, GIB, GIB // 4]
    start = {"memory": 16 * GIB} if times == 0 else {}
    assert fits(sizes[times], tried)("x", **start) == ("x", 16 * GIB if times == 0 else sizes[times])
    assert tried == ([16 * GIB] if times == 0 else [None, *sizes[1 : times + 1]])


@pytest.mark.usefixtures("free")
def test_memory_given_is_a_bound_from_the_start():
    tried = []
    assert fits(1000, tried)("x", memory=16_000) == ("x", 1000)
    assert tried == [16_000, 4000, 1000]


@pytest.mark.usefixtures("free")
def test_nothing_fits():
    with pytest.raises(OutOfMemoryError) as error:
        fits(0, [])("x")
    line = str(error.value)
    assert "\n" not in line
    assert "20.00 GiB" in line
    assert "even for the smallest plan" in line
    assert error.value.__cause__ is None


@pytest.mark.usefixtures("free")
def test_other_errors_are_not_tried_again():
    tried = []

    @within_memory
    def operation(memory=None):
        tried.append(memory)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        operation()
    assert tried == [None]


@pytest.mark.parametrize("name", ["viterbi", "marginals", "log_partition", "entropy"])
def test_tensors_on_different_devices_are_named(monkeypatch, name):
    gpu(monkeypatch, (9, 0))
    p = larger(1, 50)
    mixed = elsewhere(p)._replace(durations=p.durations)
    with pytest.raises(PotentialsError, match="durations: expected device cuda:0 as for emissions, got cpu"):
        getattr(kernels, name)(mixed)
    with pytest.raises(PotentialsError, match="transitions: expected device cpu as for emissions, got cuda:0"):
        getattr(kernels, name)(p._replace(transitions=elsewhere(p).transitions))


def test_moved_reaches_everything():
    p = larger(1, 20)
    made = {"a": [p.emissions, (p, 3)], "b": None}
    there = moved(made, "meta")
    assert there["a"][0].device.type == "meta"
    assert isinstance(there["a"][1][0], Potentials)
    assert there["a"][1][0].durations.device.type == "meta"
    assert there["a"][1][0].boundaries[0].scores.device.type == "meta" if p.boundaries else True
    assert (there["a"][1][1], there["b"]) == (3, None)


def test_the_cpu_has_its_own_backend():
    assert devices.backend(torch.device("cpu")).__name__.endswith("kernels.cpu.batch")
    pytest.importorskip("triton")
    assert devices.backend(torch.device("cuda")).__name__.endswith("kernels.gpu.batch")


def test_tensors_travel_together_and_gradients_come_back():
    g = torch.Generator().manual_seed(0)
    floats = torch.randn(3, 4, generator=g, requires_grad=True)
    doubles = torch.randn(5, generator=g, dtype=torch.float64, requires_grad=True)
    parts = [floats, torch.tensor([True, False, True]), doubles, torch.arange(4), torch.zeros(0, 3), torch.tensor(2.5)]
    there = devices.Journey.apply(torch.device("cpu"), *parts)
    for old, new in zip(parts, there, strict=True):
        torch.testing.assert_close(new, old, rtol=0, atol=0)
        assert new.requires_grad == old.requires_grad
    loss = (there[0] ** 3).sum() + (there[2] ** 2).sum()
    first, other = torch.autograd.grad(loss, (floats, doubles), create_graph=True)
    torch.testing.assert_close(first, 3 * floats**2)
    torch.testing.assert_close(other, 2 * doubles)
    (second,) = torch.autograd.grad(first.sum(), floats)
    torch.testing.assert_close(second, 6 * floats)


def test_a_device_is_started_beside_other_work(monkeypatch):
    asked = []
    monkeypatch.setattr(devices, "obstacle", lambda device: asked.append(device.type) or "too old")
    for name in ("cpu", "cuda"):
        devices.start(torch.device(name))
    devices.pool(1, "start").submit(int).result()  # behind what was asked for before
    assert asked == ["cuda"]
