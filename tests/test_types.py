# pyright: strict, reportUnusedCallResult=false
"""Every public name as a user's type checker sees it: `make lint` has this file checked by pyright in strict mode."""

from typing import assert_type

import pytest
import torch
from torch import Tensor

import semiseg
from semiseg import (
    CRF,
    Boundary,
    CalledSegment,
    Constraints,
    KBest,
    LabelGrammar,
    LinearChain,
    Marginals,
    Potentials,
    Segments,
    SemiCRF,
    SemiMarkov,
    SemisegError,
    Viterbi,
)

SHAPE = (1, 6, 2)


def model() -> Potentials:
    map_ = Boundary(torch.zeros(1, 7, 1), torch.zeros(2, 2, dtype=torch.int64))
    return Potentials(torch.randn(SHAPE), torch.zeros(4, 2), torch.zeros(2, 2), boundaries=(map_,))


def test_operations() -> None:
    p, q = model(), model()
    assert_type(semiseg.log_partition(p), Tensor)
    best = assert_type(semiseg.viterbi(p, threads=1), Viterbi)
    segments = assert_type(best.segments, Segments)
    assert_type(segments.start, Tensor)
    assert_type(segments.per_item(), list[list[tuple[int, int, int]]])
    found = assert_type(semiseg.marginals(p, want=("start",), segments=segments), Marginals)
    assert_type(found.position, Tensor | None)
    assert_type(semiseg.sample(p, 2, seed=1), list[Segments])
    assert_type(semiseg.k_best(p, 2), KBest)
    assert_type(semiseg.entropy(p), Tensor)
    assert_type(semiseg.cross_entropy(p, q), Tensor)
    assert_type(semiseg.kl(p, q), Tensor)
    assert_type(semiseg.expected_segments(p), Tensor)
    assert_type(semiseg.semiring(p, "log"), Tensor)
    assert_type(semiseg.semiring(p, "kl", other=q), Tensor)
    assert_type(semiseg.semiring(p, "count"), list[int])
    held = semiseg.constrained(p, Constraints().boundary(3))
    assert_type(held.potentials, Potentials)
    assert_type(held.label, Tensor)


def test_layers() -> None:
    crf = SemiCRF(labels=["a", "b"], max_duration=4, hidden=3, durations=["free", torch.neg], boundaries=True)
    hidden, lengths = torch.randn(1, 6, 3), torch.tensor([6])
    loss = assert_type(crf.loss(hidden, [[(0, 2, "a"), (2, 6, None)]], lengths, reduction="sum"), Tensor)
    assert loss.isfinite()
    assert_type(crf.penalty(), Tensor)
    known = [Constraints().segment(0, 2, "a").no_label(3, 4, ["b"])]
    decoded = crf.decode(hidden, lengths, constraints=known)
    assert_type(decoded.per_item(), list[list[tuple[int, int, int]]])
    assert_type(decoded.calls.segment, Tensor)
    post = crf.marginals(hidden, lengths)
    assert_type(post.position, Tensor)
    assert_type(post.segments, Tensor)
    assert_type(crf.potentials(hidden), Potentials)
    crf.fit_durations([[(0, 2, "a"), (2, 6, "b")]])
    tags = CRF(2, batch_first=True)
    assert_type(tags.decode(torch.zeros(SHAPE)), list[list[int]])
    grammar = assert_type(LabelGrammar.parse("[labels.a]\n[labels.b]"), LabelGrammar)
    assert_type(grammar.labels, tuple[str, ...])
    assert len(SemiCRF(grammar=grammar, hidden=3).names) == 2


def test_distributions() -> None:
    markov = SemiMarkov(model())
    for x in (markov.partition, markov.max, markov.entropy, markov.count, markov.segments, markov.kl(markov)):
        assert_type(x, Tensor)
    assert_type(markov.argmax, Segments)
    assert_type(markov.log_prob(markov.argmax), Tensor)
    assert_type(markov.sample(2), list[Segments])
    assert_type(markov.topk(2).segments, list[Segments])
    chain = LinearChain(torch.zeros(1, 3, 2, 2))
    assert_type(chain.topk(2), tuple[Tensor, Tensor])
    assert_type(chain.sample(2), Tensor)
    assert_type(chain.marginals, Tensor)


def test_the_rest() -> None:
    assert_type(semiseg.segment_example(), list[CalledSegment])
    with pytest.raises(semiseg.PotentialsError, match="lengths"):
        semiseg.viterbi(model()._replace(lengths=torch.tensor([9])))
    assert issubclass(semiseg.InfeasibleError, semiseg.PotentialsError)
    assert issubclass(semiseg.PotentialsError, SemisegError)
    assert issubclass(SemisegError, ValueError)
