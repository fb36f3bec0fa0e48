"""The layer: its likelihoods against every segmentation one by one, what it learns from, and where it is used."""

from itertools import groupby

import pytest
import torch
from enumeration import enumerate_segmentations, from_potentials
from tolerances import EXACT

from semiseg import LabelGrammar, SemiCRF, SemisegError
from semiseg.kernels import Segments
from semiseg.path_score import path_score

PHASED = """
period = 2
[labels.a]
then = { b = { boundary = "x", phases = [1] }, c = "y" }
[labels.b]
then = ["a", "c"]
shortest = 2
[labels.c]
then = { a = "x" }
longest = 2
last = false
"""

LAYERS = {
    "plain": {},
    "no tail": {"tail": False, "durations": "free"},
    "repeats": {"repeats": True, "durations": "gamma", "labels": 2},
    "boundaries": {"boundaries": True, "durations": "poisson"},
    "chain": {"max_duration": 1, "tail": False},
    "by duration": {"transitions_by_duration": True, "durations": "spline", "tail": [True, False, True]},
    "censored": {"edges": "censored", "boundaries": True, "durations": "negative-binomial"},
    "grammar": {"labels": None, "grammar": LabelGrammar.parse(PHASED), "boundaries": True},
    "of each": {"durations": ["free", torch.neg, "free"], "max_duration": [4, 2, 4], "ends": False},
    "centred": {"centring": "per-sequence", "durations": "uniform"},
    "running": {"centring": "running", "durations": "geometric"},
}
EVERY = pytest.mark.parametrize("options", LAYERS.values(), ids=LAYERS)
T = 6


def layer(options=None, **more) -> SemiCRF:
    """A small layer with weights that are not zero, in double precision."""
    torch.manual_seed(1)
    crf = SemiCRF(**{"labels": 3, "max_duration": 4, "hidden": 5, **(options or {}), **more}).double()
    with torch.no_grad():
        for x in crf.parameters():
            x += 0.4 * torch.randn_like(x)
    return crf


def states(B=2, size=T, width=5) -> torch.Tensor:
    return torch.randn(B, size, width, dtype=torch.float64, generator=torch.Generator().manual_seed(7))


def every_path(crf, hidden, lengths, item):
    """Every segmentation of an item that the model allows, and its log probability."""
    found = enumerate_segmentations(from_potentials(crf.potentials(hidden, lengths), item))
    return found.paths, found.scores - found.log_partition


def of_positions(path) -> list[int]:
    return [c for s, t, c in path for _ in range(t - s)]


@EVERY
def test_the_loss_is_the_likelihood_of_every_segmentation(options):
    crf, hidden, lengths = layer(options), states(), torch.tensor([T, 4])
    with torch.no_grad():
        for item in range(2):
            paths, likelihoods = every_path(crf, hidden, lengths, item)
            p = crf.potentials(hidden[item : item + 1].expand(len(paths), -1, -1), lengths[item].expand(len(paths)))
            rows = [(i, *segment) for i, path in enumerate(paths) for segment in path]
            segments = Segments(*torch.tensor(rows).T)
            scores = path_score(p, segments)
            torch.testing.assert_close(scores - scores.logsumexp(0), torch.from_numpy(likelihoods), rtol=0, atol=1e-7)
            batch = p.emissions.shape[0]
            again = crf.loss(hidden[item].expand(batch, -1, -1), segments, p.lengths, reduction="none")
            torch.testing.assert_close(-again, torch.from_numpy(likelihoods), rtol=0, atol=1e-7)


@EVERY
def test_labels_of_positions_are_all_segmentations_that_have_them(options):
    """Some unknown, all known, none known."""
    crf, hidden, lengths = layer(options), states(), torch.tensor([T, 4])
    with torch.no_grad():
        for item in range(2):
            paths, likelihoods = every_path(crf, hidden, lengths, item)
            truth = of_positions(paths[len(paths) // 2])
            for hide in (set(), {1}, {0, 2, 3}, set(range(T))):
                known = [-1 if i in hide else c for i, c in enumerate(truth)]
                fits = [all(a in (-1, b) for a, b in zip(known, of_positions(path), strict=True)) for path in paths]
                want = torch.from_numpy(likelihoods[fits]).logsumexp(0)
                padded = torch.tensor(known + [2] * (T - len(known)))
                loss = crf.loss(hidden[item, None], padded[None], lengths[item, None])
                assert float(-loss) == pytest.approx(float(want), abs=1e-7)


@pytest.mark.parametrize("name", ["plain", "boundaries", "censored", "grammar", "chain"])
def test_unknown_stretches_between_segments(name):
    """A known segment is exactly that, whatever the stretch beside it is."""
    crf, hidden = layer(LAYERS[name]), states(1)
    with torch.no_grad():
        paths, likelihoods = every_path(crf, hidden, None, 0)
        whole = next(path for path in paths if len({c for *_, c in path}) > 2)
        if name == "chain":  # neighbours of one label are one span
            whole = [(0, 2, 0), (2, 3, 1), (3, T, 0)]
        for k in range(len(whole)):
            known = [(s, t, None if i == k else c) for i, (s, t, c) in enumerate(whole)]
            kept = {segment for segment in whole if segment != whole[k]}
            if name == "chain":
                spans = [{c for _, _, c in path[s:t]} == {c} for path in paths for s, t, c in kept]
                fits = [all(spans[i : i + len(kept)]) for i in range(0, len(spans), len(kept))]
            else:
                fits = [kept <= set(path) for path in paths]
            want = torch.from_numpy(likelihoods[fits]).logsumexp(0)
            assert float(-crf.loss(hidden, [known])) == pytest.approx(float(want), abs=1e-7)


def test_names_segments_and_labels_say_the_same():
    crf = layer(labels=["rest", "beat", "pause"])
    hidden, lengths = states(), torch.tensor([T, 4])
    labels = torch.tensor([[0, 0, 1, 1, 2, 2], [2, 1, 1, 1, 9, 9]])
    listed = [[(i, len(list(run))) for i, run in groupby(row)] for row in ([0, 0, 1, 1, 2, 2], [2, 1, 1, 1])]
    spans = []
    for row in listed:
        ends = torch.tensor([n for _, n in row]).cumsum(0).tolist()
        spans.append([(end - n, end, crf.names[c]) for (c, n), end in zip(row, ends, strict=True)])
    table = Segments(*torch.tensor([(0, 0, 2, 0), (0, 2, 4, 1), (0, 4, 6, 2), (1, 0, 1, 2), (1, 1, 4, 1)]).T)
    a, b, c = (crf.loss(hidden, x, lengths) for x in (labels, spans, table))
    assert a == b == c


@EVERY
def test_decoding_and_posteriors(options):
    crf, hidden, lengths = layer(options), states(), torch.tensor([T, 4])
    best, post = crf.decode(hidden, lengths), crf.marginals(hidden, lengths)
    for item in range(2):
        paths, likelihoods = every_path(crf, hidden, lengths, item)
        assert tuple(best.per_item()[item]) == paths[likelihoods.argmax()]
        own = best.segments.item == item
        assert float(best.segment_score[own].sum()) == pytest.approx(float(best.score[item]), abs=1e-3)
        probabilities = torch.from_numpy(likelihoods).exp()
        n = int(lengths[item])
        position = torch.zeros(n, len(crf.names), dtype=torch.float64)
        for path, share in zip(paths, probabilities, strict=True):
            for i, c in enumerate(of_positions(path)):
                position[i, c] += share
        torch.testing.assert_close(post.position[item, :n], position, rtol=0, atol=1e-5)
        assert float(post.entropy[item]) == pytest.approx(float(-(probabilities * probabilities.log()).sum()), abs=1e-6)
        exactly = probabilities[likelihoods.argmax()]
        assert bool((best.calls.segment[own] >= exactly - 1e-5).all())


@EVERY
def test_gradients(options):
    """Of the loss in states and every parameter, against differences."""
    crf, hidden = layer(options), states(1)
    labels = torch.tensor([of_positions(every_path(crf, hidden, None, 0)[0][3])])
    names = [name for name, _ in crf.named_parameters()]

    def loss(hidden, *values):
        return torch.func.functional_call(crf, dict(zip(names, values, strict=True)), (hidden, labels))

    inputs = [x.detach().clone().requires_grad_() for x in (hidden, *crf.parameters())]
    assert torch.autograd.gradcheck(loss, inputs, eps=1e-5, atol=1e-5, fast_mode=True)


@torch.no_grad()
def test_reductions_and_penalty():
    crf, hidden, lengths = layer(), states(), torch.tensor([T, 4])
    labels = torch.tensor([[0, 0, 1, 1, 2, 2], [2, 1, 1, 1, 0, 0]])
    each = crf.loss(hidden, labels, lengths, reduction="none")
    assert each.shape == (2,)
    for how, want in (("sum", each.sum()), ("sequence", each.mean()), ("position", each.sum() / 10)):
        assert float(crf.loss(hidden, labels, lengths, reduction=how)) == pytest.approx(float(want), abs=EXACT)
    heavy = layer(penalty=0.1)
    assert float(heavy(hidden, labels, lengths) - each.mean()) == pytest.approx(0.1 * float(crf.penalty()), abs=EXACT)
    smooth = layer(durations="free", ends=False)
    with torch.no_grad():
        smooth.transitions.zero_()
        for law in smooth.laws:
            law.heights.zero_()
    assert float(smooth.penalty()) == pytest.approx(0, abs=EXACT)


@torch.no_grad()
def test_unsure_sequences_weigh_more():
    """Their mean weight stays 1, and a focus of 0 is the plain loss."""
    hidden, labels = states(2), torch.tensor([[0, 0, 1, 1, 2, 2]] * 2)
    hidden[0] *= 20  # the model is sure
    plain, focused = layer(), layer(focus=3.0)
    entropy = plain.marginals(hidden).entropy
    assert entropy[0] < entropy[1]
    weights = focused.loss(hidden, labels, reduction="none") / plain.loss(hidden, labels, reduction="none")
    want = (1 + 3 * entropy / entropy.mean()) / 4
    torch.testing.assert_close(weights, want, rtol=1e-6, atol=0)
    assert float(weights.mean()) == pytest.approx(1)


@torch.no_grad()
def test_padding_changes_nothing():
    crf, hidden, labels = layer(boundaries=True), states(1, 4), torch.tensor([[2, 1, 1, 1]])
    alone = crf.loss(hidden, labels)
    padded = torch.cat([hidden, torch.full((1, 9, 5), torch.nan)], 1)
    with_padding = crf.loss(padded, torch.cat([labels, labels.new_full((1, 9), 77)], 1), torch.tensor([4]))
    assert float(alone) == float(with_padding)


@torch.no_grad()
def test_a_linear_chain_at_one():
    """Labels or spans, it is the same chain; a span is as many segments as positions."""
    crf, hidden = layer(max_duration=1, tail=False), states(1)
    labels = crf.loss(hidden, torch.tensor([[0, 0, 0, 2, 1, 1]]))
    spans = crf.loss(hidden, [[(0, 3, 0), (3, 4, 2), (4, 6, 1)]])
    assert float(labels) == float(spans)
    assert len(crf.decode(hidden).segments.item) == T


def test_laws_begin_at_what_is_known():
    crf = layer(max_duration=40, durations=["lognormal", "gamma", "lognormal"])
    crf.fit_durations([[(0, 10, 0), (10, 13, 1), (13, 21, 0), (21, 60, None)]])
    p = crf.potentials(states(1))
    mean = (p.durations[1:].exp() * torch.arange(1, 41)[:, None]).sum(0)
    assert mean[0].item() == pytest.approx(9, rel=0.2)
    assert mean[1].item() == pytest.approx(3, rel=0.2)
    crf.fit_durations(torch.tensor([[0] * 5 + [1] * 7 + [-1] * 8]), torch.tensor([12]))
    p = crf.potentials(states(1))
    assert (p.durations[1:].exp() * torch.arange(1, 41)[:, None]).sum(0)[0].item() == pytest.approx(5, rel=0.2)


def test_emissions_of_your_own():
    crf = SemiCRF(labels=3, max_duration=4)
    emissions = torch.randn(1, T, 3)
    emissions[0, 2, 1] = -torch.inf
    assert crf.potentials(emissions).emissions.equal(emissions)
    assert not crf.marginals(emissions).position[0, 2, 1]
    with pytest.raises(SemisegError, match="hidden: expected finite scores or -inf, got inf at item 0, position 2"):
        crf.decode(-emissions)
