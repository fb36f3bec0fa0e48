"""Tracks of posteriors along a contig: labels, sites, entropy."""

import numpy as np
from numpy.typing import NDArray

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
    names = [label_name(label) for label in grammar.labels]
    unique = list(dict.fromkeys(names))
    gather = np.array([[name == u for u in unique] for name in names], float)
    labels = (part.position @ gather).clip(0, 1)
    assert part.kinds is not None
    sites = part.kinds @ (grammar.type_sites[:, None] == np.arange(len(SITES)))
    entropy = -np.where(labels > 0, labels * np.log2(np.where(labels > 0, labels, 1)), 0).sum(1, keepdims=True)
    return np.concatenate([labels, sites.clip(0, 1), entropy], 1).astype(np.float32)
