"""From a contig to its genes: windows through the encoder, then one exact segmentation of the whole."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .calibration import Calibration
from .encoder import STRIDE
from .gene_model import GeneModel
from .genes import Gene
from .grammar import Grammar
from .kernels import Potentials, Segments, marginals, viterbi
from .sites import encode

PRINTED = {"single": "last", "terminal": "last", "initial": "inner", "internal": "inner"}
WINDOW = 1 << 16  # positions through the encoder at once, without what they share with their neighbours


@torch.no_grad()
def decode(
    model: GeneModel,
    name: str,
    letters: NDArray,
    device: torch.device | str = "cpu",
    calibration: Calibration | None = None,
    window: int = WINDOW,
    posteriors: bool = True,
) -> list[Gene]:
    """Return the genes of (T,) ASCII letters, every exon with its posterior if asked for."""
    if len(letters) == 0:
        return []
    potentials = score(model, letters, device, window)
    best = viterbi(potentials).segments
    starts, ends, labels = (x.cpu().numpy() for x in (best.start, best.end, best.label))
    found = model.grammar.genes(starts, ends, labels, name, len(letters))
    exons = np.array([model.grammar.labels[c].is_exon for c in labels], bool)
    if not posteriors or not exons.any():
        return found
    asked = Segments(*(x[torch.from_numpy(exons).to(x.device)] for x in best))
    calls = marginals(potentials, want=(), segments=asked, concepts=concepts(model.grammar)).calls
    assert calls is not None
    sure = calls.segment.cpu().numpy()
    return list(believed(found, sure if calibration is None else calibration.apply(sure)))


def score(model: GeneModel, letters: NDArray, device: torch.device | str, window: int = WINDOW) -> Potentials:
    """Return the potentials of a whole contig, the same whatever the windows are."""
    forbidden, impossible = (torch.from_numpy(mask).to(device)[None] for mask in model.grammar.masks(encode(letters)))
    p = model.potentials(see(model, letters, device, window), forbidden, impossible)
    (sites,) = p.boundaries
    return p._replace(emissions=p.emissions[0], boundaries=(sites._replace(scores=sites.scores[0]),))


def see(model: GeneModel, letters: NDArray, device: torch.device | str, window: int = WINDOW) -> Tensor:
    """Return (2, 1, OUTPUTS, T) features, window by window."""
    window = -(-window // STRIDE) * STRIDE
    reach, T, parts = model.encoder.reach, len(letters), []
    for begin in range(0, T, window):
        end = min(begin + window, T)
        low, high = max(0, begin - reach), min(T, end + reach)
        part = torch.from_numpy(np.array(letters[low:high]))[None].to(device)
        parts.append(model.features(part)[..., begin - low : end - low])
    return torch.cat(parts, -1)


def concepts(g: Grammar) -> Tensor:
    """Return (C,) numbers, the same for labels that give the same exon in the output.

    Frames do not show there; kinds do in that the stop codon is added to single and terminal exons, and to others not.
    """
    names = [(PRINTED.get(label.kind, label.kind), label.strand) for label in g.labels]
    return torch.tensor([names.index(name) for name in names])


def believed(genes: list[Gene], posteriors: NDArray) -> Iterator[Gene]:
    """Yield genes with the posteriors of their exons, in order; a gene is at most as sure as its least sure exon."""
    at = 0
    for gene in genes:
        own = posteriors[at : at + len(gene.exons)].clip(0, 1).tolist()
        at += len(gene.exons)
        exons = tuple(exon._replace(posterior=p) for exon, p in zip(gene.exons, own, strict=True))
        yield gene._replace(exons=exons, posterior=min(own))
