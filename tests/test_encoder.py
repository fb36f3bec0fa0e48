"""The encoder: the same on both strands, local, the same for every window, and small enough."""

import pytest
import torch
from planted import tiny  # noqa: F401 - a fixture
from torch.nn.functional import pad
from torch.utils.flop_counter import FlopCounterMode

from semiseg import scoring
from semiseg.encoder import (
    CHANNELS,
    MIXTURES,
    SHAPES,
    STRIDE,
    Encoder,
    Shape,
    channels,
    multiplications,
    reverse_complement,
)  # fmt: skip
from semiseg.gene_model import Config, GeneModel
from semiseg.kernels.cpu.norm import WORTH
from semiseg.kernels.cpu.threads import torch_threads
from semiseg.layers import ChannelNorm

SMALL = Shape(6, 8, 3, (1, 3), (1, 2))
LARGEST = 6 << 20  # bytes of a model
COMPACT = 150e3  # multiply-adds a base


def encoder(shape: Shape = SMALL) -> Encoder:
    """One whose blocks all do something."""
    torch.manual_seed(0)
    out = Encoder(shape, 7)
    with torch.no_grad():
        for parameter in out.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return out.eval()


def dna(T: int, seed: int = 0, letters: str = "ACGTacgtNRY") -> torch.Tensor:
    table = torch.tensor(list(letters.encode()))
    return channels(table[torch.randint(len(table), (2, T), generator=torch.Generator().manual_seed(seed))], True)


@pytest.mark.parametrize("shape", [SMALL, SHAPES["compact"]], ids=["small", "compact"])
@torch.no_grad()
def test_the_other_strand_is_seen_alike(shape):
    net, x = encoder(shape), dna(20 * STRIDE)
    here, there = net(x), net(reverse_complement(x))
    assert here.std() > 0.1
    torch.testing.assert_close(there.flip(0).flip(-1), here, atol=1e-6, rtol=0)


@torch.no_grad()
def test_a_feature_depends_on_nothing_out_of_reach():
    net, T, at = encoder(), 40 * STRIDE, 21 * STRIDE + 5
    x = dna(T)
    y = x.clone()
    y[..., at] = y[..., at].roll(1, -1)
    moved = (net(x) != net(y)).any(0).any(0).any(0).nonzero()[:, 0]
    assert moved.min() < at < moved.max()
    assert at - net.reach <= moved.min()
    assert moved.max() <= at + net.reach
    assert max(at - int(moved.min()), int(moved.max()) - at) > 0.7 * net.reach  # no idle claim


@pytest.mark.parametrize("halves", [False, True], ids=["singles", "halves"])
@torch.no_grad()
def test_windows_give_what_the_whole_gives(halves):
    net, x = encoder(), dna(60 * STRIDE)
    half = torch.autocast("cpu", torch.bfloat16, enabled=halves)
    with half:
        whole, reach = net(x), net.reach
    for begin in range(0, 60 * STRIDE, 10 * STRIDE):
        a, b = max(0, begin - reach), min(60 * STRIDE, begin + 10 * STRIDE + reach)
        with half:
            part = net(x[..., a:b])[..., begin - a : begin - a + 10 * STRIDE]
        torch.testing.assert_close(part, whole[..., begin : begin + 10 * STRIDE], atol=1e-5, rtol=0)


def test_letters_are_mixtures_of_bases():
    x = channels(torch.tensor([list(b"ACGTUacgtNnR-")]), True)[0]
    assert x.shape == (CHANNELS, STRIDE)
    assert x[:4, :4].equal(torch.eye(4))
    assert x[:4, 4].equal(x[:4, 3])
    assert x[4].tolist() == [0.0] * 5 + [1.0] * 4 + [0.0, 1.0, 0.0, 0.0] + [0.0] * 3
    assert x[:4, 11].tolist() == [0.5, 0, 0.5, 0]
    for unknown in (9, 10, 12, 13, 15):  # N, n, a gap, and what fills the last stride
        assert x[:4, unknown].tolist() == [0.25] * 4
    assert torch.equal(MIXTURES[:, :4].sum(1), torch.ones(256))


def test_complements_of_mixtures():
    pairs = "AT CG RY SS WW KM BV DH NN"
    for a, b in pairs.split():
        assert torch.equal(MIXTURES[ord(a), :4].flip(0), MIXTURES[ord(b), :4]), a + b


def test_soft_masking_is_seen_only_on_request():
    letters = torch.tensor([list(b"ACgtACgtACgtACgt")])
    assert channels(letters)[:, 4].sum() == 0
    assert torch.equal(channels(letters)[:, :4], channels(letters, True)[:, :4])


def test_sizes():
    for name, shape in SHAPES.items():
        net = Encoder(shape, 16)
        assert 2 * sum(p.numel() for p in net.parameters()) < LARGEST, name
        assert net.reach >= 2000, name
    assert multiplications(Encoder(SHAPES["compact"], 16)) <= COMPACT


@pytest.mark.parametrize("shape", SHAPES)
@torch.no_grad()
def test_products_of_halves_on_a_cpu(shape: str) -> None:
    net, x = encoder(SHAPES[shape]), dna(40 * STRIDE)
    exact = net(x)
    with torch.autocast("cpu", torch.bfloat16):
        found = net(x)
    off = (found.float() - exact).std() / exact.std()
    assert 0 < off < 0.01  # eight bits of each factor


@torch.no_grad()
def test_genes_are_seen_in_the_precision_that_a_cpu_is_built_for(
    tiny: Config,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    model = GeneModel(tiny).eval()
    letters = torch.randint(65, 85, (1, 40 * STRIDE), dtype=torch.uint8)
    given = []
    for halves in (False, True):
        monkeypatch.setattr(scoring, "multiplies_halves", lambda halves=halves: halves)
        given.append(scoring.seen(model, letters))
    assert given[0].dtype == given[1].dtype == torch.float32
    assert torch.equal(given[0], model.features(letters))
    assert 0 < (given[1] - given[0]).std() < 0.04 * given[0].std()


def test_multiplications_are_those_that_are_done():
    net, T = Encoder(SMALL, 7), 32 * STRIDE
    with FlopCounterMode(display=False) as counter:
        net(dna(T)[:1])
    assert multiplications(net) == pytest.approx(counter.get_total_flops() / 2 / T)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_layout_of_a_cpu_changes_nothing(shape):
    torch.manual_seed(0)
    encoder = Encoder(SHAPES[shape], 7)
    for weights in encoder.parameters():
        torch.nn.init.normal_(weights, 0.0, 0.1)
    both = torch.rand(4, 5, 320)
    images = both[:, :, None].contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(encoder.through(images).squeeze(2), encoder.through(both), atol=1e-4, rtol=1e-4)
    with torch.no_grad():
        torch.testing.assert_close(encoder.through(images).squeeze(2), encoder.through(both), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("margin", [0, 3])
@torch.no_grad()
def test_rows_normalised_on_a_cpu(margin: int) -> None:
    layer = ChannelNorm(24)
    layer.norm.weight.uniform_(0.5, 2)
    layer.norm.bias.uniform_(-1, 1)
    images = (3 + torch.randn(2, 24, 1, 2 * WORTH // 24)).contiguous(memory_format=torch.channels_last)
    expected = pad(layer.norm(images.movedim(1, -1)).movedim(-1, 1), (margin, margin))
    for threads in (1, 3):
        with torch_threads(threads):
            torch.testing.assert_close(layer.between_margins(images, margin), expected, atol=1e-5, rtol=1e-5)
