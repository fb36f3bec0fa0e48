"""A gene finder: what the encoder sees of both strands, under a gene grammar, as potentials of a semi-Markov CRF."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import pad

from .durations import family, tabulate
from .encoder import SHAPES, Encoder, channels
from .errors import SemisegError
from .grammar import KINDS, Grammar, grammar
from .kernels import Boundary, Potentials
from .language_model import LanguageModelEncoder
from .sites import SITES

PHASES = 3
EXONS = tuple(KINDS)
PLACES = len(SITES) // 2  # sites of a strand
OUTPUTS = PHASES + 1 + len(EXONS) + PLACES  # of a strand: codon positions, intron, kinds of exons, sites


class LawConfig(NamedTuple):
    """One duration law."""

    family: str = "lognormal"
    longest: int = 1000
    shortest: int = 1
    shape: dict[str, float] = {}  # noqa: RUF012 - never changed


class Config(NamedTuple):
    """What a gene model is made of."""

    labels: int = 37
    shape: str = "full"
    soft_masking: bool = False
    laws: dict[str, LawConfig] = {}  # noqa: RUF012
    backbone: str = ""  # folder of a language model in place of the encoder
    backbone_hash: str = ""  # of its weights; the model fills it in

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values; without a backbone, as those who know of none wrote it."""
        values = {**self._asdict(), "laws": {name: law._asdict() for name, law in self.laws.items()}}
        return values if self.backbone else {k: v for k, v in values.items() if not k.startswith("backbone")}


def config_of(values: dict[str, Any]) -> Config:
    """Return the configuration that `as_json` gave."""
    try:
        laws = {name: LawConfig(**law) for name, law in values.get("laws", {}).items()}
        return Config(**{**values, "laws": laws})
    except (TypeError, AttributeError) as error:
        raise SemisegError(f"model configuration: {error}") from None


class GeneModel(nn.Module):
    """Encoder, grammar and duration laws."""

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.grammar: Grammar = grammar(config.labels)
        self.encoder: Encoder | LanguageModelEncoder
        shape = SHAPES[config.shape]
        if config.backbone:
            self.encoder = LanguageModelEncoder(
                Path(config.backbone), OUTPUTS, shape, expected_hash=config.backbone_hash
            )
            self.config = config._replace(backbone_hash=self.encoder.weights_hash)
        else:
            self.encoder = Encoder(shape, OUTPUTS)
        self.laws = nn.ModuleList(
            family(law.family, law.longest, max(law.shortest, self.grammar.shortest[name]), **law.shape)
            for name, law in ((name, config.laws.get(name, LawConfig())) for name in self.grammar.laws)
        )
        changes, place = named_changes(self.grammar)
        self.change = nn.Parameter(torch.zeros(len(changes)))
        self.register_buffer("place", torch.from_numpy(place), persistent=False)
        self.register_buffer("allowed", torch.from_numpy(self.grammar.transitions.copy()), persistent=False)
        self.register_buffer("readout", torch.from_numpy(readout(self.grammar)), persistent=False)
        is_exon = torch.tensor([label.is_exon for label in self.grammar.labels])
        self.register_buffer("is_exon", is_exon, persistent=False)
        self.register_buffer("site", torch.from_numpy(self.grammar.type_sites.copy()), persistent=False)
        self.register_buffer("law_of", torch.from_numpy(self.grammar.law_of.copy()), persistent=False)
        self.register_buffer("types", torch.from_numpy(self.grammar.types.copy()), persistent=False)
        C = len(self.grammar.labels)
        self.register_buffer("says", torch.cat([torch.eye(C), torch.ones(1, C)]).bool(), persistent=False)

    place: Tensor  # (C, C) int64, the weight of a change
    allowed: Tensor  # (3, C, C)
    readout: Tensor  # (3, C, 2 OUTPUTS) what an emission is the sum of, by position modulo 3
    is_exon: Tensor  # (C,)
    site: Tensor  # (columns,) index in SITES: + then -, each in the order of the outputs
    law_of: Tensor
    types: Tensor
    says: Tensor  # (C + 1, C) what a known label may be; the last row: unknown

    def forward(self, letters: Tensor, forbidden: Tensor, impossible: Tensor, origin: int = 0) -> Potentials:
        """Return the potentials of (B, T) ASCII letters that begin `origin` positions behind a codon's edge.

        `forbidden` (B, T, C) and `impossible` (B, T + 1, columns) are the grammar's masks.
        """
        return self.potentials(self.features(letters), forbidden, impossible, origin)

    def features(self, letters: Tensor) -> Tensor:
        """Return (2, B, OUTPUTS, T) what is seen of both strands."""
        return self.encoder(channels(letters, self.config.soft_masking))[..., : letters.shape[1]].float()

    def potentials(self, seen: Tensor, forbidden: Tensor, impossible: Tensor, origin: int = 0) -> Potentials:
        """Return the potentials of what was seen, in float32 whatever precision the encoder runs in."""
        with torch.autocast(seen.device.type, enabled=False):
            table = tabulate(self.laws)
            # where no exon at all may be is a gap: what is seen there speaks for nothing, and lengths alone decide
            gap = forbidden[..., self.is_exon].all(-1, keepdim=True)
            return Potentials(
                emissions=self.emissions(seen, origin).masked_fill_(gap, 0.0).masked_fill_(forbidden, -torch.inf),
                durations=table.durations[:, self.law_of],
                transitions=torch.where(self.allowed, self.change[self.place].double(), -torch.inf),
                longest=table.longest.to(self.law_of.device)[self.law_of],
                tail=table.tail[self.law_of],
                boundaries=(Boundary(self.boundaries(seen).masked_fill_(impossible, -torch.inf), self.types),),
                left="censored",
                right="censored",
                origin=origin,
            )

    def emissions(self, seen: Tensor, origin: int) -> Tensor:
        """Return (B, T, C) scores of positions under labels."""
        T = seen.shape[-1]
        x = pad(seen.transpose(0, 1).flatten(1, 2), (0, -T % PHASES)).unflatten(-1, (-1, PHASES))
        turned = self.readout.roll(-(origin % PHASES), 0)
        return torch.einsum("bonr,rco->bnrc", x, turned).flatten(1, 2)[:, :T]

    def boundaries(self, seen: Tensor) -> Tensor:
        """Return (B, T + 1, columns) scores of sites: of each strand, what is seen at the base that follows."""
        here, there = seen[:, :, -PLACES:]
        both = torch.cat([pad(here, (0, 1)), pad(there, (1, 0))], 1)
        return both.transpose(1, 2)[..., self.site]


def readout(g: Grammar) -> NDArray:
    """Return (3, C, 2 OUTPUTS): which outputs of both strands a label's emission sums, by position modulo 3."""
    out = np.zeros((PHASES, len(g.labels), 2 * OUTPUTS), np.float32)
    for c, label in enumerate(g.labels):
        base = label.strand * OUTPUTS
        for r in range(PHASES):
            if label.kind == "intron":
                out[r, c, base + PHASES] = 1
            elif label.kind != "intergenic":
                codon = (r - label.frame) % PHASES  # from the codon's low edge
                out[r, c, base + (codon if label.strand == 0 else PHASES - 1 - codon)] = 1
                if label.kind in EXONS:
                    out[r, c, base + PHASES + 1 + EXONS.index(label.kind)] = 1
    return out


def named_changes(g: Grammar) -> tuple[list[tuple[str, str]], NDArray]:
    """Return the kinds of changes in the direction of transcription, and (C, C) which one each change of labels is."""
    names: dict[tuple[str, str], int] = {}
    place = np.zeros((len(g.labels), len(g.labels)), np.int64)
    for a, b in np.argwhere(g.transitions.any(0)):
        left, right = g.labels[a], g.labels[b]
        strand = right.strand if left.kind == "intergenic" else left.strand
        pair = (left.kind, right.kind) if strand == 0 else (right.kind, left.kind)
        place[a, b] = names.setdefault(pair, len(names))
    return list(names), place
