"""Forward and backward against flash-semicrf's CPU path at B, T, K, C = 1, 500, 100, 24; bar: 2,000 times as fast."""

import sys
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.nn.functional import pad

from semiseg.bench.measure import interleave
from semiseg.bench.record import Row
from semiseg.kernels import Potentials, log_partition


def run(quick: bool) -> Iterator[Row]:
    """A row per library; the other one with one thread and with all, since its many small operations differ."""
    try:
        from flash_semicrf.streaming import semi_crf_streaming_forward
    except ImportError:
        print("flash-semicrf is not installed: skipped", file=sys.stderr)
        return
    B, T, K, C = (1, 100, 20, 24) if quick else (1, 500, 100, 24)
    g = torch.Generator().manual_seed(0)
    e, A, D = (0.3 * torch.randn(*shape, generator=g) for shape in ((B, T, C), (C, C), (K, C)))
    lengths = torch.full((B,), T)

    def differentiate(compute: Callable[..., torch.Tensor]) -> torch.Tensor:
        leaves = [x.clone().requires_grad_() for x in (e, A, D)]
        z = compute(*leaves)
        z.sum().backward()
        return z.detach()

    def ours() -> torch.Tensor:
        return differentiate(
            lambda e, A, D: log_partition(Potentials(e, pad(D, (0, 0, 1, 0)), A, first=A.logsumexp(0)))
        )

    def theirs(threads: int) -> torch.Tensor:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        z = differentiate(lambda e, A, D: semi_crf_streaming_forward(pad(e.cumsum(1), (0, 0, 1, 0)), A, D, lengths, K))
        torch.set_num_threads(before)
        return z

    torch.testing.assert_close(ours().float(), theirs(1), rtol=1e-4, atol=0)
    (fast,) = interleave([ours], 50)
    work: dict[str, Callable[[], Any]] = {"1": lambda: theirs(1), "all": lambda: theirs(torch.get_num_threads())}
    slow = interleave(list(work.values()), 1 if quick else 3, warm=False)
    (again,) = interleave([ours], 50)  # before and after: the machine may have changed its mind
    fast = min(fast, again)
    best = min(t.median_s for t in slow)
    shape = {"B": B, "T": T, "K": K, "C": C}
    for library, threads, timing in (
        ("semiseg", "all", fast),
        *(("flash-semicrf", n, t) for n, t in zip(work, slow, strict=True)),
    ):
        yield {
            "library": library,
            **shape,
            "threads": threads,
            **timing._asdict(),
            "times_slower_than_semiseg": timing.median_s / fast.median_s,
            "best_ratio": best / fast.median_s if library == "semiseg" else "",
        }
