"""The distributions against torch-struct's, and against every segmentation one by one."""

import warnings
from collections import Counter

import pytest
import torch
from enumeration import enumerate_segmentations, from_potentials
from tolerances import STANDARD_ERRORS

from semiseg import Constraints, LinearChain, Potentials, PotentialsError, SemiMarkov, SemisegError, constrained
from semiseg.kernels import Segments

B, N, C, K = 2, 6, 3, 3
LENGTHS = torch.tensor([6, 4])
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture
def struct():
    """torch-struct, which predates torch's checks of distributions and warns of its own ways."""
    found = pytest.importorskip("torch_struct")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield found


def table(seed=0) -> torch.Tensor:
    return torch.randn(B, N - 1, C, C, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def as_labels(parts, N=N) -> list[int]:
    """Labels of torch-struct's indicator (N - 1, C, C) of one sequence."""
    before, behind = parts.sum(1).argmax(1), parts.sum(2).argmax(1)
    return [int(before[0]), *behind.tolist()]


def test_linear_chain(struct):
    scores = table().requires_grad_()
    ours, theirs = LinearChain(scores, LENGTHS), struct.LinearChainCRF(scores, LENGTHS)
    torch.testing.assert_close(ours.partition, theirs.partition)
    torch.testing.assert_close(ours.entropy, theirs.entropy, **CLOSE)
    torch.testing.assert_close(ours.max, theirs.max, rtol=0, atol=1e-3)
    torch.testing.assert_close(ours.marginals, theirs.marginals, **CLOSE)
    other = table(1)
    torch.testing.assert_close(
        ours.kl(LinearChain(other, LENGTHS)), theirs.kl(struct.LinearChainCRF(other, LENGTHS)), **CLOSE
    )
    for item in range(B):
        n = int(LENGTHS[item])
        assert ours.argmax[item].tolist() == as_labels(theirs.argmax[item, : n - 1]) + [-1] * (N - n)
    a, b = (torch.autograd.grad(d.marginals[:, 1, 0, 2].sum(), scores)[0] for d in (ours, theirs))
    torch.testing.assert_close(a, b, **CLOSE)
    value = theirs.argmax.detach()
    torch.testing.assert_close(ours.log_prob(ours.argmax), theirs.log_prob(value))
    # its count is of items without padding
    assert ours.count.tolist() == pytest.approx([C**6, C**4])
    assert float(struct.LinearChainCRF(scores[:1]).count) == pytest.approx(float(ours.count[0]))
    assert ours.batch_shape == theirs.batch_shape


def test_linear_chain_topk(struct):
    ours, theirs = LinearChain(table()), struct.LinearChainCRF(table())
    labels, scores = ours.topk(4)
    torch.testing.assert_close(scores, theirs.kmax(4).T, rtol=0, atol=1e-3)
    want = theirs.topk(4)
    for k in range(4):
        assert labels[k].tolist() == [as_labels(want[k, item]) for item in range(B)]


def test_more_than_there_are():
    """As many rows as were asked for, whatever an item has."""
    chain = LinearChain(torch.zeros(2, 1, 2, 2), torch.tensor([2, 1]))
    labels, scores = chain.topk(6)
    assert scores.tolist() == [[0.0] * 4 + [-torch.inf] * 2, [0.0] * 2 + [-torch.inf] * 4]
    assert labels[:, 0].tolist() == [[0, 0], [1, 0], [0, 1], [1, 1], [-1, -1], [-1, -1]]
    assert labels[:, 1].tolist() == [[0, -1], [1, -1], *[[-1, -1]] * 4]
    found = chain.segmentations.topk(6)
    assert found.score.equal(scores)
    sizes = [[len(path) for path in table.per_item(2)] for table in found.segments]
    assert sizes == [*[[2, 1]] * 2, *[[2, 0]] * 2, *[[0, 0]] * 2]


def factors() -> tuple[Potentials, torch.Tensor]:
    """Factors, and torch-struct's table of them."""
    g = torch.Generator().manual_seed(3)
    emissions, law, changes = (
        torch.randn(*shape, generator=g, dtype=torch.float64) for shape in ((B, N, C), (K + 1, C), (C, C))
    )
    p = Potentials(emissions, law, changes, first=changes.logsumexp(0))
    scores = torch.zeros(B, N, K + 1, C, C, dtype=torch.float64)
    sums = torch.nn.functional.pad(emissions.cumsum(1), (0, 0, 1, 0))
    for k in range(1, K + 1):
        scores[:, : N - k + 1, k] = (sums[:, k:] - sums[:, :-k] + law[k])[..., None] + changes.T
    return p, scores


def test_semi_markov(struct):
    p, scores = factors()
    ours, theirs = SemiMarkov(p), struct.SemiMarkovCRF(scores)
    torch.testing.assert_close(ours.partition, theirs.partition)
    want, found = theirs.marginals.detach(), ours.marginals
    torch.testing.assert_close(found.start[:, :N].double(), want.sum((2, 4)), **CLOSE)
    torch.testing.assert_close(found.durations[:, 1:].double(), want.sum((1, 4))[:, 1:], **CLOSE)
    assert ours.batch_shape == theirs.batch_shape


def test_semi_markov_against_every_segmentation():
    p = factors()[0]._replace(lengths=LENGTHS)
    ours, seen = SemiMarkov(p), SemiMarkov(p).sample(2000)
    best, top = ours.argmax, ours.topk(3)
    for item in range(B):
        every = enumerate_segmentations(from_potentials(p, item))
        shares = torch.from_numpy(every.scores - every.log_partition)
        assert float(ours.count[item]) == pytest.approx(len(every.paths))
        assert float(ours.entropy[item]) == pytest.approx(float(-(shares.exp() * shares).sum()), abs=1e-6)
        order = shares.argsort(descending=True)
        of_item = [tuple(path.per_item()[item]) for path in top.segments]
        assert of_item == [every.paths[i] for i in order[:3]]
        assert float(ours.max[item]) == pytest.approx(float(every.scores.max()), abs=1e-3)
        paths = Counter(tuple(zip(*(x[s.item == item].tolist() for x in s[1:]), strict=True)) for s in seen)
        share = float(shares.max().exp())
        error = (share * (1 - share) / len(seen)) ** 0.5
        assert abs(paths[every.paths[int(order[0])]] / len(seen) - share) < STANDARD_ERRORS * error
    alone = SemiMarkov(p._replace(emissions=p.emissions[0], lengths=None))
    assert float(alone.partition) == pytest.approx(float(ours.partition[0]))
    likely = ours.log_prob(best)
    assert ours.log_prob(best.per_item()).equal(likely)
    first = Segments(*(x[best.item == 0] for x in best))
    assert (first.per_item(), first.per_item(B)) == (best.per_item()[:1], [best.per_item()[0], []])
    none = Segments(*(x[:0] for x in best))
    assert (none.per_item(), none.per_item(1)) == ([], [[]])
    assert bool((likely <= 0).all())


def test_samples_follow_the_seed():
    chain = LinearChain(table(), LENGTHS)
    torch.manual_seed(5)
    first = chain.sample(3)
    torch.manual_seed(5)
    assert chain.sample(3).equal(first)
    assert first.shape == (3, B, N)
    assert bool((first[:, 1, 4:] == -1).all())
    assert not bool((first[:, 0] == -1).any())


def test_one_label_counts_segmentations():
    p = Potentials(torch.randn(7, 1), torch.randn(8, 1), torch.randn(1, 1))
    assert float(SemiMarkov(p).count) == pytest.approx(2**6)
    chain = LinearChain(torch.randn(2, 4, 1, 1), torch.tensor([3, 5]))
    assert chain.count.tolist() == [1, 1]
    assert chain.partition[0] == pytest.approx(float(chain.log_potentials[0, :2].sum()))


def test_what_cannot_be_used():
    with pytest.raises(SemisegError, match=r"log_potentials: expected \(B, N - 1, C, C\), got \(2, 3, 4\)"):
        LinearChain(torch.zeros(2, 3, 4))
    with pytest.raises(SemisegError, match=r"lengths: expected 1\.\.6, got 7 for item 1"):
        LinearChain(table(), torch.tensor([6, 7]))
    for value in (torch.nan, torch.inf):
        scores = table()
        scores[1, 3, 0, 2] = value
        with pytest.raises(
            SemisegError, match=f"^log_potentials: expected finite scores or -inf, got {value} at item 1, position 3$"
        ):
            LinearChain(scores)
        assert bool(LinearChain(scores, LENGTHS).partition.isfinite().all())  # behind an end it is padding
    ours = SemiMarkov(factors()[0])
    with pytest.raises(SemisegError, match="item 0: segments 0 and 1 leave a gap, 2 to 3"):
        ours.log_prob([[(0, 2, 1), (3, 6, 1)], [(0, 6, 0)]])
    with pytest.raises(SemisegError, match="value: expected labels of all segments"):
        ours.log_prob([[(0, 2, 1), (2, 6, None)], [(0, 6, 0)]])
    over = Segments(*torch.tensor([(0, 0, 6, 0), (1, 0, 6, 0)]).T)
    assert ours.log_prob(over).tolist() == [-torch.inf] * 2


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (torch.zeros(3), "potentials: expected Potentials, got Tensor"),
        (
            constrained(
                Potentials(torch.zeros(1, 4, 2), torch.zeros(3, 2), torch.zeros(2, 2)), Constraints().boundary(1)
            ),
            r"potentials: expected Potentials, got Relabelled \(it is in its .potentials\)",
        ),
    ],
)
def test_what_is_no_model_is_named(given, said):
    with pytest.raises(PotentialsError, match=f"^{said}$"):
        SemiMarkov(given)
