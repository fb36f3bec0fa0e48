"""What must hold for every model, whatever its numbers: hypothesis draws the models."""

import os
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from larger import larger
from tolerances import EXACT, LONG, POSTERIOR, log_partition

from semiseg import kernels
from semiseg.kernels import Boundary, Potentials, fixed
from semiseg.kernels.naive import naive_marginals

INF = float("inf")
WIDE = torch.float64
EVERYTHING = ("start", "end", "position", "transitions", "durations", "boundaries")
drawn = settings(deadline=None, max_examples=25, derandomize="CI" in os.environ)
few = settings(drawn, max_examples=10)


positions, labels, durations = st.integers(1, 70), st.integers(1, 4), st.integers(1, 12)


@st.composite
def models(draw, T=positions, C=labels, K=durations) -> Potentials:
    """Any model of `larger`; label 0 may always go on, one position at a time, so every sequence has a segmentation."""
    seed, flat = draw(st.integers(0, 100_000)), draw(st.booleans())
    potentials = larger(seed, draw(T), draw(C), draw(K), flat)
    potentials.transitions[:, 0, 0] = 0.0
    return potentials


def posteriors(potentials: Potentials, **how: Any) -> Any:
    """What was asked for is there, which its type cannot say."""
    return kernels.marginals(potentials, **how)


def close(got: torch.Tensor, want: torch.Tensor, atol: float = EXACT) -> None:
    np.testing.assert_allclose(got.detach(), want.detach(), atol=atol, rtol=EXACT)


def same(got: kernels.Segments, want: kernels.Segments) -> None:
    for x, y in zip(got[1:], want[1:], strict=True):
        assert x.tolist() == y.tolist()


@drawn
@given(models())
def test_posteriors_belong_together(potentials):
    T = len(potentials.emissions)
    potentials = potentials._replace(emissions=potentials.emissions.requires_grad_())
    z = kernels.log_partition(potentials)
    z.backward()
    found = posteriors(potentials, want=EVERYTHING)
    close(found.log_partition, z)
    close(found.position, potentials.emissions.grad)
    close(found.position.sum(1), torch.ones(T, dtype=WIDE))
    close(found.position[1:] - found.position[:-1], found.start[1:T] - found.end[1:T])
    close(found.start[1:T].sum(1), found.end[1:T].sum(1))
    close(found.transitions.sum(), found.start[1:T].sum())
    close(found.position[0], found.start[0] if potentials.left == "exact" else found.position[0])
    close(found.position[-1], found.end[T] if potentials.right == "exact" else found.position[-1])
    assert not found.start[T].any()
    assert not found.end[0].any()
    assert float(found.position.min()) > -EXACT


@drawn
@given(models())
def test_no_path_outweighs_all(potentials):
    """Up to quantisation: a unit for each score of each segment."""
    T = len(potentials.emissions)
    found = kernels.viterbi(potentials)
    assert found.score <= kernels.log_partition(potentials) + 6 * (T + 1) * fixed.UNIT
    for path in (found.segments, *kernels.sample(potentials, 3)):
        assert [int(path.start[0]), int(path.end[-1])] == [0, T]
        assert path.start[1:].tolist() == path.end[:-1].tolist()


@drawn
@given(models(T=st.integers(2, 40)), st.lists(st.floats(0, 1), min_size=1, max_size=4))
def test_padding_and_batching_change_nothing(potentials, shares):
    T = len(potentials.emissions)
    lengths = [1 + round(share * (T - 1)) for share in shares]
    factors = torch.linspace(1.0, 0.5, len(lengths), dtype=WIDE)  # no two items alike
    scale = lambda x, b: torch.where(x == -INF, x, x * factors[b])  # noqa: E731
    items = [
        potentials._replace(
            emissions=scale(potentials.emissions, b)[:length],
            boundaries=tuple(Boundary(scale(m.scores, b)[: length + 1], m.types) for m in potentials.boundaries),
        )
        for b, length in enumerate(lengths)
    ]
    pad = lambda rows: torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=float("nan"))  # noqa: E731
    maps = zip(*(item.boundaries for item in items), strict=True)
    batch = potentials._replace(
        emissions=pad([item.emissions for item in items]),
        boundaries=tuple(Boundary(pad([m.scores for m in row]), row[0].types) for row in maps),
        lengths=torch.tensor(lengths),
    )
    together, best = posteriors(batch), kernels.viterbi(batch)
    drawn_together = kernels.sample(batch, 2, seed=5)
    for b, (item, length) in enumerate(zip(items, lengths, strict=True)):
        alone, path = posteriors(item, chunks=1), kernels.viterbi(item)
        assert together.log_partition[b] == alone.log_partition
        assert kernels.log_partition(batch)[b] == kernels.log_partition(item, chunks=1)
        for name, rows in (("start", length + 1), ("end", length + 1), ("position", length)):
            field = getattr(together, name)[b]
            close(field[:rows], getattr(alone, name))
            assert not field[rows:].any()
        assert best.score[b] == path.score
        same(kernels.Segments(*(x[best.segments.item == b] for x in best.segments)), path.segments)
        for of_batch, of_item in zip(drawn_together, kernels.sample(item, 2, seed=5 + b), strict=True):
            same(kernels.Segments(*(x[of_batch.item == b] for x in of_batch)), of_item)


@drawn
@given(models(), st.floats(-100, 100))
def test_a_constant_on_all_emissions(potentials, constant):
    found = posteriors(potentials)
    shifted = posteriors(potentials._replace(emissions=potentials.emissions + constant))
    close(shifted.log_partition, found.log_partition + constant * len(potentials.emissions), LONG)
    for name in ("start", "end", "position"):
        close(getattr(shifted, name), getattr(found, name), LONG)


@drawn
@given(st.integers(1, 40), st.integers(1, 5), st.integers(1, 50), st.booleans())
def test_zeros_count_the_segmentations(T, C, K, tail):
    """`C (C + 1)^(T - 1)` where any length may follow any label, `C^T` where a label must change or K = 1."""
    zeros = lambda *shape: torch.zeros(*shape, dtype=WIDE)  # noqa: E731
    free = Potentials(zeros(T, C), zeros(K + 1, C), zeros(C, C), tail=zeros(C) if tail else None)
    changes = free._replace(transitions=zeros(C, C).fill_diagonal_(-INF))
    counts = [1]  # Fibonacci for C = 1, K = 2
    for t in range(1, T + 1):
        counts.append(C * sum(counts[max(0, 0 if tail else t - K) : t]))
    got = kernels.log_partition(free).item()
    assert got == pytest.approx(np.log(float(counts[T])), abs=EXACT)
    if tail or K >= T:
        assert got == pytest.approx(np.log(C) + (T - 1) * np.log(C + 1), abs=EXACT)
        if C > 1:
            assert kernels.log_partition(changes).item() == pytest.approx(T * np.log(C), abs=EXACT)
    elif K == 1:
        assert got == pytest.approx(T * np.log(C), abs=EXACT)


def renewal(seed: int, T: int, C: int, K: int, P: int) -> tuple[Any, np.ndarray]:
    """A normalised model without evidence, with its stationary law of starts by phase, and each label's mean length."""
    rng = np.random.default_rng(seed)
    longest, period = rng.integers(1, K + 1, C), rng.choice([1, 3], C)
    tail = np.where(rng.random(C) < 0.6, -rng.uniform(0.05, 1.0, C), -np.inf)
    long = 2000  # where every tail has died out
    law = np.zeros((long + 1, C))
    for c in range(C):
        longest[c] = max(longest[c], period[c] if tail[c] > -np.inf else 1)
        law[1 : longest[c] + 1, c] = rng.dirichlet(np.ones(longest[c]))
        for k in range(longest[c] + 1, long + 1):
            law[k, c] = law[k - period[c], c] * np.exp(tail[c])
    law /= law.sum(0)
    change = rng.dirichlet(np.ones(C), size=(P, C))  # (P, source, target)
    # a segment that starts in phase r ends in phase t, where the next one starts
    phases = np.stack([law[np.arange(long + 1) % P == r].sum(0) for r in range(P)])  # lengths mod P
    step = np.zeros((P, C, P, C))
    for r in range(P):
        for t in range(P):
            step[r, :, t, :] = phases[(t - r) % P][:, None] * change[t]
    weights = np.linalg.lstsq(
        np.concatenate([step.reshape(P * C, P * C).T - np.eye(P * C), np.ones((1, P * C))]),
        np.append(np.zeros(P * C), 1.0),
        rcond=None,
    )[0].reshape(P, C)
    with np.errstate(divide="ignore"):
        durations = np.log(np.where(np.arange(longest.max() + 1)[:, None] <= longest, law[: longest.max() + 1], 0))
        numbers = durations, np.log(change), np.log(np.maximum(weights, 0)), tail
    d, a, first, lam = map(torch.from_numpy, numbers)
    potentials = Potentials(
        torch.zeros(T, C, dtype=WIDE),
        d,
        a,
        torch.from_numpy(longest),
        lam,
        torch.from_numpy(period),
        first=first,
        left="censored",
        origin=int(rng.integers(-50, 50)),
    )
    return potentials, (np.arange(long + 1)[:, None] * law).sum(0)


sizes = (st.integers(0, 100_000), st.integers(1, 40), st.integers(1, 4), st.integers(1, 8), st.sampled_from([1, 3]))


@drawn
@given(*sizes)
def test_all_mass_is_there_under_censored_edges(seed, T, C, K, P):
    potentials, means = renewal(seed, T, C, K, P)
    # as much begins in a phase as ends in it: all of it where there is one phase
    expected = torch.logsumexp(potentials.first[(potentials.origin + T) % P], 0).item()
    assert P == 3 or expected == pytest.approx(0, abs=EXACT)
    assert kernels.log_partition(potentials).item() == pytest.approx(expected, abs=LONG)
    rng = np.random.default_rng(seed)
    both = potentials._replace(right="censored")
    assert P == 3 or kernels.log_partition(both).item() == pytest.approx(
        np.log((np.exp(potentials.first[0].numpy()) * means).sum()), abs=LONG
    )
    any_first = rng.normal(size=C)
    free = both._replace(first=torch.from_numpy(any_first))
    assert kernels.log_partition(free).item() == pytest.approx(np.log((np.exp(any_first) * means).sum()), abs=LONG)


@drawn
@given(*sizes, st.integers(1, 30))
def test_empty_positions_before_a_censored_start(seed, T, C, K, P, periods):
    potentials, _ = renewal(seed, T, C, K, P)
    rng = np.random.default_rng(seed)
    scores = torch.from_numpy(rng.normal(size=(T + 1, 2)))
    scores[0] = 0  # silent at a censored end, so it must be silent further in
    types = torch.from_numpy(rng.integers(-1, 2, (C, C)))
    potentials = potentials._replace(
        emissions=torch.from_numpy(rng.normal(size=(T, C))),
        boundaries=(Boundary(scores, types),),
        right=str(rng.choice(["exact", "censored"])),
    )
    n = P * periods
    longer = potentials._replace(
        emissions=torch.cat([torch.zeros(n, C, dtype=WIDE), potentials.emissions]),
        boundaries=(Boundary(torch.cat([torch.zeros(n, 2, dtype=WIDE), scores]), types),),
        origin=potentials.origin - n,
    )
    found, more = posteriors(potentials), posteriors(longer)
    close(more.log_partition, found.log_partition, LONG)
    close(more.position[n:], found.position, LONG)
    close(more.start[n + 1 :], found.start[1:], LONG)
    close(more.end[n + 1 :], found.end[1:], LONG)


def check_naive(potentials: Potentials, atol: float = EXACT) -> None:
    want, got = naive_marginals(potentials), posteriors(potentials, want=EVERYTHING)
    assert got.log_partition.item() == pytest.approx(want.log_partition, abs=atol, rel=EXACT)
    for name in ("start", "end", "position", "tail_steps"):
        np.testing.assert_allclose(getattr(got, name), getattr(want, name), atol=atol, err_msg=name)


@few
@given(models())
def test_equals_naive(potentials):
    if "censored" not in (potentials.left, potentials.right):
        check_naive(potentials)
    want = naive_marginals(potentials)
    got = posteriors(potentials)
    assert got.log_partition.item() == pytest.approx(want.log_partition, abs=EXACT)
    close(got.position, torch.from_numpy(want.position))


@drawn
@given(models(K=st.just(1)))
def test_durations_of_one_are_a_linear_chain(potentials):
    """K = 1 without a tail: the forward recursion of a chain, written out."""
    p = potentials._replace(tail=None, left="exact", right="exact", period=None)
    steps = p.emissions + p.durations[1]
    alpha = p.first[p.origin % len(p.first)] + known(p, 0) + steps[0]
    for t in range(1, len(steps)):
        change = p.transitions[(p.origin + t) % len(p.transitions)].clone()
        for m in p.boundaries:
            change += torch.where(m.types >= 0, m.scores[t][m.types.clamp(min=0)], 0.0)
        alpha = torch.logsumexp(alpha[:, None] + change, 0) + steps[t]
    last = 0.0 if p.last is None else p.last
    want = torch.logsumexp(alpha + last + known(p, len(steps)), 0)
    close(kernels.log_partition(p), want)


def known(p: Any, t: int) -> torch.Tensor:
    """Scores of an exact end: of maps whose type the label inside fixes."""
    out = torch.zeros(p.emissions.shape[1], dtype=WIDE)
    for m in p.boundaries:
        types = m.types if t == 0 else m.types.T
        if (types == types[0]).all():
            out += torch.where(types[0] >= 0, m.scores[t][types[0].clamp(min=0)], 0.0)
    return out


@drawn
@given(models(T=st.integers(1, 12), K=st.sampled_from([1, 2, 12, 40])), st.integers(1, 30))
def test_rows_that_no_segment_can_use(potentials, extra):
    """K is no more than the size of a table: longer ones change nothing, and neither do durations beyond T."""
    K, C = len(potentials.durations) - 1, potentials.emissions.shape[1]
    noise = torch.randn(extra, C, dtype=WIDE)
    wider = potentials._replace(durations=torch.cat([potentials.durations, noise]))
    assert kernels.log_partition(wider) == kernels.log_partition(potentials)
    close(posteriors(wider).position, posteriors(potentials).position)
    same(kernels.viterbi(wider).segments, kernels.viterbi(potentials).segments)
    exact = potentials._replace(left="exact", right="exact", tail=None, longest=None, durations=potentials.durations)
    T = len(exact.emissions)
    if K > T:
        cut = exact._replace(durations=exact.durations[: T + 1])
        close(kernels.log_partition(cut), kernels.log_partition(exact))
        same(kernels.viterbi(cut).segments, kernels.viterbi(exact).segments)


def mirrored(p: Any) -> Potentials:
    """The same model read from right to left. At a censored start, `first` must be 0."""
    T, P = len(p.emissions), len(p.transitions)
    return p._replace(
        emissions=p.emissions.flip(0),
        transitions=p.transitions[(p.origin + T - torch.arange(P)) % P].transpose(1, 2),
        boundaries=tuple(Boundary(m.scores.flip(0), m.types.T) for m in p.boundaries),
        first=p.last,
        last=None if p.first is None else p.first[p.origin % len(p.first)],
        left=p.right,
        right=p.left,
        origin=0,
    )


@drawn
@given(models())
def test_time_reversal(potentials):
    if potentials.left == "censored":
        potentials = potentials._replace(first=None)
    found, back = posteriors(potentials), posteriors(mirrored(potentials))
    close(back.log_partition, found.log_partition)
    close(back.position.flip(0), found.position)
    close(back.end.flip(0), found.start)
    close(back.start.flip(0), found.end)
    if "censored" not in (potentials.left, potentials.right):  # survival tables round differently
        best, tsed = kernels.viterbi(potentials), kernels.viterbi(mirrored(potentials))
        T = len(potentials.emissions)
        assert best.score.item() == pytest.approx(tsed.score.item(), abs=8 * (T + 1) * fixed.UNIT)


@drawn
@given(models())
def test_single_precision(potentials):
    """The same values in float32 and in float64."""
    narrow = potentials._replace(
        emissions=potentials.emissions.float(),
        boundaries=tuple(Boundary(m.scores.float(), m.types) for m in potentials.boundaries),
    )
    wide = potentials._replace(
        emissions=narrow.emissions.double(),
        boundaries=tuple(Boundary(m.scores.double(), m.types) for m in narrow.boundaries),
    )
    want, got = posteriors(wide), posteriors(narrow)
    assert got.position.dtype == torch.float32
    assert got.log_partition.item() == pytest.approx(
        want.log_partition.item(), abs=log_partition(len(potentials.emissions))
    )
    for name in ("start", "end", "position"):
        close(getattr(got, name).double(), getattr(want, name), POSTERIOR)
    same(kernels.viterbi(narrow).segments, kernels.viterbi(wide).segments)


@drawn
@given(st.integers(0, 1000), st.integers(1, 5), st.integers(1, 4))
def test_one_position(seed, C, K):
    rng = np.random.default_rng(seed)
    e, d, a, first, last = (torch.from_numpy(rng.normal(size=s)) for s in ((1, C), (K + 1, C), (C, C), (C,), (C,)))
    potentials = Potentials(e, d, a, first=first, last=last)
    scores = e[0] + d[1] + first + last
    close(kernels.log_partition(potentials), torch.logsumexp(scores, 0))
    close(posteriors(potentials).position[0], torch.softmax(scores, 0))
    _, start, end, label = kernels.viterbi(potentials).segments
    assert [start.tolist(), end.tolist(), label.tolist()] == [[0], [1], [int(scores.argmax())]]


@few
@given(models(T=st.integers(1, 200)), st.sampled_from([-1e4, 1e4]), st.booleans())
def test_large_offsets(potentials, offset, one_label):
    """On every label, or on one only: then the others stand no chance but where they must."""
    shift = torch.zeros(potentials.emissions.shape[1], dtype=WIDE)
    shift[: 1 if one_label else None] = offset
    potentials = potentials._replace(emissions=potentials.emissions + shift)
    want, got = naive_marginals(potentials), posteriors(potentials)
    atol = 100 * np.finfo(np.float64).eps * abs(offset) * len(potentials.emissions)  # naive adds all of it up
    assert got.log_partition.item() == pytest.approx(want.log_partition, rel=EXACT)
    close(got.position, torch.from_numpy(want.position), atol)
    close(got.start, torch.from_numpy(want.start), atol)


@st.composite
def steep(draw) -> Potentials:
    """Labels that rise and fall by 50 nats a position, and may end only after a long time: sums underflow."""
    rng = np.random.default_rng(draw(st.integers(0, 100_000)))
    T, C, K = draw(st.integers(60, 260)), draw(st.integers(1, 3)), draw(st.integers(20, 130))
    shortest = rng.integers(1, K + 1, C)
    shortest[0] = 1 if rng.random() < 0.5 else min(shortest[0], T // 2)
    durations = rng.normal(size=(K + 1, C))
    durations[np.arange(K + 1)[:, None] < shortest] = -np.inf
    slope = rng.choice([-50.0, 50.0], size=(8, C)).repeat(-(-T // 8), 0)[:T]
    tail = np.where(rng.random(C) < 0.7, rng.uniform(-60, 0, C), -np.inf)
    tail[0] = -20.0  # so that every length is possible
    numbers = slope + rng.normal(size=(T, C)), durations, rng.normal(size=(C, C)), tail
    e, d, a, lam = map(torch.from_numpy, numbers)
    return Potentials(e, d, a, tail=lam, period=torch.from_numpy(rng.choice([1, 3], C)))


@settings(drawn, max_examples=12)
@given(steep(), st.integers(1, 4))
def test_steep_emissions(potentials, chunks):
    want = naive_marginals(potentials)
    got = posteriors(potentials, want=EVERYTHING, chunks=chunks, warm_up=20)
    assert got.log_partition.item() == pytest.approx(want.log_partition, rel=EXACT, abs=LONG)
    for name in ("start", "end", "position"):
        close(getattr(got, name), torch.from_numpy(getattr(want, name)), LONG if chunks == 1 else 1e-5)
    path = kernels.sample(potentials, 1, chunks=chunks)[0]
    assert [int(path.start[0]), int(path.end[-1])] == [0, len(potentials.emissions)]
