"""Tracks of posteriors along a contig: labels, sites, entropy."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .grammar import Grammar, Label
from .kernels.cpu.marginals import Part
from .sites import SITES


def track_names(grammar: Grammar) -> list[str]:
    """Return what the columns of tracks are: labels, boundaries (at the base that follows), entropy in bits."""
    return [*dict.fromkeys(label_name(label) for label in grammar.labels), *SITES, "entropy"]


def label_name(label: Label) -> str:
    """Return what a label is called in tracks: frames, phases and kinds of exons are not told apart."""
    if label.kind == "intergenic":
        return label.kind
    return f"{'exon' if label.is_exon else 'intron'}{'+-'[label.strand]}"


def tracks_of(grammar: Grammar, part: Part) -> NDArray:
    """Return (n, tracks) posteriors of a stretch."""
    assert part.kinds is not None
    return track_values(grammar, torch.from_numpy(part.position), torch.from_numpy(part.kinds)).numpy()


def track_values(grammar: Grammar, position: Tensor, kinds: Tensor) -> Tensor:
    """Return (n, tracks) float32 of (n, C) posteriors of labels and (n, columns) of boundaries, on their device."""
    names = [label_name(label) for label in grammar.labels]
    gather = torch.tensor([[name == u for u in dict.fromkeys(names)] for name in names])
    labels = (position @ gather.to(position)).clamp(0, 1)
    site = torch.from_numpy(grammar.type_sites[:, None] == np.arange(len(SITES)))
    sites = (kinds @ site.to(kinds)).clamp(0, 1)
    entropy = torch.special.entr(labels).sum(1, keepdim=True) / math.log(2)
    return torch.cat([labels, sites, entropy], 1).float()
