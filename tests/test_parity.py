"""The same numbers as two other libraries, where they are installed (DESIGN section 1, Parity).

Both start from a zero score for every label and charge a transition into the first segment, so `first` is its
logsumexp (max for Viterbi) over what comes before. Their cost grows with `T K C^2`.
"""

import warnings
from typing import Any, NamedTuple

import pytest
import torch
from tolerances import PARITY
from torch import Tensor
from torch.nn.functional import pad

from semiseg.kernels import Boundary, Potentials, log_partition, marginals, viterbi

ROUNDING = 2.0**-16  # half a unit of fixed point for every score on the path, and some to spare


class Scores(NamedTuple):
    """One model in the terms of the other libraries."""

    emissions: Tensor  # (B, T, C)
    transition: Tensor  # (C, C) source first
    durations: Tensor  # (K, C), row k - 1 for duration k
    starts: Tensor | None = None  # (B, T, C) of a segment that begins at a position
    ends: Tensor | None = None  # (B, T, C) of a segment whose last position it is


def draw(B: int, T: int, K: int, C: int, projections: bool) -> Scores:
    """Random scores, centred and small enough that many segmentations matter."""
    g = torch.Generator().manual_seed(T + K)

    def normal(*shape: int) -> Tensor:
        return 0.3 * torch.randn(*shape, generator=g, dtype=torch.float64)

    extra = (normal(B, T, C), normal(B, T, C)) if projections else ()
    return Scores(normal(B, T, C), normal(C, C), normal(K, C), *extra)


def ours(x: Scores, largest: bool = False) -> Potentials:
    """The record of a model; `largest`: its first segment as Viterbi charges it."""
    labels = torch.arange(x.transition.shape[0])
    before = x.transition.amax(0) if largest else x.transition.logsumexp(0)
    maps: tuple[Boundary, ...] = ()
    if x.starts is not None and x.ends is not None:
        into, out_of = labels.expand(len(labels), -1), labels[:, None].expand(-1, len(labels))
        maps = (Boundary(pad(x.starts, (0, 0, 0, 1)), into), Boundary(pad(x.ends, (0, 0, 1, 0)), out_of))
    return Potentials(x.emissions, pad(x.durations, (0, 0, 1, 0)), x.transition, boundaries=maps, first=before)


def flash(x: Scores, semiring: str = "log") -> Tensor:
    """What flash-semicrf makes of it: (B,)."""
    streaming = pytest.importorskip("flash_semicrf.streaming")
    B, T, _ = x.emissions.shape
    return streaming.semi_crf_streaming_forward(
        pad(x.emissions.cumsum(1), (0, 0, 1, 0)),
        x.transition,
        x.durations,
        torch.full((B,), T),
        len(x.durations),
        semiring=semiring,
        proj_start=x.starts,
        proj_end=x.ends,
    )


def with_gradients(compute: Any, x: Scores) -> tuple[Tensor, list[Tensor]]:
    """log Z and its gradient for every tensor."""
    used = [t.clone().requires_grad_() for t in x if t is not None]
    z = compute(Scores(*used))
    return z.detach(), list(torch.autograd.grad(z.sum(), used))


# the other library's many small operations wait for each other on a busy machine
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(
    ("B", "T", "K", "C", "projections"),
    [(2, 40, 7, 3, False), (2, 40, 7, 3, True), (1, 150, 12, 9, True), (1, 500, 40, 20, False)],
)
def test_flash_semicrf_gradients(B: int, T: int, K: int, C: int, projections: bool) -> None:
    x = draw(B, T, K, C, projections)
    z, gradients = with_gradients(flash, x)
    found, mine = with_gradients(lambda x: log_partition(ours(x)), x)
    torch.testing.assert_close(found, z, rtol=PARITY, atol=0)
    assert len(mine) == (5 if projections else 3)
    for a, b in zip(mine, gradients, strict=True):
        assert (a - b).abs().max() <= PARITY * b.abs().max()


@pytest.mark.parametrize("projections", [False, True])
def test_flash_semicrf_viterbi_score(projections: bool) -> None:
    x = draw(2, 60, 9, 4, projections)
    found = viterbi(ours(x, largest=True)).score
    torch.testing.assert_close(found, flash(x, "max"), rtol=0, atol=x.emissions.shape[1] * ROUNDING)


@pytest.fixture
def edges() -> Any:
    """What torch-struct makes of a model, as its distribution; it predates torch's checks of distributions."""
    struct = pytest.importorskip("torch_struct")

    def distribution(x: Scores) -> Any:
        B, T, C = x.emissions.shape
        K = len(x.durations)
        # (B, position, duration, label, label before); what reaches beyond the end, and duration 0, is not read
        scores = torch.zeros(B, T, K + 1, C, C, dtype=torch.float64)
        sums = pad(x.emissions.cumsum(1), (0, 0, 1, 0))
        for k in range(1, K + 1):
            segment = sums[:, k:] - sums[:, :-k] + x.durations[k - 1]
            scores[:, : T - k + 1, k] = segment[..., None] + x.transition.T
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return struct.SemiMarkovCRF(scores)

    return distribution


@pytest.mark.parametrize(("T", "K", "C"), [(1, 1, 2), (3, 2, 2), (17, 5, 3), (16, 4, 4)])
def test_torch_struct(edges: Any, T: int, K: int, C: int) -> None:
    x = draw(2, T, K, C, projections=False)
    other = edges(x)
    torch.testing.assert_close(log_partition(ours(x)), other.partition.detach(), rtol=PARITY, atol=0)
    best = viterbi(ours(x, largest=True))
    torch.testing.assert_close(best.score, other.max.detach(), rtol=0, atol=(T + 1) * ROUNDING)

    mine = marginals(ours(x), want=("start", "durations", "transitions"))
    theirs = other.marginals.detach()
    assert mine.start is not None
    assert mine.durations is not None
    assert mine.transitions is not None
    torch.testing.assert_close(mine.start[:, :T], theirs.sum((2, 4)), rtol=0, atol=PARITY)
    torch.testing.assert_close(mine.durations[:, 1:], theirs.sum((1, 4))[:, 1:], rtol=0, atol=PARITY * T)
    torch.testing.assert_close(mine.transitions[:, 0], theirs[:, 1:].sum((1, 2)).mT, rtol=0, atol=PARITY * T)


def test_torch_struct_best_segments(edges: Any) -> None:
    x = draw(1, 17, 5, 3, projections=False)
    _, start, end, label = viterbi(ours(x, largest=True)).segments
    parts = edges(x).argmax.detach()[0].sum(-1).nonzero()  # (segments, 3): position, duration, label
    assert parts.tolist() == torch.stack([start, end - start, label], 1).tolist()
