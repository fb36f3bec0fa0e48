"""Scores of known segmentations against log Z where nothing else is allowed."""

import pytest
import torch
from planted import strip, tiny  # noqa: F401 - a fixture

from semiseg.gene_model import GeneModel
from semiseg.gene_windows import draw
from semiseg.kernels import Potentials, log_partition
from semiseg.path_score import path_of, path_score
from semiseg.training import Recipe


def only(p: Potentials, labels: torch.Tensor) -> Potentials:
    wrong = labels[..., None] != torch.arange(p.emissions.shape[-1])
    return p._replace(emissions=p.emissions.masked_fill(wrong, -torch.inf))


@pytest.mark.parametrize("window", [30, 75, 600])
def test_windows_of_genes(tiny, window):  # noqa: F811
    """Whole segments, cut ones, and single ones that fill the window, shorter and longer than the explicit lengths."""
    torch.manual_seed(0)
    model = GeneModel(tiny)
    batch = draw(model.grammar, [strip()], Recipe(window=window, batch=12, seed=1), 0)
    p = model(batch.letters, batch.forbidden, batch.impossible, batch.origin)
    path = path_of(batch.labels.numpy())
    parameters = [x for x in model.parameters() if x.requires_grad]
    found, want = path_score(p, path), log_partition(only(p, batch.labels))
    torch.testing.assert_close(found, want, atol=1e-6, rtol=1e-9)
    gradients = [torch.autograd.grad(x.sum(), parameters, retain_graph=True, allow_unused=True) for x in (found, want)]
    for a, b in zip(*gradients, strict=True):
        if a is not None or b is not None:
            a, b = (torch.zeros(()) if x is None else x for x in (a, b))
            torch.testing.assert_close(*torch.broadcast_tensors(a, b), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("T", [1, 4, 5, 6, 40])
def test_segments_cut_at_both_ends(T):
    generator = torch.Generator().manual_seed(T)
    tail = -torch.rand(3, generator=generator, dtype=torch.float64) - 0.1
    longest = torch.tensor([5, 3, 4])
    law = torch.randn(6, 3, generator=generator, dtype=torch.float64)
    law[torch.arange(6)[:, None] > longest] = -torch.inf
    law[0] = -torch.inf
    beyond = law[longest, torch.arange(3)] + tail - torch.log(-torch.expm1(tail))
    law = law - torch.cat([law, beyond[None]]).logsumexp(0)
    emissions = torch.randn(3, T, 3, generator=generator, dtype=torch.float64)
    change = torch.zeros(3, 3).fill_diagonal_(-torch.inf)
    p = Potentials(emissions, law, change, longest, tail, left="censored", right="censored")
    labels = torch.arange(3)[:, None].expand(3, T)
    path = path_of(labels.numpy())
    assert path.end.tolist() == [T] * 3
    torch.testing.assert_close(path_score(p, path), log_partition(only(p, labels)), atol=1e-9, rtol=0)


def test_segments_of_labels():
    path = path_of(torch.tensor([[4, 4, 2, 2], [2, 2, 2, 2], [1, 0, 1, 1]]).numpy())
    assert list(zip(*(x.tolist() for x in path), strict=True)) == [
        (0, 0, 2, 4), (0, 2, 4, 2), (1, 0, 4, 2), (2, 0, 1, 1), (2, 1, 2, 0), (2, 2, 4, 1),
    ]  # fmt: skip


def test_sums_are_differentiable_twice_and_forbidden_lengths_stay_so():
    generator = torch.Generator().manual_seed(0)
    shapes = (2, 9, 3), (4, 3), (3, 3), (3,)
    scores = [torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_() for shape in shapes]
    longest = torch.tensor([1, 2, 3])
    labels = torch.tensor([[0, 1, 1, 2, 2, 2, 2, 2, 0], [2, 2, 2, 1, 1, 0, 2, 0, 1]])
    path = path_of(labels.numpy())

    def of(emissions, durations, transitions, tail):
        return path_score(Potentials(emissions, durations, transitions, longest, tail), path)

    assert torch.autograd.gradcheck(of, scores)
    assert torch.autograd.gradgradcheck(of, scores)
    without = path_score(Potentials(*scores[:3], longest), path)
    assert without.isneginf().tolist() == [True, False]
