"""A training step of the layers next to pytorch-crf, torch-struct and flash-semicrf, where each can run: on the CPU.

K = 1: the likelihood of tags by `CRF`; else log Z of `Potentials`; with gradients of all scores. Bar: no shape more
than 10 % slower than any of them. A library sits out where its table would take gigabytes, or a run minutes; each
has to agree before it is timed, and those that can run take turns. What takes more than ten seconds runs once.
"""

import warnings
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn.functional import pad

from semiseg import CRF
from semiseg.bench.device import tried, wait, watched
from semiseg.bench.measure import installed, interleave, summarise
from semiseg.bench.record import Row
from semiseg.kernels import Potentials, log_partition

SHAPES = (  # B, T, K, C
    (1, 100, 1, 2),
    (1, 1_000, 1, 16),
    (16, 100, 1, 8),
    (64, 100, 1, 16),
    (8, 1_000, 1, 64),
    (1, 10_000, 1, 8),
    (1, 100_000, 1, 4),
    (1, 100, 16, 4),
    (16, 100, 16, 4),
    (64, 100, 8, 4),
    (1, 500, 30, 8),
    (1, 500, 100, 24),
    (4, 200, 100, 8),
    (1, 100, 1_024, 2),
    (1, 100_000, 1_024, 16),
)
QUICK = ((2, 20, 1, 3), (2, 20, 4, 3))
PAIRS = 60_000  # (t, k) that flash-semicrf goes through one after another
TABLE = {"cpu": 8_000_000, "cuda": 30_000_000}  # pairs of states in torch-struct's table, some 2 kB each
AGREE = 1e-4
PATIENCE = 10.0  # seconds of a run that is not repeated, and of all that are

Step = Callable[[], Tensor]


def run(quick: bool) -> Iterator[Row]:
    """A row a shape and library."""
    yield from rows(quick, "cpu")


def rows(quick: bool, device: str) -> Iterator[Row]:
    """The same on any device; on a GPU with the memory that a step takes there."""
    warnings.filterwarnings("ignore", module="torch_struct|torchcrf|torch.distributions")
    for B, T, K, C in QUICK if quick else SHAPES:
        found = dict(linear_steps(B, T, C, device) if K == 1 else segment_steps(B, T, K, C, device))
        steps = {name: waited_for(step) for name, step in found.items()}
        want = steps["semiseg"]().double()
        where: Row = {"threads": torch.get_num_threads()} if device == "cpu" else {}
        shapes: dict[str, Row] = {name: {"library": name, "B": B, "T": T, "K": K, "C": C, **where} for name in steps}

        once: dict[str, float] = {}

        def checked(name: str, steps=steps, want: Tensor = want, at: Row = shapes["semiseg"], once=once) -> Row:
            once[name], values, peak = watched(steps[name])
            torch.testing.assert_close(values.double(), want, rtol=AGREE, atol=AGREE, msg=f"{name} at {at}")
            return {} if device == "cpu" else {"peak_mib": peak}

        for name in shapes:
            shapes[name] = tried(shapes[name], lambda name=name: checked(name))
            if "failed" in shapes[name]:
                yield shapes[name]
                del steps[name]
        timings = {name: summarise([seconds]) for name, seconds in once.items() if name in steps and seconds > PATIENCE}
        again = {name: step for name, step in steps.items() if name not in timings}
        repeats = min(3 if quick else 15, max(3, int(PATIENCE / max(1e-3, sum(once[name] for name in again)))))
        timings |= dict(zip(again, interleave(list(again.values()), repeats, warm=False), strict=True))
        for name, timing in timings.items():
            times = {"times_slower_than_semiseg": timing.median_s / timings["semiseg"].median_s}
            yield {**shapes[name], **timing._asdict(), **times, "version": installed(name)}


def waited_for(step: Step) -> Step:
    """A step that ends when the device has done it."""

    def run() -> Tensor:
        values = step()
        wait()
        return values

    return run


def linear_steps(B: int, T: int, C: int, device: str) -> Iterator[tuple[str, Step]]:
    """Likelihoods of tags under a linear chain, by library."""
    g = torch.Generator().manual_seed(0)
    emissions, tags = 0.3 * torch.randn(B, T, C, generator=g), torch.randint(C, (B, T), generator=g)
    emissions, tags = emissions.to(device), tags.to(device)
    ours = CRF(C, batch_first=True).to(device)
    yield "semiseg", tagged(ours, emissions, tags)
    if installed("pytorch-crf") and T <= 10_000:
        from torchcrf import CRF as Theirs

        theirs = Theirs(C, batch_first=True).to(device)
        theirs.load_state_dict(ours.state_dict())
        yield "pytorch-crf", tagged(theirs, emissions, tags)
    if installed("torch-struct") and B * T * C * C <= TABLE[device] and T <= 1_000:
        from torch_struct import LinearChainCRF

        def step() -> Tensor:
            e, table = emissions.clone().requires_grad_(), ours.transitions.T.expand(B, T - 1, C, C)
            first = (e[:, 0] + ours.start_transitions)[:, None, None, :]
            table = table + e[:, 1:, :, None] + pad(first, (0, 0, 0, 0, 0, T - 2))
            table = table + pad(ours.end_transitions[None, None, :, None], (0, 0, 0, 0, T - 2, 0))
            known = torch.nn.functional.one_hot(tags, C).to(e)
            path = (known[:, 1:, :, None] * known[:, :-1, None, :] * table).sum((1, 2, 3))
            return differentiated(path - LinearChainCRF(table).partition)

        yield "torch-struct", step


def tagged(layer: torch.nn.Module, emissions: Tensor, tags: Tensor) -> Step:
    """A step of a layer with pytorch-crf's signature."""
    return lambda: differentiated(layer(emissions.clone().requires_grad_(), tags, reduction="none"))


def segment_steps(B: int, T: int, K: int, C: int, device: str) -> Iterator[tuple[str, Step]]:
    """Log partitions of a semi-Markov model, by library; a first segment is entered from any label."""
    g = torch.Generator().manual_seed(0)
    scores = [(0.3 * torch.randn(*shape, generator=g)).to(device) for shape in ((B, T, C), (K, C), (C, C))]

    def stepped(compute: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Step:
        return lambda: differentiated(compute(*(x.clone().requires_grad_() for x in scores)))

    yield (
        "semiseg",
        stepped(lambda e, D, A: log_partition(Potentials(e, pad(D, (0, 0, 1, 0)), A, first=A.logsumexp(0)))),
    )
    if installed("flash-semicrf") and T * K <= PAIRS:
        from flash_semicrf.streaming import semi_crf_streaming_forward

        lengths = torch.full((B,), T, device=device)
        yield (
            "flash-semicrf",
            stepped(lambda e, D, A: semi_crf_streaming_forward(pad(e.cumsum(1), (0, 0, 1, 0)), A, D, lengths, K)),
        )
    if installed("torch-struct") and B * T * (K * C) ** 2 <= TABLE[device] and K < T:
        from torch_struct import SemiMarkovCRF

        def partition(e: Tensor, D: Tensor, A: Tensor) -> Tensor:
            sums, table = pad(e.cumsum(1), (0, 0, 1, 0)), []
            for k in range(1, K + 1):
                one = (sums[:, k:] - sums[:, :-k] + D[k - 1])[..., None] + A.T
                table.append(pad(one, (0, 0, 0, 0, 0, k - 1)))
            table = torch.stack([torch.zeros_like(table[0]), *table], 2)
            return SemiMarkovCRF(table).partition

        yield "torch-struct", stepped(partition)


def differentiated(values: Tensor) -> Tensor:
    """The values, differentiated for all that they were computed from."""
    values.sum().backward()
    return values.detach()
