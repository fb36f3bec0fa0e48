"""Language models of DNA in place of the encoder: small random ones in local folders, and no network at all."""

import itertools
import json
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from planted import planted, strip, tiny  # noqa: F401 - a fixture
from safetensors.torch import load_file, save_file

from semiseg import finder, model_file
from semiseg.decode import decode, see
from semiseg.encoder import STRIDE, Shape, channels, reverse_complement
from semiseg.errors import SemisegError
from semiseg.gene_model import Config, GeneModel, config_of
from semiseg.gene_windows import draw
from semiseg.language_model import LanguageModelEncoder, windows
from semiseg.training import Recipe, Run, settle_seeds

pytestmark = pytest.mark.usefixtures("one_thread")  # models this small lose more by threads than they gain

pytest.importorskip("transformers")

SHAPE = Shape(8, 8, 3, (1, 3), (1,))
SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
SPECIAL = ["<pad>", "<unk>", "<cls>", "<eos>"]


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    tried = []  # counted, since whoever tries may catch what is raised

    def refuse(*arguments, **options):
        tried.append(arguments)
        raise OSError("no network in tests")

    for name in ("connect", "connect_ex", "bind", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    yield
    assert tried == []


def words(k: int) -> list[str]:
    return ["".join(word) for word in itertools.product("ACGT", repeat=k)]


def bert(folder: Path, k: int, cut: str | None = None, positions: int = 512) -> Path:
    """A BERT of k-mers whose tokenizer tells offsets."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    vocabulary = {word: i for i, word in enumerate([*SPECIAL, *words(k)])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(cut or f".{{1,{k}}}"), "isolated")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<cls> $A <eos>", special_tokens=[("<cls>", 2), ("<eos>", 3)]
    )
    names = {"pad_token": "<pad>", "unk_token": "<unk>", "cls_token": "<cls>", "sep_token": "<eos>"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(vocab_size=len(vocabulary), max_position_embeddings=positions, initializer_range=0.3, **SIZES)
    BertModel(config).save_pretrained(folder)
    return folder


def letters(folder: Path) -> Path:
    return bert(folder, 1)


def triplets(folder: Path) -> Path:
    return bert(folder, 3)


def esm(folder: Path) -> Path:
    """An ESM of 3-mers, and of letters where none fits, whose tokenizer tells words alone."""
    from transformers import EsmConfig, EsmModel, EsmTokenizer

    folder.mkdir()
    vocabulary = [*SPECIAL, "<mask>", *words(3), *"ACGTN"]
    (folder / "words").write_text("\n".join(vocabulary))
    EsmTokenizer(folder / "words").save_pretrained(folder)
    torch.manual_seed(0)
    config = EsmConfig(
        vocab_size=len(vocabulary), pad_token_id=0, mask_token_id=4, max_position_embeddings=130,
        position_embedding_type="rotary", initializer_range=0.3, **SIZES,
    )  # fmt: skip
    EsmModel(config).save_pretrained(folder)
    return folder


FOLDERS = pytest.mark.parametrize("make", [letters, triplets, esm])


def encoder(folder: Path, context: int = 128) -> LanguageModelEncoder:
    """One whose blocks all do something."""
    torch.manual_seed(0)
    out = LanguageModelEncoder(folder, 7, SHAPE, context)
    with torch.no_grad():
        for parameter in out.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return out.eval()


def dna(T: int, of: str = "ACGTACGTACGTN") -> torch.Tensor:
    table = torch.tensor(list(of.encode()))
    return channels(table[torch.randint(len(table), (2, T), generator=torch.Generator().manual_seed(0))])


@FOLDERS
@torch.no_grad()
def test_the_other_strand_is_seen_alike(make: Callable, tmp_path):
    net, x = encoder(make(tmp_path / "lm")), dna(27 * STRIDE)
    here, there = net(x), net(reverse_complement(x))
    assert here.shape == (2, 2, 7, 27 * STRIDE)
    assert here.std() > 0.1
    torch.testing.assert_close(there.flip(0).flip(-1), here, atol=1e-5, rtol=0)


@FOLDERS
@torch.no_grad()
def test_windows_of_whole_steps_give_what_the_whole_gives(make: Callable, tmp_path):
    net = encoder(make(tmp_path / "lm"), 64)
    T, step, reach = 12 * net.context, 3 * net.context, net.reach
    x = dna(T)
    whole = net(x)
    for begin in range(0, T, step):
        a, b = max(0, begin - reach), min(T, begin + step + reach)
        part = net(x[..., a:b])[..., begin - a : begin - a + step]
        torch.testing.assert_close(part, whole[..., begin : begin + step], atol=1e-5, rtol=0)


@torch.no_grad()
def test_windows_do_not_show_where_a_model_looks_at_letters_alone(tmp_path):
    folder = letters(tmp_path / "lm")
    weights = load_file(folder / "model.safetensors")
    for name in weights:
        if "position_embeddings" in name or "attention.output.dense" in name:
            weights[name].zero_()
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    x = dna(60 * STRIDE)
    torch.testing.assert_close(encoder(folder, 64)(x), encoder(folder, 448)(x), atol=1e-5, rtol=0)


@pytest.mark.parametrize("T", [1, 63, 64, 65, 96, 97, 500])
def test_what_windows_keep_adds_up(T):
    found = list(windows(T, 64))
    assert [w.low for w in found] == [0, *(w.high for w in found[:-1])]
    assert found[-1].high == T
    for w in found:
        assert 0 <= w.begin <= w.low < w.high <= w.end <= min(T, w.begin + 64)
        assert w.begin == 0 or w.low - w.begin == 16
        assert w.end == T or w.end - w.high == 16


@FOLDERS
def test_contexts_are_what_models_take(make: Callable, tmp_path):
    """ESM: its padding's number and the one before are no positions; two tokens are special."""
    longest, base = {letters: (512, 1), triplets: (512, 3), esm: (129, 3)}[make]
    net = LanguageModelEncoder(make(tmp_path / "lm"), 7, SHAPE)
    assert net.reader.longest == longest
    assert net.context <= 0.9 * (longest - 2) * base < net.context + 64 + base


def test_bases_are_in_their_tokens(tmp_path):
    fast, slow = (encoder(make(tmp_path / make.__name__)).reader for make in (triplets, esm))
    for reader in (fast, slow):
        ids, spans = reader.tokens("ACGTTTGCA")
        assert spans == [(0, 0), (0, 3), (3, 6), (6, 9), (0, 0)]
        assert reader.tokenizer.convert_ids_to_tokens(ids) == ["<cls>", "ACG", "TTT", "GCA", "<eos>"]
        (inside,) = reader.read("NNACGTTTNN")
        assert [span for span in inside.spans if span[0] < span[1]] == [(2, 5), (5, 8)]
        assert list(reader.read("NNNN")) == []
    assert fast.tokens("ACGTNTGC").spans[1:-1] == [(0, 3), (3, 6), (6, 8)]
    assert slow.tokens("ACGTNTGC").spans[1:-1] == [(0, 3), (3, 4), (4, 5), (5, 8)]


def test_texts_of_too_many_tokens_are_halved(tmp_path):
    reader = encoder(esm(tmp_path / "lm")).reader
    text = "A" + "ANT" * 100 + "A"  # a token a letter, and no room for 302
    parts = list(reader.read(text))
    assert len(parts) == 4
    assert all(len(tokens.ids) <= reader.longest for tokens in parts)
    covered = sorted(i for tokens in parts for a, b in tokens.spans for i in range(a, b))
    assert len(set(covered)) == len(covered)
    assert {text[i] for i in set(range(len(text))) - set(covered)} <= {"N"}  # at the ends of a half
    assert len(covered) > 0.98 * len(text)


@torch.no_grad()
def test_a_base_takes_its_tokens_state(tmp_path):
    net = encoder(triplets(tmp_path / "lm"))
    ids, _ = net.reader.tokens("ACGTTTGCA")
    hidden = net.backbone(torch.tensor([ids])).last_hidden_state[0, 1:-1]
    expected = torch.cat([torch.zeros(2, 8), net.into(hidden).repeat_interleave(3, 0), torch.zeros(1, 8)])
    found = net.states(["NNACGTTTGCAN", "N" * 12, "ACGT" * 3], torch.device("cpu"))
    torch.testing.assert_close(found[0], expected, atol=1e-5, rtol=0)
    assert not found[1].any()


def test_nothing_known_still_has_gradients(tmp_path):
    net = encoder(letters(tmp_path / "lm"))
    net(dna(32, "N")).sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


def test_the_language_model_goes_where_its_head_goes_and_stays_as_it_is(tmp_path):
    net = torch.nn.Sequential(encoder(letters(tmp_path / "lm"))).train().double()[0]
    assert not net.backbone.training
    assert {p.dtype for p in net.backbone.parameters()} == {torch.float64}
    assert not any(p.requires_grad for p in net.backbone.parameters())
    own = {id(p) for p in net.parameters()}
    assert not own & {id(p) for p in net.backbone.parameters()}
    assert not any("backbone" in name or "embeddings" in name for name in net.state_dict())
    assert net(dna(STRIDE).double()).dtype == torch.float64


@pytest.fixture
def config(tiny, tmp_path) -> Config:  # noqa: F811
    return tiny._replace(backbone=str(triplets(tmp_path / "lm")))


def test_training_moves_the_head_alone(config):
    recipe = Recipe(window=600, batch=2, steps=30, warm_up=2, rate=2e-2)
    settle_seeds(recipe)
    run, strips = Run(GeneModel(config), recipe), [strip()]
    backbone = run.model.encoder.backbone
    before = {name: x.clone() for name, x in backbone.state_dict().items()}
    losses = [run.advance(draw(run.model.grammar, strips, recipe, step)) for step in range(recipe.steps)]
    assert np.mean(losses[-8:]) < 0.6 * np.mean(losses[:4])
    assert all(torch.equal(x, before[name]) for name, x in backbone.state_dict().items())


def test_a_finder_comes_back_from_its_file(config, tmp_path):
    settle_seeds(Recipe())
    path, again = tmp_path / "m.safetensors", tmp_path / "again.safetensors"
    finder.save(path, finder.Finder(GeneModel(config), None, {}))
    first = finder.load(path)
    finder.save(again, first)
    second = finder.load(again)
    assert first.model.config.backbone == config.backbone
    assert len(first.model.config.backbone_hash) == 64
    assert first.model.config == second.model.config == config_of(first.model.config.as_json())
    stored = model_file.load(path)
    assert {name.split(".")[1] for name in stored.tensors if name.startswith("encoder")} == {
        "into", "stem", "blocks", "head",
    }  # fmt: skip
    contig, _ = planted(3000)
    with torch.no_grad():
        assert torch.equal(*(see(found.model, contig.sequence[None], "cpu") for found in (first, second)))
    assert decode(first.model, "one", contig.sequence) == decode(second.model, "one", contig.sequence)


def test_another_language_model_is_refused(config, tmp_path):
    path = tmp_path / "m.safetensors"
    finder.save(path, finder.Finder(GeneModel(config), None, {}))
    file = Path(config.backbone) / "model.safetensors"
    weights = load_file(file)
    weights["embeddings.word_embeddings.weight"][5, 5] += 1
    save_file(weights, file, {"format": "pt"})
    with pytest.raises(SemisegError, match=r"lm: not the language model that was trained with: .*, expected [0-9a-f]"):
        finder.load(path)
    file.unlink()
    with pytest.raises(SemisegError, match=r"lm: expected weights as \.safetensors, found none"):
        finder.load(path)


def test_models_without_one_are_written_as_before(tiny):  # noqa: F811
    assert not any(name.startswith("backbone") for name in tiny.as_json())
    assert config_of(tiny.as_json()) == tiny


def pickled(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def without_a_weight(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["embeddings.word_embeddings.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def with_own_code(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.Config", "AutoModel": "own.Model"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text("raise AssertionError('code of the folder was run')")


def with_few_positions(folder: Path) -> None:
    bert(folder, 1, positions=32)


def with_long_words(folder: Path) -> None:
    bert(folder, 1, r"\w+")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (pickled, r"expected weights as \.safetensors, found none; others are never read"),
        (without_a_weight, "missing embeddings.word_embeddings.weight"),
        (with_own_code, "cannot be used as a language model: "),
        (with_few_positions, "30 bases fill it, expected at least 72"),
        (with_long_words, "its tokenizer does not cut A, C, G and T in a row into words that it knows"),
        (lambda folder: (folder / "config.json").write_text("{"), "cannot be used as a language model: "),
        (lambda folder: (folder / "model.safetensors").write_text("{"), "cannot be used as a language model: "),
    ],
)
def test_what_is_no_language_model(tmp_path, spoil, message, capfd):
    folder = letters(tmp_path / "lm")
    spoil(folder)
    capfd.readouterr()
    with pytest.raises(SemisegError, match=message) as caught:
        LanguageModelEncoder(folder, 7, SHAPE)
    said = str(caught.value)
    assert said.startswith(f"{folder}: ")
    assert "\n" not in said
    assert capfd.readouterr().err == ""


def test_no_folder(tmp_path):
    with pytest.raises(SemisegError, match="expected the folder of a language model, found none"):
        LanguageModelEncoder(tmp_path / "google-bert" / "bert-base-uncased", 7, SHAPE)


def test_without_transformers(tmp_path, monkeypatch):
    folder = letters(tmp_path / "lm")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(SemisegError, match=r"pip install 'semiseg\[lm\]'"):
        LanguageModelEncoder(folder, 7, SHAPE)
