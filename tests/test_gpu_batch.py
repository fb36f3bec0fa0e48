"""The public operations on the GPU against those on the CPU: equal bits for Viterbi, 1e-5 for posteriors, for any plan.

On a GPU every case runs, large ones too. Without one the kernels are interpreted on CPU tensors, a second for a few
positions: then a few small cases that between them have everything.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial, wraps
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
from cases import grid, ragged, tied
from larger import forced_cycle, larger, long_tail
from models import CHARACTERS, frame_grammar, informative, random_genome
from tolerances import GPU, GPU_STEEP, GPU_UNFORGOTTEN, gpu_log_partition
from where import DEVICE, ON_GPU

pytest.importorskip("triton")

from semiseg import kernels
from semiseg.kernels import autograd, devices, operations
from semiseg.kernels.devices import moved
from semiseg.kernels.errors import InfeasibleError
from semiseg.kernels.gpu import batch
from semiseg.kernels.potentials import Potentials
from semiseg.kernels.results import Marginals, Viterbi

EVERYTHING = ("start", "end", "position", "transitions", "durations", "boundaries")
# lost sums, whose logarithm is never looked at, are warned of where kernels are interpreted by numpy
pytestmark = [pytest.mark.filterwarnings("ignore::RuntimeWarning:triton.runtime.interpreter")]
if ON_GPU:
    pytestmark.append(pytest.mark.gpu)
only_on_a_gpu = pytest.mark.skipif(not ON_GPU, reason="needs a CUDA device")


class Plan(NamedTuple):
    """How an operation is asked to run."""

    chunks: int | None = None
    warm_up: int | None = None
    memory: int | None = None  # bytes; none at all: scores are computed again, in waves

    @property
    def how(self) -> dict[str, Any]:
        return {"chunks": self.chunks, "warm_up": self.warm_up}


WHOLE, PARTS, WAVES = Plan(), Plan(3, 2), Plan(3, 2, 0)
CASES = dict([*grid(), *ragged(), *tied()])
BIG = {f"larger-{seed}": larger(seed) for seed in range(8)}
BIG |= {f"flat-{seed}": larger(seed, flat=True) for seed in range(4)}
BIG |= {
    "long-tail": long_tail(),
    "short": larger(9, 400, 3, 3),
    "wide": larger(10, 300, 9),
    "bfloat16": informative(3000, 37, 70, seed=1, edge="censored", dtype=torch.bfloat16),
    "kinds": frame_grammar(random_genome(3000, 3, 100, 60), kinds=True, contrast=1.0),
}
# a few tiles of 16 boundaries, durations longer than a tile
TILES = {f"tiles-{seed}": larger(seed, 45, 3, 20) for seed in range(4)}
TILES["tiles-tail"] = long_tail(40)
TILES["tiles-offset"] = TILES["tiles-3"]._replace(emissions=TILES["tiles-3"].emissions - 20.0)  # of all labels alike
STEEP = larger(2, 45, 3, 20)
STEEP = STEEP._replace(emissions=60 * STEEP.emissions)  # sums over pairs in 32 bits are taken again in 64
# index in the grid, plans: every edge, tail, period, phase, kind of map, cut and prohibition is among them
FEW = {
    "17-": (WHOLE,),
    "87-": (WHOLE, PARTS),
    "30-": (WHOLE,),
    "16-": (WHOLE, WAVES),
    "73-": (WHOLE, PARTS),
    "1014-": (PARTS,),
    "1004-": (WHOLE,),
    "116-": (WAVES,),
    "ragged6-": (WHOLE,),
}
FEW_TILES = {
    "tiles-0": (WHOLE,),
    "tiles-1": (WHOLE,),
    "tiles-2": (Plan(2, 2),),
    "tiles-3": (WAVES,),
    "tiles-offset": (WHOLE,),
    "tiles-tail": (WHOLE, PARTS),
}


def of(name: str) -> Potentials:
    return next((cases[name] for cases in (CASES, TILES, BIG) if name in cases), None) or long(name)


@cache
def long(name: str) -> Potentials:
    return CHARACTERS[name]()


def every_run() -> list[Any]:
    """Return every case with its plans."""
    if ON_GPU:
        found = [(name, plan) for name in CASES if not name.startswith("tied") for plan in (WHOLE, PARTS, WAVES)]
        found += [(name, plan) for name in [*TILES, *BIG] for plan in (WHOLE, Plan(7, 64), Plan(5, 30, 0))]
    else:
        few = {name: plans for start, plans in FEW.items() for name in CASES if name.startswith(start)} | FEW_TILES
        found = [(name, plan) for name, plans in few.items() for plan in plans]
    return [pytest.param(name, plan, id=f"{name}-{'-'.join(map(str, plan))}") for name, plan in found]


RUNS = every_run()


@contextmanager
def gpu_path(memory: int | None = None) -> Iterator[None]:
    """Have the operations run on the kernels, on a device or interpreted, in this much memory."""
    named = ("viterbi", "log_partitions", "gradients", "marginals", "sample")
    there = SimpleNamespace(**{n: partial(getattr(batch, n), memory=memory) for n in named})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(devices, "quicker_here", lambda *given: False)
        if memory is not None or not ON_GPU:
            for module in (operations, autograd):
                patch.setattr(module, "backend", lambda device: there)
        yield


def poisoning(make):
    """Return a maker of tensors whose memory holds NaN, or integers that look alive and best of all."""

    @wraps(make)
    def made(*shape, **options):
        x = make(*shape, **options)
        if x.is_floating_point():
            return x.fill_(torch.nan)
        return x if x.dtype == torch.bool else x.fill_(torch.iinfo(x.dtype).max // 4)

    return made


@pytest.fixture(autouse=True)
def poisoned(monkeypatch):
    for owner, name in ((torch, "empty"), (torch, "empty_like"), (torch.Tensor, "new_empty")):
        monkeypatch.setattr(owner, name, poisoning(getattr(owner, name)))


def gradients(p: Potentials, device: str, **how: Any) -> dict[str, torch.Tensor | None]:
    """Return log Z, and the gradient of the items' weighted sum for every tensor there is."""
    names = [f for f in ("emissions", "durations", "transitions", "tail", "first", "last") if getattr(p, f) is not None]
    leaves = {f: getattr(p, f).detach().to(device).requires_grad_() for f in names}
    maps = [b._replace(scores=b.scores.detach().to(device).requires_grad_()) for b in p.boundaries]
    z = kernels.log_partition(p._replace(**leaves, boundaries=tuple(maps)), **how)
    (z * torch.arange(1, z.numel() + 1, device=device).view(z.shape)).sum().backward()
    leaves |= {f"boundaries[{m}]": b.scores for m, b in enumerate(maps)}
    return {"log_partition": z.detach()} | {name: x.grad for name, x in leaves.items()}


@cache
def on_cpu(operation: str, name: str) -> Any:
    """Return what the CPU makes of a case."""
    p = of(name)
    if operation == "viterbi":
        return kernels.viterbi(p)
    if operation == "marginals":
        return kernels.marginals(p, want=EVERYTHING)
    return gradients(p, "cpu")


def same_path(got: Viterbi, want: Viterbi) -> None:
    assert got.score.device.type == got.segments.start.device.type == DEVICE
    assert torch.equal(got.score.cpu(), want.score)
    for mine, theirs, field in zip(got.segments, want.segments, want.segments._fields, strict=True):
        assert torch.equal(mine.cpu(), theirs), field


def tensors(m: Marginals) -> dict[str, torch.Tensor]:
    """Return all posteriors by name."""
    found = {name: getattr(m, name) for name in Marginals._fields if name not in ("boundaries", "calls", "report")}
    found |= {f"boundaries[{i}]": x for i, x in enumerate(m.boundaries or ())}
    return {name: x for name, x in found.items() if x is not None}


def close(got: dict[str, torch.Tensor], want: dict[str, torch.Tensor], T: int, bound: float = GPU) -> None:
    assert got.keys() == want.keys()
    for name, theirs in want.items():
        mine = got[name]
        if theirs is None:
            assert mine is None, name
            continue
        assert mine.device.type == DEVICE, name
        within = gpu_log_partition(T) if name == "log_partition" else bound
        torch.testing.assert_close(
            mine.cpu(), theirs, atol=within,
            rtol=0 if name == "log_partition" else max(bound, torch.finfo(theirs.dtype).eps),  # of bfloat16
            msg=lambda text, name=name: f"{name}: {text}",
        )  # fmt: skip


@pytest.mark.parametrize(("name", "plan"), RUNS)
def test_viterbi(name, plan):
    want = on_cpu("viterbi", name)
    with gpu_path():
        same_path(kernels.viterbi(moved(of(name), DEVICE), **plan.how), want)


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("tied" if ON_GPU else "tied-30-")])
@pytest.mark.parametrize("plan", [WHOLE, PARTS])
def test_viterbi_where_many_tie(name, plan):
    test_viterbi(name, plan)


# posteriors and gradients come from the same kernels: interpreted, each run is looked at in one of the two
@pytest.mark.parametrize(("name", "plan"), RUNS[:: 1 if ON_GPU else 2])
def test_marginals(name, plan):
    want = on_cpu("marginals", name)
    with gpu_path(plan.memory):
        got = kernels.marginals(moved(of(name), DEVICE), want=EVERYTHING, **plan.how)
    close(tensors(got), tensors(want), of(name).emissions.shape[-2])
    assert got.report.closing <= GPU


# interpreted: the kernels for calls have a file of tests of their own, and samples come from the passes of posteriors
@pytest.mark.parametrize(("name", "plan"), RUNS[:: 4 if ON_GPU else 8])
def test_calls(name, plan):
    p = of(name)
    asked, concepts = kernels.viterbi(p).segments, torch.arange(p.emissions.shape[-1]) // 2
    want = kernels.marginals(p, want=(), segments=asked, concepts=concepts).calls
    with gpu_path(plan.memory):
        got = kernels.marginals(
            moved(p, DEVICE), want=(), segments=moved(asked, DEVICE), concepts=concepts, **plan.how
        ).calls
    for field, mine, theirs in zip(want._fields, got, want, strict=True):
        assert mine.device.type == DEVICE, field
        if mine.is_floating_point():
            torch.testing.assert_close(mine.cpu(), theirs, atol=GPU, rtol=0, msg=lambda text, field=field: field + text)
    # a bound moves only where another interval holds as much, to rounding
    for low, high in (("start_low", "start_high"), ("end_low", "end_high")):
        widths = [getattr(x, high).cpu() - getattr(x, low).cpu() for x in (got, want)]
        assert torch.equal(*widths)


@pytest.mark.parametrize(("name", "plan"), RUNS[1::4] if ON_GPU else RUNS[5::12])
def test_samples(name, plan):
    p = of(name)
    want = kernels.sample(p, 20, seed=3)
    with gpu_path(plan.memory):
        got = kernels.sample(moved(p, DEVICE), 20, seed=3, **plan.how)
    same = [all(torch.equal(x.cpu(), y) for x, y in zip(*pair, strict=True)) for pair in zip(got, want, strict=True)]
    assert sum(same) >= 19  # a uniform may fall between what the two give a segment


@pytest.mark.parametrize(("name", "plan"), RUNS if ON_GPU else RUNS[1::2])
def test_gradients(name, plan):
    want = on_cpu("gradients", name)
    with gpu_path(plan.memory):
        got = gradients(of(name), DEVICE, **plan.how)
    close(got, want, of(name).emissions.shape[-2])


def test_the_few_cases_have_everything():
    """Interpreted, that is: what a change of the grid would take away is noticed here."""
    names = [name for start in FEW for name in CASES if name.startswith(start)]
    assert len(names) == len(FEW)
    words = set("-".join(names).split("-"))
    assert words >= {"tail:none", "tail:all", "tail:mixed", "p:one", "p:three", "p:mixed", "P1", "P3"}
    assert words >= {"start", "end", "general", "constant", "cuts", "forbidden", "by_duration"}
    for edges in ("exact-exact", "censored-exact", "exact-censored", "censored-censored"):
        assert any(f"-{edges}-tail" in name for name in names)


def test_labels_far_apart():
    best, want = kernels.viterbi(STEEP), kernels.marginals(STEEP)
    with gpu_path():
        same_path(kernels.viterbi(moved(STEEP, DEVICE)), best)
        got = kernels.marginals(moved(STEEP, DEVICE))
    for name, theirs in tensors(want).items():
        torch.testing.assert_close(getattr(got, name).cpu(), theirs, atol=GPU_STEEP, rtol=0)


@only_on_a_gpu
@pytest.mark.parametrize("plan", [WHOLE, Plan(7, 64), Plan(5, 30, 0)])
def test_what_is_never_forgotten(plan):
    p, T = forced_cycle(), 1200
    best, want, slopes = kernels.viterbi(p), kernels.marginals(p, want=EVERYTHING), gradients(p, "cpu")
    with gpu_path(plan.memory):
        same_path(kernels.viterbi(moved(p, DEVICE), **plan.how), best)
        close(
            tensors(kernels.marginals(moved(p, DEVICE), want=EVERYTHING, **plan.how)), tensors(want), T, GPU_UNFORGOTTEN
        )
        close(gradients(p, DEVICE, **plan.how), slopes, T, GPU_UNFORGOTTEN)


@only_on_a_gpu
@pytest.mark.parametrize("chunks", [2, 7, 64])
@pytest.mark.parametrize("name", CHARACTERS)
def test_long_sequences(name, chunks):
    p = moved(long(name), DEVICE)
    T, bound = len(p.emissions), GPU_UNFORGOTTEN if name == "forced cycle" else GPU
    with gpu_path():
        best = kernels.viterbi(p, chunks=chunks)
        got = kernels.marginals(p, want=EVERYTHING, chunks=chunks)
        slopes = gradients(long(name), DEVICE, chunks=chunks)
    same_path(best, on_cpu("viterbi", name))
    close(tensors(got), tensors(on_cpu("marginals", name)), T, bound)
    for report in (best.report, got.report):
        assert report.chunks == chunks
        assert report.certificate <= 1e-6
        assert report.repaired <= 2 * 4 * T
    assert got.report.closing <= bound
    close(slopes, on_cpu("gradients", name), T, bound)


@only_on_a_gpu  # programs that are interpreted run one after another
@pytest.mark.parametrize("start", ["87-", "16-", "ragged1-", "ragged6-", "larger-0", "larger-3", "bfloat16", "kinds"])
def test_two_runs_give_the_same_bits(start):
    (name,) = (n for n in [*CASES, *BIG] if n.startswith(start))
    p = moved(of(name), DEVICE)
    found = []
    for _ in range(2):
        with gpu_path():
            best = kernels.viterbi(p, **PARTS.how)
            posteriors = kernels.marginals(p, want=EVERYTHING, **PARTS.how)
            slopes = gradients(p, DEVICE, **PARTS.how)
        found.append([best.score, *best.segments, *tensors(posteriors).values(), *slopes.values()])
    for x, y in zip(*found, strict=True):
        assert (x is None and y is None) or torch.equal(x, y)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_emissions_of_every_type(dtype):
    p = larger(5, 600, 5, 40) if ON_GPU else CASES[next(name for name in CASES if name.startswith("12-"))]
    p = p._replace(emissions=p.emissions.to(dtype))
    best, want = kernels.viterbi(p), kernels.marginals(p)
    with gpu_path():
        same_path(kernels.viterbi(moved(p, DEVICE)), best)
        got = kernels.marginals(moved(p, DEVICE))
    assert got.position.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    close(tensors(got), tensors(want), len(p.emissions))


def impossible() -> Potentials:
    """A batch of three: the second item is cut, and so is the third, further on."""
    p = forced_cycle(400 if ON_GPU else 15)
    e = p.emissions.expand(3, -1, -1).clone()
    e[1, len(p.emissions) // 2] = -torch.inf
    e[2, -1] = -torch.inf
    return p._replace(emissions=e)


@pytest.mark.parametrize("plan", [WHOLE, PARTS] if ON_GPU else [WHOLE])
@pytest.mark.parametrize("operation", [kernels.viterbi, kernels.marginals, kernels.log_partition])
def test_the_item_without_a_segmentation_is_named(operation, plan):
    p = impossible()
    with pytest.raises(InfeasibleError) as want:
        operation(p)
    with pytest.raises(InfeasibleError) as got, gpu_path():
        operation(moved(p, DEVICE), **plan.how)
    assert str(got.value) == str(want.value)
    assert (got.value.item, got.value.position) == (want.value.item, want.value.position)
    assert got.value.item == 1


def test_reports_say_what_was_done():
    p = moved(forced_cycle(300) if ON_GPU else CASES["forced-cycle"], DEVICE)
    chunks, T = (6, 300) if ON_GPU else (3, 7)
    with gpu_path():
        whole = kernels.viterbi(p, chunks=1).report
        best = kernels.viterbi(p, chunks=chunks, warm_up=2).report
        posteriors = kernels.marginals(p, chunks=chunks, warm_up=2).report
    assert (whole.chunks, whole.rounds, whole.repaired) == (1, 0, 0)
    for report in (best, posteriors):
        assert report.chunks == chunks
        assert report.rounds >= 1
        assert T // chunks <= report.repaired <= 2 * 4 * T
        assert report.gap == 0
    assert posteriors.certificate <= 1e-6


def test_a_few_of_the_posteriors_are_those_of_all():
    name = next(name for name in CASES if name.startswith("16-"))
    want = tensors(on_cpu("marginals", name))
    with gpu_path():
        for asked in ((), ("end",), ("transitions",), ("boundaries", "durations")):
            got = tensors(kernels.marginals(moved(of(name), DEVICE), want=asked))
            extra = {"tail_steps"} if "durations" in asked else set()
            fields = {n for n in want if n.split("[")[0] in {*asked, "log_partition", *extra}}
            close(got, {n: want[n] for n in want if n in fields}, 2)


@only_on_a_gpu
def test_results_are_computed_on_the_gpu(recwarn):
    p = moved(larger(2), DEVICE)
    kernels.viterbi(p)
    kernels.marginals(p, want=EVERYTHING)
    gradients(p, DEVICE)
    assert [str(w.message) for w in recwarn if "CPU" in str(w.message)] == []
