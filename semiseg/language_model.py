"""A Hugging Face language model of DNA in place of the encoder: read from a local folder, frozen, a head trained on it.

The model sees tokens (letters, k-mers, or pieces of any length) and each base takes its token's last hidden state.
What a 6-mer knows is the same for its six bases, so the head looks at the letters beside it: codon positions and splice
sites are told apart there. Both strands go through as they are read, each from its own 5' end, so what holds on one
strand holds on the other.

A model has a longest input. Longer DNA goes through in overlapping windows, of which the middle halves are kept. Tokens
and attention begin with the window, so features depend, a little, on where windows are laid; they are laid alike where
DNA is cut at multiples of half of one.
"""

import hashlib
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from .encoder import CHANNELS, SHAPES, STRIDE, Shape, reverse_complement
from .errors import SemisegError
from .layers import Block, ChannelNorm, Exchange

CONTEXT = 4096  # bases that a model sees at once, where it can
GRAIN = 4 * STRIDE  # contexts are multiples of it, so that quarters of them are whole strides
SLACK = 0.9  # of the longest input is planned for: a base fills more of a token in one text than in another
KNOWN = 0.9  # of random DNA must be in known tokens; a last, shorter k-mer may not be
UNUSED = ("pooler.", "contact_head.")  # weights behind the hidden states, which checkpoints may lack
PIECE = 1 << 22  # bytes hashed at once


class Tokens(NamedTuple):
    """What a model takes at once."""

    ids: list[int]
    spans: list[tuple[int, int]]  # of bases, one for each id; empty for special tokens


class Window(NamedTuple):
    """Bases that are seen at once, and those of them whose features are kept."""

    begin: int
    end: int
    low: int
    high: int


class Reader:
    """A tokenizer, and the number of tokens that its model takes at once."""

    def __init__(self, tokenizer: Any, longest: int):
        self.tokenizer, self.longest = tokenizer, longest

    def tokens(self, text: str) -> Tokens:
        """Return a text's tokens, special ones included."""
        if self.tokenizer.is_fast:
            found = self.tokenizer(text, return_offsets_mapping=True, verbose=False)
            return Tokens(found["input_ids"], found["offset_mapping"])
        words = self.tokenizer.tokenize(text)
        ends = np.cumsum([len(word) for word in words]).tolist()
        inside = iter(zip([0, *ends], ends, strict=False))
        ids = self.tokenizer.convert_tokens_to_ids(words)
        special = self.tokenizer.get_special_tokens_mask(ids)
        return Tokens(
            self.tokenizer.build_inputs_with_special_tokens(ids), [(0, 0) if s else next(inside) for s in special]
        )

    def read(self, text: str, begin: int = 0) -> Iterator[Tokens]:
        """Yield a text's tokens, all at once unless they are too many: then its halves', each for itself.

        Unknown bases at the ends are left out: they tell nothing, and would move where k-mers begin.
        """
        begin += len(text) - len(text.lstrip("N"))
        text = text.strip("N")
        if not text:
            return
        ids, spans = self.tokens(text)
        if len(ids) > self.longest:
            yield from self.read(text[: len(text) // 2], begin)
            yield from self.read(text[len(text) // 2 :], begin + len(text) // 2)
        else:
            yield Tokens(ids, [(a + begin, b + begin) for a, b in spans])

    def fits(self) -> int:
        """Return how many bases of random DNA fill the longest input."""
        text = "".join(random.Random(0).choices("ACGT", k=CONTEXT))
        ids, spans = self.tokens(text)
        inside = [b - a for a, b in spans if b > a]
        known = sum(b - a for i, (a, b) in zip(ids, spans, strict=True) if i != self.tokenizer.unk_token_id)
        if known < KNOWN * len(text) or max(b for _, b in spans) != len(text):
            raise ValueError("its tokenizer does not cut A, C, G and T in a row into words that it knows")
        return max(0, int((self.longest - (len(ids) - len(inside))) * len(text) / len(inside)))


class LanguageModelEncoder(nn.Module):
    """Features of both strands of DNA, from a folder's model and a head; an `Encoder` for whoever calls it.

    The model stays as it is: evaluating, without gradients, and out of parameters and state, so optimisers and model
    files hold the head alone. `weights_hash` is the sha256 of the folder's weights; one that is expected must agree.
    """

    def __init__(
        self,
        folder: Path,
        outputs: int,
        shape: Shape = SHAPES["full"],
        context: int = CONTEXT,
        expected_hash: str = "",
    ):
        super().__init__()
        self.weights_hash = hash_of(folder)
        if expected_hash not in ("", self.weights_hash):
            raise SemisegError(
                f"{folder}: not the language model that was trained with: the sha256 of its weights begins with"
                f" {self.weights_hash[:12]}, expected {expected_hash[:12]}"
            )
        self.reader, backbone = opened(folder)
        self._unregistered = (backbone,)  # a module in a tuple is none of this module's own
        with one_line(folder):
            fits = self.reader.fits()
            self.context = min(context, int(SLACK * fits)) // GRAIN * GRAIN
            if self.context == 0:
                raise ValueError(f"{fits} bases fill it, expected at least {int(GRAIN / SLACK) + 1}")
            self.hidden = self.run([self.reader.tokens("ACGT" * (GRAIN // 4)).ids], torch.device("cpu")).shape[-1]
        blocks = lambda: [Block(shape.width, shape.kernel, d) for d in shape.dilations]  # noqa: E731
        self.local = (shape.kernel - 1) + 2 * sum(shape.kernel // 2 * d for d in shape.dilations)
        self.into = nn.Sequential(nn.LayerNorm(self.hidden), nn.Linear(self.hidden, shape.width))
        self.stem = nn.Conv1d(CHANNELS, shape.width, 2 * shape.kernel - 1, padding=shape.kernel - 1)
        self.blocks = nn.Sequential(*blocks(), Exchange(shape.width), *blocks())
        self.head = nn.Sequential(ChannelNorm(shape.width), nn.Conv1d(shape.width, outputs, 1))

    @property
    def backbone(self) -> nn.Module:
        """The language model."""
        return self._unregistered[0]

    @property
    def reach(self) -> int:
        """Bases to either side that a feature may depend on, rounded up to whole steps from window to window."""
        step = self.context // 2
        return -(-(self.context + self.local) // step) * step

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "LanguageModelEncoder":
        """Move the language model too wherever torch moves this module."""
        self.backbone._apply(fn, recurse)
        return super()._apply(fn, recurse)

    def forward(self, dna: Tensor) -> Tensor:
        """Return (2, B, outputs, T) features, the second strand's turned back to the first one's coordinates.

        `dna` (B, CHANNELS, T), from `channels`; T is a multiple of STRIDE.
        """
        x = torch.stack([dna, reverse_complement(dna)]).flatten(0, 1)
        texts, kept = letters(x), []
        for w in windows(dna.shape[-1], self.context):
            seen = self.states([text[w.begin : w.end] for text in texts], dna.device)
            kept.append(seen[:, w.low - w.begin : w.high - w.begin])
        x = self.stem(x) + torch.cat(kept, 1).transpose(1, 2)
        forward, backward = self.head(self.blocks(x)).unflatten(0, (2, -1))
        return torch.stack([forward, backward.flip(-1)])

    def states(self, texts: list[str], device: torch.device) -> Tensor:
        """Return (B, T, width) of texts of one length: what the head takes from each base's token, 0 without one."""
        rows: list[list[int]] = []
        places = np.full((2, len(texts), len(texts[0])), -1)  # row and token of each base
        for i, text in enumerate(texts):
            for tokens in self.reader.read(text):
                for token, (a, b) in enumerate(tokens.spans):
                    places[:, i, a:b] = [[len(rows)], [token]]
                rows.append(tokens.ids)
        states = self.into(self.run(rows, device))  # token by token: less is spread over bases than hidden states
        place = torch.from_numpy(np.where(places[0] < 0, 0, 1 + places[0] * states.shape[1] + places[1])).to(device)
        return torch.cat([states.new_zeros(1, states.shape[-1]), states.flatten(0, 1)])[place]

    @torch.no_grad()
    def run(self, rows: list[list[int]], device: torch.device) -> Tensor:
        """Return (rows, tokens, hidden) last hidden states of rows of tokens."""
        if not rows:
            return next(self.backbone.parameters()).new_zeros(0, 1, self.hidden)
        ids = torch.full((len(rows), max(map(len, rows))), self.reader.tokenizer.pad_token_id or 0)
        mask = torch.zeros_like(ids)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = torch.tensor(row)
            mask[i, : len(row)] = 1
        return self.backbone(input_ids=ids.to(device), attention_mask=mask.to(device)).last_hidden_state


def letters(dna: Tensor) -> list[str]:
    """Return the letters of (B, CHANNELS, T) DNA; what is not surely one base is N."""
    share, base = dna[:, :4].max(1)
    codes = torch.where(share > 0.5, base, 4).cpu().numpy()
    return [row.tobytes().decode() for row in np.frombuffer(b"ACGTN", np.uint8)[codes]]


def windows(T: int, context: int) -> Iterator[Window]:
    """Yield the windows over T bases, each half a context behind the last; what they keep adds up to all."""
    step = context // 2
    last = max(0, -(-(T - context) // step))
    for i in range(last + 1):
        middle = i * step + step // 2
        yield Window(i * step, min(T, i * step + context), middle if i > 0 else 0, middle + step if i < last else T)


def hash_of(folder: Path) -> str:
    """Return the sha256 of a folder's weights, file after file by name."""
    files = sorted(folder.glob("*.safetensors"))
    if not folder.is_dir():
        raise SemisegError(f"{folder}: expected the folder of a language model, found none")
    if not files:
        raise SemisegError(f"{folder}: expected weights as .safetensors, found none; others are never read")
    digest = hashlib.sha256()
    try:
        for path in files:
            with path.open("rb") as file:
                while piece := file.read(PIECE):
                    digest.update(piece)
    except OSError as error:
        raise SemisegError(f"{path}: cannot read: {error.strerror}") from None
    return digest.hexdigest()


def opened(folder: Path) -> tuple[Reader, nn.Module]:
    """Return a folder's tokenizer and model, in float32; no network, no pickles, no code of the folder's."""
    try:
        import transformers
    except ImportError:
        raise SemisegError("a language model needs transformers: pip install 'semiseg[lm]'") from None
    only = {"local_files_only": True, "trust_remote_code": False}
    with quiet(transformers.logging), one_line(folder):
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **only)
        model, report = transformers.AutoModel.from_pretrained(
            folder, use_safetensors=True, output_loading_info=True, **only
        )
    missing = sorted(name for name in report["missing_keys"] if not name.startswith(UNUSED))
    if missing:
        raise SemisegError(f"{folder}: its weights are not those of its configuration: missing {missing[0]}")
    positions = getattr(model.config, "max_position_embeddings", None) or tokenizer.model_max_length
    reserved = getattr(getattr(model, "embeddings", None), "padding_idx", None)  # RoBERTa counts from behind it
    longest = min(positions, tokenizer.model_max_length) - (0 if reserved is None else reserved + 1)
    return Reader(tokenizer, longest), model.float().eval().requires_grad_(False)


@contextmanager
def one_line(folder: Path) -> Iterator[None]:
    """Say in one line what goes wrong with a folder; it may hold anything, so anything may be raised."""
    try:
        yield
    except Exception as error:
        said = shorten(str(error) or type(error).__name__, 160, placeholder=" ...")
        raise SemisegError(f"{folder}: cannot be used as a language model: {said}") from error


@contextmanager
def quiet(logging: Any) -> Iterator[None]:
    """Keep progress bars and reports of transformers from stderr."""
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
