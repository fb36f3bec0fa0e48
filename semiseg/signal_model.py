"""A model of one channel of a recording: what an encoder sees of it, as potentials of a semi-Markov CRF.

The encoder is a pyramid of dilated residual convolutions over the signal and over where it is known. Where a wave
begins shows in a few hundredths of a second, hence full resolution; what kind of wave it is shows in the rhythm around
it, hence blocks at a sixteenth of the rate, with a view of several seconds, where a second costs little. What lies
beyond a recording's ends is unknown, as gaps inside it are: waves are not called there, and nothing speaks for or
against one.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from .durations import family, tabulate
from .encoder import STRIDE, Pyramid, Shape
from .errors import SemisegError
from .gene_model import LawConfig
from .kernels import Boundary, Potentials
from .signal_grammar import grammar_of

INPUTS = 2  # the signal, and whether it is known
SHAPES = {
    "small": Shape(24, 96, 7, (1, 3), (1, 2, 4, 8, 16), (1, 2)),
    "broad": Shape(32, 128, 7, (1, 2), (1, 2, 4, 8), (1, 2)),  # for 125 positions a second
    "tiny": Shape(8, 16, 5, (1,), (1, 2, 4), (1,)),
}


class SignalConfig(NamedTuple):
    """What a signal model is made of."""

    names: tuple[str, ...]
    rate: float | None  # positions a second; None: recordings are taken as they are
    shape: str = "small"
    laws: tuple[LawConfig, ...] = ()  # (C,)
    colours: tuple[str, ...] = ()  # of the names, "r,g,b"

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {**self._asdict(), "names": list(self.names), "colours": list(self.colours),
                "laws": [law._asdict() for law in self.laws]}  # fmt: skip


def config_of(values: dict[str, Any]) -> SignalConfig:
    """Return the configuration that `as_json` gave."""
    try:
        laws = tuple(LawConfig(**law) for law in values["laws"])
        return SignalConfig(
            **{**values, "laws": laws, "names": tuple(values["names"]), "colours": tuple(values["colours"])}
        )
    except (TypeError, KeyError, AttributeError) as error:
        raise SemisegError(f"model configuration: {error}") from None


class SignalNet(nn.Module):
    """Encoder, grammar and duration laws."""

    allowed: Tensor  # (C, C)
    starts: Tensor  # (C, C) int64
    ends: Tensor
    says: Tensor  # (n + 2, C)

    def __init__(self, config: SignalConfig, change: Tensor | None = None):
        """Build one; `change` (C, C) are log shares of what follows each label, to begin with."""
        super().__init__()
        self.config, self.grammar = config, grammar_of(config.names)
        n, C = len(config.names), len(self.grammar.allowed)
        if len(config.laws) != C:
            raise SemisegError(f"model configuration: expected {C} duration laws, got {len(config.laws)}")
        if config.shape not in SHAPES:
            raise SemisegError(f"shape: expected one of {', '.join(SHAPES)}, got {config.shape!r}")
        self.encoder = Pyramid(SHAPES[config.shape], INPUTS, C + 2 * n, lambda width: [])
        self.laws = nn.ModuleList(family(law.family, law.longest, law.shortest, **law.shape) for law in config.laws)
        for name in ("allowed", "starts", "ends", "says"):
            self.register_buffer(name, torch.from_numpy(getattr(self.grammar, name)), persistent=False)
        begin = torch.zeros(C, C) if change is None else change
        self.change = nn.Parameter(begin.masked_fill(~self.allowed, 0.0).float())

    def forward(self, values: Tensor) -> Potentials:
        """Return the potentials of (B, T) values, NaN where nothing is known."""
        return self.potentials(self.features(values), values.isnan())

    def features(self, values: Tensor) -> Tensor:
        """Return (B, outputs, T) what is seen."""
        known = ~values.isnan()
        x = torch.stack([values.nan_to_num(nan=0.0), known.to(values.dtype)], 1)
        return self.encoder.seen(pad(x, (0, -x.shape[-1] % STRIDE)))[..., : values.shape[1]].float()

    def scores(self, seen: Tensor, missing: Tensor) -> tuple[Tensor, tuple[Boundary, ...]]:
        """Return what was seen as scores of labels and of boundaries, in float32 whatever the encoder runs in."""
        with torch.autocast(seen.device.type, enabled=False):
            n, C = len(self.config.names), len(self.allowed)
            labels, starts, ends = seen.masked_fill(missing[:, None], 0.0).transpose(1, 2).split([C, n, n], -1)
            named = torch.arange(C, device=seen.device) < n
            # a start is seen at the position that follows, an end at the one before
            return labels.masked_fill(missing[..., None] & named, -torch.inf), (
                Boundary(pad(starts, (0, 0, 0, 1)), self.starts), Boundary(pad(ends, (0, 0, 1, 0)), self.ends)
            )  # fmt: skip

    def potentials(self, seen: Tensor, missing: Tensor) -> Potentials:
        """Return the potentials of what was seen."""
        emissions, boundaries = self.scores(seen, missing)
        with torch.autocast(seen.device.type, enabled=False):
            table = tabulate(self.laws)
            return Potentials(
                emissions=emissions,
                durations=table.durations.to(seen.device),
                transitions=torch.where(self.allowed, self.change.double(), -torch.inf),
                longest=table.longest.to(seen.device),
                tail=table.tail.to(seen.device),
                boundaries=boundaries,
                left="censored",
                right="censored",
            )
