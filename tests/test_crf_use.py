"""Where the layer is used: other precisions, checkpoints, compiled and checkpointed encoders, two processes."""

import io

import pytest
import torch
from fresh import exit_code, start
from replicas import layer_replica, whole_batch
from torch import nn
from torch.utils.checkpoint import checkpoint

from semiseg import LabelGrammar, SemiCRF, SemisegError

TARGET = [[(0, 7, 0), (7, 20, 1)], [(0, 9, 2), (9, 15, 0)]]
STRICTER = "[labels]\n0 = { shortest = 3 }\n1 = {}\n2 = {}"
LENGTHS = torch.tensor([20, 15])


def batch(B=2):
    return torch.randn(B, 20, 4, generator=torch.Generator().manual_seed(0))


def model(**options):
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Linear(4, 16), nn.GELU(), nn.Linear(16, 8))
    return encoder, SemiCRF(3, 6, 8, boundaries=True, **options)


def gradients(modules, loss):
    return torch.autograd.grad(loss, [x for m in modules for x in m.parameters()])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_states_of_half_precision(dtype):
    """Under autocast too the scores stay in float32: what is lost is what rounding the states loses."""
    encoder, crf = model()
    hidden = encoder(batch())
    whole = crf.loss(hidden, TARGET, LENGTHS)
    with torch.autocast("cpu", dtype):
        half = crf.loss(hidden.to(dtype), TARGET, LENGTHS)
        exact = crf.loss(hidden.to(dtype).float(), TARGET, LENGTHS)
    assert half.dtype == torch.float32
    assert half == exact
    torch.testing.assert_close(half, whole, rtol=2e-2, atol=0)
    for g in gradients((encoder, crf), half):
        assert bool(g.isfinite().all())


@pytest.mark.parametrize("durations", ["lognormal", "free", "spline", "gamma"])
def test_a_layer_of_half_precision(durations):
    """Lengths stay whole numbers where weights do not."""
    _, crf = model(durations=durations)
    hidden = torch.randn(2, 20, 8)
    whole, half = crf.loss(hidden, TARGET, LENGTHS), crf.bfloat16().loss(hidden.bfloat16(), TARGET, LENGTHS)
    torch.testing.assert_close(half, whole, rtol=3e-2, atol=0)
    crf = SemiCRF(2, 1000, durations=durations, tail=False).bfloat16()
    mass = crf.potentials(torch.zeros(1, 5, 2)).durations[1:].exp().sum(0)
    torch.testing.assert_close(mass, torch.ones_like(mass), rtol=1e-6, atol=0)


def test_training_in_mixed_precision():
    """The encoder computes in bfloat16, the layer in float32: gradients are close, and it learns."""
    encoder, crf = model()
    exact = gradients((encoder, crf), crf.loss(encoder(batch()), TARGET, LENGTHS))
    optimiser = torch.optim.Adam([*encoder.parameters(), *crf.parameters()], 1e-2)
    losses = []
    for step in range(10):
        with torch.autocast("cpu", torch.bfloat16):
            hidden = encoder(batch())
            assert hidden.dtype == torch.bfloat16
            loss = crf.loss(hidden, TARGET, LENGTHS)
        optimiser.zero_grad()
        loss.backward()
        if step == 0:
            found = [x.grad for m in (encoder, crf) for x in m.parameters()]
            a, b = (torch.cat([g.flatten().double() for g in gs]) for gs in (found, exact))
            assert float(torch.cosine_similarity(a, b, dim=0)) > 0.999
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_compiled_and_checkpointed_encoders():
    encoder, crf = model()
    want = crf.loss(encoder(batch()), TARGET, LENGTHS)
    compiled = torch.compile(encoder, backend="aot_eager")
    found = crf.loss(compiled(batch()), TARGET, LENGTHS)
    spared = crf.loss(checkpoint(encoder, batch(), use_reentrant=False), TARGET, LENGTHS)
    whole = checkpoint(lambda x: crf.loss(encoder(x), TARGET, LENGTHS), batch(), use_reentrant=False)
    expected = gradients((encoder, crf), want)
    for loss in (found, spared, whole):
        torch.testing.assert_close(loss, want)
        for a, b in zip(gradients((encoder, crf), loss), expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_two_processes_are_one(tmp_path):
    """DistributedDataParallel around the layer: the mean over both halves of a batch."""
    ranks = [start(layer_replica, rank, str(tmp_path / "store"), str(tmp_path / "out")) for rank in range(2)]
    crf, hidden, target = whole_batch()
    crf(hidden, target).backward()
    assert [exit_code(process) for process in ranks] == [0, 0]
    found = torch.load(tmp_path / "out", weights_only=True)
    assert len(found) == len(list(crf.parameters()))
    for mine, theirs in zip(crf.parameters(), found, strict=True):
        torch.testing.assert_close(theirs, mine.grad, rtol=1e-4, atol=1e-6)


def test_a_checkpoint_goes_round():
    """Through torch.save without pickled code, and through a file of tensors only."""
    safetensors = pytest.importorskip("safetensors.torch")
    _, crf = model(centring="per-sequence")
    with torch.no_grad():
        for x in crf.parameters():
            x += torch.randn_like(x)
    buffer = io.BytesIO()
    torch.save(crf.state_dict(), buffer)
    buffer.seek(0)
    for state in (torch.load(buffer, weights_only=True), safetensors.load(safetensors.save(crf.state_dict()))):
        _, other = model(centring="per-sequence")
        other.load_state_dict(state)
        hidden = torch.randn(2, 20, 8)
        assert other.loss(hidden, TARGET, LENGTHS).equal(crf.loss(hidden, TARGET, LENGTHS))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": 4}, "checkpoint: names is .* there and .* in this layer"),
        ({"max_duration": 9}, r"checkpoint: longest is \[6, 6, 6\] there and \[9, 9, 9\] in this layer"),
        ({"hidden": 5}, "checkpoint: hidden is 8 there and 5 in this layer"),
        ({"centring": "running"}, "checkpoint: centring is None there and 'running' in this layer"),
        ({"durations": "gamma"}, "checkpoint: durations is"),
        ({"boundaries": True}, "checkpoint: boundaries is False there and True"),
        ({"edges": "censored"}, "checkpoint: edges is 'exact' there and 'censored'"),
        ({"tail": False}, "checkpoint: endless is"),
        ({"labels": None, "grammar": LabelGrammar.parse(STRICTER)}, r"checkpoint: shortest is \[1, 1, 1\] there"),
    ],
)
def test_a_checkpoint_of_another_layer(options, message):
    stored = SemiCRF(3, 6, 8).state_dict()
    other = nn.Sequential(SemiCRF(**{"labels": 3, "max_duration": 6, "hidden": 8, **options}))
    with pytest.raises(SemisegError, match=message):
        other.load_state_dict({f"0.{name}": x for name, x in stored.items()})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"transitions": None}, r"missing transitions of shape \(3, 3\)"),
        ({"laws.0.mean": None, "first": None}, r"missing first of shape \(3,\), laws.0.mean of shape \(3,\)"),
        ({"_extra_state": None}, "missing _extra_state"),
        ({"bias": torch.zeros(2)}, r"unknown bias of shape \(2,\)"),
        ({"first": None, "start": torch.zeros(3)}, r"missing first of shape \(3,\); unknown start of shape \(3,\)"),
        ({"transitions": torch.zeros(4, 3)}, r"transitions has shape \(4, 3\), expected \(3, 3\)"),
        ({"laws.0.mean": torch.zeros(2)}, r"laws.0.mean has shape \(2,\), expected \(3,\)"),
        ({"projection.weight": torch.zeros(9, 7)}, r"projection.weight has shape \(9, 7\), expected \(9, 8\)"),
        ({"last": [0.0, 0.0, 0.0]}, "last: expected a tensor, got list"),
    ],
)
def test_a_checkpoint_with_other_tensors(change, message):
    """A tensor that is of another shape is never taken; one that is missing, or more than asked for, unless strict."""
    _, crf = model()
    state = {name: x for name, x in {**crf.state_dict(), **change}.items() if x is not None}
    with pytest.raises(SemisegError, match=f"^checkpoint: {message}$"):
        crf.load_state_dict(state)
    if message.startswith(("missing", "unknown")):
        found = crf.load_state_dict(state, strict=False)
        assert set(found.missing_keys) | set(found.unexpected_keys) == set(change)
        return
    with pytest.raises(SemisegError, match=f"^checkpoint: {message}$"):
        crf.load_state_dict(state, strict=False)
    with pytest.raises(SemisegError, match=f"^checkpoint: 0.{message}$"):
        nn.Sequential(crf).load_state_dict({f"0.{name}": x for name, x in state.items()})
