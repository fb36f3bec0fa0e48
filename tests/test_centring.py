"""Emissions less their means: which model that is, and what becomes of labels that are out of balance."""

import pytest
import torch
from torch.nn.functional import pad

from semiseg import SemiCRF, marginals
from semiseg.centring import centred
from semiseg.kernels import Potentials, log_partition

LENGTHS = torch.tensor([30, 18])


def random(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def test_a_mean_taken_off_tilts_durations():
    """D[k, c] - k mean[c], sequence by sequence (DESIGN: what the option changes)."""
    emissions, law, changes = random(2, 30, 3) + 1.5, random(8, 3), random(3, 3)
    found = log_partition(Potentials(centred(emissions, LENGTHS, "per-sequence"), law, changes, lengths=LENGTHS))
    for item, n in enumerate(LENGTHS.tolist()):
        one = emissions[item, :n]
        tilted = law - torch.arange(8)[:, None] * one.mean(0)
        torch.testing.assert_close(found[item], log_partition(Potentials(one, tilted, changes)))


def test_running_means_know_the_past_only():
    """A function of absolute position: what comes later changes nothing before it."""
    emissions = random(1, 30, 3)
    whole = centred(emissions, torch.tensor([30]), "running")
    torch.testing.assert_close(whole[:, :12], centred(emissions[:, :12], torch.tensor([12]), "running"))
    torch.testing.assert_close(whole[0, 9], emissions[0, 9] - emissions[0, :10].mean(0))
    padded = centred(pad(emissions, (0, 0, 0, 9), value=torch.nan), torch.tensor([30]), "running")
    torch.testing.assert_close(padded[:, :30], whole)


@pytest.mark.parametrize("how", ["per-sequence", "running"])
def test_forbidden_positions_stay_so(how):
    emissions = random(1, 30, 3)
    emissions[0, 4:8, 1] = -torch.inf
    found = centred(emissions, torch.tensor([30]), how)
    assert (found == -torch.inf).equal(emissions == -torch.inf)
    if how == "per-sequence":
        seen = found[0, :, 1][emissions[0, :, 1] > -torch.inf]
        assert float(seen.mean()) == pytest.approx(0, abs=1e-12)


def unbalanced(T=4000, share=0.95, seed=0):
    """Log densities of a signal that is mostly of label 0, under the model that it was drawn from."""
    g = torch.Generator().manual_seed(seed)
    means, truth, c = torch.tensor([20 * share / (1 - share), 20.0]), [], 0
    while len(truth) < T:
        truth += [c] * (1 + int(torch.empty(1).exponential_(1 / float(means[c]), generator=g)))
        c = 1 - c
    labels = torch.tensor(truth[:T])
    signal = labels + 1.2 * torch.randn(T, generator=g)
    emissions = torch.stack([-((signal - c) ** 2) / 2 / 1.2**2 for c in (0, 1)], 1).double()
    stay = torch.log1p(-1 / means.double())
    law = stay * torch.arange(400)[:, None] + torch.log(1 / means.double())
    changes = torch.zeros(2, 2).double().fill_diagonal_(-torch.inf)
    return Potentials(emissions, law, changes, tail=stay), labels


def test_labels_out_of_balance():
    """What the option does there: it moves probability to the rare label, and costs likelihood where scores were right.

    Where an encoder's scores lean to the common label by a constant, it takes just that constant off.
    """
    p, labels = unbalanced()
    T = torch.tensor([len(labels)])
    off = centred(p.emissions[None], T, "per-sequence")[0]
    leaning = p.emissions + torch.tensor([3.0, 0.0])

    def likelihood(emissions):
        """Of the rare label: its share, and the mean log posterior of the truth."""
        position = marginals(p._replace(emissions=emissions), want=("position",)).position.double().clamp(1e-12)
        return float(position[:, 1].mean()), float(position.gather(1, labels[:, None]).log().mean())

    true, taken, lean = likelihood(p.emissions), likelihood(off), likelihood(leaning)
    rare = float((labels == 1).double().mean())
    assert true[0] == pytest.approx(rare, abs=0.02)
    assert taken[0] > 2 * rare
    assert taken[1] < true[1] - 0.05
    assert lean[0] < 0.2 * rare  # scores that lean to the common label lose the rare one ...
    mended = likelihood(centred(leaning[None], T, "per-sequence")[0])
    assert mended == pytest.approx(taken, abs=1e-6)  # ... and centring gives it back, leaning or not
    assert mended[1] > lean[1]


def test_without_it_scores_keep_their_range():
    """In float32, at 100,000 positions of a steep drift, the loss is what it is in float64."""
    crf = SemiCRF(2, 3, hidden=None)
    emissions = random(1, 100_000, 2) + torch.tensor([40.0, -40.0])
    labels = torch.zeros(1, 100_000).long()
    labels[0, 50_000:] = 1
    wide, narrow = crf.loss(emissions, labels), crf.loss(emissions.float(), labels)
    torch.testing.assert_close(narrow.double(), wide, rtol=1e-6, atol=0)
