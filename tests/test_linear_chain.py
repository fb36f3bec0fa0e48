"""The drop-in against pytorch-crf's own layer: values, gradients, tags and checkpoints."""

import numpy as np
import pytest
import torch

from semiseg import CRF, SemiCRF, SemisegError

T, B, C = 9, 3, 4
MASK = torch.tensor([[1] * 9, [1] * 5 + [0] * 4, [1] + [0] * 8], dtype=torch.bool)


def pair(batch_first):
    """Both layers with the same weights, by way of a checkpoint."""
    torchcrf = pytest.importorskip("torchcrf")
    torch.manual_seed(0)
    theirs, ours = torchcrf.CRF(C, batch_first).double(), CRF(C, batch_first).double()
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


def batch(batch_first, mask):
    g = torch.Generator().manual_seed(1)
    emissions, tags = torch.randn(B, T, C, generator=g, dtype=torch.float64), torch.randint(C, (B, T), generator=g)
    turn = (lambda x: x) if batch_first else (lambda x: x.transpose(0, 1))
    return turn(emissions).requires_grad_(), turn(tags), turn(MASK) if mask else None


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("mask", [True, False])
@pytest.mark.parametrize("reduction", ["none", "sum", "mean", "token_mean"])
def test_values_and_gradients(batch_first, mask, reduction):
    theirs, ours = pair(batch_first)
    emissions, tags, seen = batch(batch_first, mask)
    found = []
    for crf in (theirs, ours):
        # the other one makes a mask of bytes where it gets none, which torch warns of
        given = torch.ones_like(tags, dtype=torch.bool) if crf is theirs and seen is None else seen
        value = crf(emissions, tags, given, reduction=reduction)
        found.append((value, *torch.autograd.grad(value.sum(), (emissions, *crf.parameters()))))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("mask", [True, False])
def test_tags(batch_first, mask):
    theirs, ours = pair(batch_first)
    emissions, _, seen = batch(batch_first, mask)
    given = torch.ones(emissions.shape[:2], dtype=torch.bool) if seen is None else seen
    assert ours.decode(emissions.detach(), seen) == theirs.decode(emissions.detach(), given)
    assert repr(ours) == repr(theirs)


def test_it_is_the_layer_at_one():
    emissions, tags, _ = batch(True, False)
    crf, layer = CRF(C, True).double(), SemiCRF(C, 1, tail=False, reduction="sum").double()
    with torch.no_grad():
        layer.transitions.copy_(crf.transitions)
        layer.first.copy_(crf.start_transitions)
        layer.last.copy_(crf.end_transitions)
    torch.testing.assert_close(-crf(emissions, tags), layer.loss(emissions, tags))


@pytest.mark.parametrize(
    ("tags", "mask", "message"),
    [
        (torch.zeros(B, T - 1).long(), None, r"tags: expected integers \(3, 9\), got \(3, 8\)"),
        (torch.zeros(B, T), None, r"tags: expected integers \(3, 9\), got \(3, 9\) torch.float32"),
        (torch.full((B, T), 4), None, "tags: expected 0..3, got 4 at item 0, position 0"),
        (torch.zeros(B, T).long(), ~MASK, "mask: expected 1 up to each sequence's end"),
        (torch.zeros(B, T).long(), MASK & False, "mask: expected a 1 in every sequence, got none for item 0"),
        (torch.zeros(B, T).long(), MASK[:, 1:], r"mask: expected one value a position, got \(3, 8\)"),
    ],
)
def test_what_cannot_be_used(tags, mask, message):
    with pytest.raises(SemisegError, match=message):
        CRF(C, True)(torch.zeros(B, T, C), tags, mask)
    with pytest.raises(SemisegError, match="reduction: expected none or sum"):
        CRF(C, True)(torch.zeros(B, T, C), torch.zeros(B, T).long(), reduction="median")
    with pytest.raises(SemisegError, match="num_tags: expected at least 1, got 0"):
        CRF(0)


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (lambda crf: crf(torch.zeros(4, 2, 3), [[0, 1]] * 4), "tags: expected a tensor of integers, got list"),
        (lambda crf: crf.decode(np.zeros((4, 2, 3))), r"emissions: expected a tensor \(B, T, 3\), got ndarray"),
        (lambda crf: crf.decode(torch.zeros(4, 2, 5)), r"emissions: expected states \(B, T, 3\), got \(2, 4, 5\)"),
        (
            lambda crf: crf.decode(torch.zeros(4, 2, 3), torch.tensor([[1, 0]] * 4).bool()),
            "mask: expected a 1 in every sequence, got none for item 1",
        ),
        (
            lambda crf: crf.load_state_dict(CRF(4).state_dict()),
            r"checkpoint: start_transitions has shape \(4,\), expected \(3,\)",
        ),
        (
            lambda crf: torch.nn.Sequential(crf).load_state_dict(torch.nn.Sequential(CRF(4)).state_dict()),
            r"checkpoint: 0.start_transitions has shape \(4,\), expected \(3,\)",
        ),
        (
            lambda crf: crf.load_state_dict({**crf.state_dict(), "bias": torch.zeros(3)}),
            r"checkpoint: unknown bias of shape \(3,\)",
        ),
        (
            lambda crf: crf.load_state_dict({"transitions": torch.zeros(3, 3), "end_transitions": torch.zeros(3)}),
            r"checkpoint: missing start_transitions of shape \(3,\)",
        ),
    ],
)
def test_slips_are_named_by_what_was_passed(work, said):
    with pytest.raises(SemisegError, match=f"^{said}$"):
        work(CRF(3))
