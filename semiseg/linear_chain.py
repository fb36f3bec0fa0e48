"""A linear-chain CRF with the signature, the weights and the numbers of pytorch-crf's: there a change of one import."""

from typing import Literal

import torch
from torch import Tensor, nn

from .chain_score import chain_score
from .checkpoints import Checkpointed
from .errors import SemisegError
from .hidden_states import checked
from .kernels import Potentials, log_partition, viterbi

REDUCTIONS = ("none", "sum", "mean", "token_mean")


class CRF(Checkpointed):
    """Tags of sequences from emissions (T, B, tags), or (B, T, tags) with `batch_first`.

    A checkpoint of pytorch-crf's layer fits. Masks (like tags) must be 1 up to each sequence's end and 0 behind it.

    >>> crf = CRF(num_tags=3, batch_first=True)
    >>> emissions, tags = torch.zeros(2, 5, 3), torch.tensor([[0, 1, 2, 2, 1], [2, 1, 0, 0, 0]])
    >>> loss = -crf(emissions, tags, reduction="mean")
    >>> [len(found) for found in crf.decode(emissions)]
    [5, 5]
    """

    def __init__(self, num_tags: int, batch_first: bool = False):
        super().__init__()
        if num_tags < 1:
            raise SemisegError(f"num_tags: expected at least 1, got {num_tags}")
        self.num_tags, self.batch_first = num_tags, batch_first
        self.start_transitions = nn.Parameter(torch.empty(num_tags))
        self.end_transitions = nn.Parameter(torch.empty(num_tags))
        self.transitions = nn.Parameter(torch.empty(num_tags, num_tags))  # source first
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the scores anew, as pytorch-crf does."""
        for x in self.parameters():
            nn.init.uniform_(x, -0.1, 0.1)

    def forward(
        self,
        emissions: Tensor,
        tags: Tensor,
        mask: Tensor | None = None,
        reduction: Literal["none", "sum", "mean", "token_mean"] = "sum",
    ) -> Tensor:
        """Return the log likelihood of tags: per item, its sum or mean over items, or its mean over positions."""
        if reduction not in REDUCTIONS:
            raise SemisegError(f"reduction: expected {' or '.join(REDUCTIONS)}, got {reduction!r}")
        p = self._potentials(emissions, mask)
        if not isinstance(tags, Tensor):
            raise SemisegError(f"tags: expected a tensor of integers, got {type(tags).__name__}")
        tags = tags if self.batch_first else tags.transpose(0, 1)
        assert p.lengths is not None
        if tags.shape != p.emissions.shape[:2] or tags.is_floating_point():
            wanted = tuple(p.emissions.shape[:2]) if self.batch_first else tuple(p.emissions.shape[1::-1])
            raise SemisegError(f"tags: expected integers {wanted}, got {tuple(tags.shape)} {tags.dtype}")
        tags, inside = tags.to(emissions.device).long(), None
        if mask is not None:
            inside = torch.arange(tags.shape[1], device=tags.device) < p.lengths.to(tags.device)[:, None]
            tags = tags.masked_fill(~inside, 0)
        low, high = torch.stack(tags.aminmax()).tolist()
        if low < 0 or high >= self.num_tags:
            item, at = ((tags < 0) | (tags >= self.num_tags)).nonzero()[0].tolist()
            where = f"item {item}, position {at}"
            raise SemisegError(f"tags: expected 0..{self.num_tags - 1}, got {int(tags[item, at])} at {where}")
        each = chain_score(p, tags, inside) - log_partition(p)
        each = each.to(torch.promote_types(emissions.dtype, torch.float32))
        if reduction == "none":
            return each
        count = {"sum": 1, "mean": len(each), "token_mean": int(p.lengths.sum())}[reduction]
        return each.sum() / count

    @torch.no_grad()
    def decode(self, emissions: Tensor, mask: Tensor | None = None) -> list[list[int]]:
        """Return the likeliest tags of every item."""
        p = self._potentials(emissions, mask)
        assert p.lengths is not None
        tags = viterbi(p).segments.label.cpu()
        return [part.tolist() for part in tags.split(p.lengths.tolist())]

    def _potentials(self, emissions: Tensor, mask: Tensor | None) -> Potentials:
        if isinstance(emissions, Tensor) and emissions.ndim == 3 and not self.batch_first:
            emissions = emissions.transpose(0, 1)
            mask = None if mask is None else mask.transpose(0, 1)
        lengths = None
        if mask is not None:
            if mask.shape != emissions.shape[:2]:
                raise SemisegError(f"mask: expected one value a position, got {tuple(mask.shape)}")
            lengths = mask.bool().sum(1).cpu()
            if not bool((mask.bool().cpu() == (torch.arange(mask.shape[1]) < lengths[:, None])).all()):
                raise SemisegError("mask: expected 1 up to each sequence's end and 0 behind it")
            if not bool(lengths.all()):
                raise SemisegError(f"mask: expected a 1 in every sequence, got none for item {int(lengths.argmin())}")
        lengths = checked(emissions, lengths, self.num_tags, "emissions")
        return Potentials(
            emissions,
            emissions.new_zeros(2, self.num_tags),
            self.transitions,
            first=self.start_transitions,
            last=self.end_transitions,
            lengths=lengths,
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}(num_tags={self.num_tags})"
