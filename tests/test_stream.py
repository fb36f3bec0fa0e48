"""Block by block equals in one go, for everything that can be asked."""

import cases
import numpy as np
import pytest
import torch
from larger import larger
from tolerances import EXACT

from semiseg import kernels
from semiseg.kernels.potentials import Potentials

LARGER = [larger(seed) for seed in range(8)]
SMALL = [
    case.potentials
    for case in cases.grid()
    if not case.potentials.transitions_by_duration and len(case.potentials.emissions) > 2
]


def stream(p: Potentials, **options) -> kernels.Stream:
    readers = [lambda a, b, scores=boundary.scores: scores[a:b] for boundary in p.boundaries]
    return kernels.Stream(p, len(p.emissions), lambda a, b: p.emissions[a:b], readers, **options)


def blocks(p: Potentials, size: int) -> list[Potentials]:
    """Return the blocks of a sequence; neighbours share a row of boundary scores."""
    out = []
    for a in range(0, len(p.emissions), size):
        b = min(len(p.emissions), a + size)
        out.append(
            p._replace(
                emissions=p.emissions[a:b],
                boundaries=tuple(x._replace(scores=x.scores[a : b + 1]) for x in p.boundaries),
                origin=p.origin + a,
            )
        )
    return out


@pytest.mark.parametrize("p", [*LARGER, *SMALL[::4]])
@pytest.mark.parametrize("size", [1, 7, 64])
def test_states_carried_from_block_to_block(p, size):
    if size == 1 and len(p.emissions) > 50:
        pytest.skip("long")
    parts = blocks(p, size)
    lefts, rights = [None], [None]
    for part in parts[:-1]:
        lefts.append(kernels.forward(part, lefts[-1]))
    for part in parts[:0:-1]:
        rights.append(kernels.backward(part, rights[-1]))
    whole = kernels.marginals(p)
    got = [kernels.posteriors(*each) for each in zip(parts, lefts, rights[::-1], strict=True)]
    for block in got:
        assert block.log_partition == pytest.approx(whole.log_partition.item(), abs=1e-7)
    np.testing.assert_allclose(torch.cat([g.start for g in got]), whole.start[:-1], atol=EXACT)
    np.testing.assert_allclose(torch.cat([g.end for g in got]), whole.end[1:], atol=EXACT)
    np.testing.assert_allclose(torch.cat([g.position for g in got]), whole.position, atol=EXACT)


@pytest.mark.parametrize("p", [*LARGER, *SMALL[1::4]])
def test_a_sequence_read_in_pieces(p):
    s = stream(p)
    whole = kernels.marginals(p)
    best = kernels.viterbi(p)
    assert s.log_partition() == pytest.approx(whole.log_partition.item(), abs=1e-7)
    np.testing.assert_allclose(np.concatenate([x.position for x in s.marginals()]), whole.position, atol=EXACT)
    found = [torch.cat(column) for column in zip(*s.viterbi(), strict=True)]
    for got, want in zip(found, best.segments, strict=True):
        assert torch.equal(got, want)
    for got, want in zip(s.sample(3, seed=5), kernels.sample(p, 3, seed=5), strict=True):
        assert torch.equal(got.start, want.start)
        assert torch.equal(got.label, want.label)
    described = kernels.marginals(p, segments=best.segments).calls
    for got, want in zip(s.calls(best.segments), described, strict=True):
        np.testing.assert_allclose(got, want, atol=EXACT)
    assert s.entropy() == pytest.approx(kernels.entropy(p).item(), abs=1e-7)
    q = p._replace(emissions=p.emissions * 0.9, transitions=p.transitions * 1.1)
    assert s.cross_entropy(stream(q)) == pytest.approx(kernels.cross_entropy(p, q).item(), abs=1e-7)
    assert s.kl(stream(q)) == pytest.approx(kernels.kl(p, q).item(), abs=1e-6)


def test_a_reader_that_lies_is_named():
    p = LARGER[0]
    wrong = kernels.Stream(p._replace(boundaries=()), len(p.emissions), lambda a, b: p.emissions[a : max(a, b - 1)])
    with pytest.raises(kernels.PotentialsError, match="expected rows"):
        wrong.log_partition()
    nan = p.emissions.clone()
    nan[123, 1] = float("nan")
    with pytest.raises(kernels.PotentialsError, match="position 123, column 1"):
        kernels.Stream(p._replace(boundaries=()), len(nan), lambda a, b: nan[a:b]).log_partition()


def test_wrong_use_of_a_stream_is_one_line():
    p = LARGER[0]._replace(boundaries=())
    T, C = p.emissions.shape
    reader = lambda a, b: p.emissions[a:b]  # noqa: E731
    with pytest.raises(kernels.PotentialsError, match="expected a function"):
        kernels.Stream(p, T, p.emissions)
    with pytest.raises(kernels.PotentialsError, match="expected a torch tensor of rows, got ndarray"):
        kernels.Stream(p, T, lambda a, b: p.emissions[a:b].numpy()).log_partition()
    with pytest.raises(kernels.PotentialsError, match=r"emissions \(., C\)"):
        kernels.Stream(p._replace(emissions=p.emissions[None]), T, reader)
    with pytest.raises(kernels.PotentialsError, match="positions as in p"):
        kernels.Stream(p, T, reader).kl(kernels.Stream(p, T - 1, reader))
    with pytest.raises(kernels.PotentialsError, match="expected Potentials"):
        kernels.forward(p.emissions)
    decoder = kernels.ViterbiStream(p)
    decoder.push(p.emissions)
    decoder.finish()
    with pytest.raises(kernels.PotentialsError, match="after finish"):
        decoder.finish()
    with pytest.raises(kernels.PotentialsError, match="after finish"):
        decoder.push(torch.zeros(1, C))
