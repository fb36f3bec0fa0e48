"""Whole contigs, several at once: windows through the encoder, then one exact segmentation of each."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .ahead import in_stages
from .assembly import asked_about, assembled, concepts
from .calibration import Calibration
from .encoder import STRIDE
from .gene_model import PHASES, GeneModel
from .genes import Gene
from .kernels import Calls, Potentials, Segments, marginals, viterbi
from .masks import masks
from .scoring import WINDOW, part_of, seen
from .segment_stream import Found, rows_of
from .sites import OUTSIDE, REACH, encode

PADDING = ord("N")

Contigs = Sequence[tuple[str, NDArray]]
Decoded = tuple[Contigs, Potentials | None, Segments | None]  # a pack on its way


def decode(
    model: GeneModel,
    name: str,
    letters: NDArray,
    device: torch.device | str = "cpu",
    calibration: Calibration | None = None,
    window: int = WINDOW,
    posteriors: bool = True,
) -> list[Gene]:
    """Return the genes of (T,) ASCII letters, every exon with what is known about it if asked for."""
    return decode_all(model, [(name, letters)], device, calibration, window, posteriors)[0]


def decode_all(
    model: GeneModel,
    contigs: Contigs,
    device: torch.device | str = "cpu",
    calibration: Calibration | None = None,
    window: int = WINDOW,
    posteriors: bool = True,
    introns: bool = False,
) -> list[list[Gene]]:
    """Return the genes of contigs that are as long as each other, up to the encoder's stride (see `packed`)."""
    potentials = scored(model, contigs, device, window)
    return called(model, contigs, potentials, best_of(potentials), calibration, posteriors, introns)


def decode_packs(
    model: GeneModel,
    packs: Iterator[Contigs],
    device: torch.device | str = "cpu",
    calibration: Calibration | None = None,
    introns: bool = False,
) -> Iterator[list[list[Gene]]]:
    """Yield what `decode_all` returns of every pack; on its way, the next ones are segmented and scored."""
    stage = in_stages(device)
    ready = stage((contigs, scored(model, contigs, device)) for contigs in packs)
    best: Iterator[Decoded] = ((contigs, potentials, best_of(potentials)) for contigs, potentials in ready)
    if torch.device(device).type == "cpu":  # a GPU is busy with one of them, and has no memory to spare for a third
        best = stage(best)
    for contigs, potentials, path in best:
        yield called(model, contigs, potentials, path, calibration, introns=introns)


def best_of(potentials: Potentials | None) -> Segments | None:
    """Return the best segmentations of contigs with these potentials."""
    return None if potentials is None else viterbi(potentials).segments


@torch.no_grad()
def called(
    model: GeneModel,
    contigs: Contigs,
    potentials: Potentials | None,
    best: Segments | None,
    calibration: Calibration | None,
    posteriors: bool = True,
    introns: bool = False,
) -> list[list[Gene]]:
    """Return the genes of contigs with these potentials and best segmentations."""
    if potentials is None or best is None:
        return [[] for _ in contigs]
    about = torch.from_numpy(asked_about(model.grammar, introns)).to(best.label.device)
    asked, calls = about[best.label], None
    if posteriors and bool(asked.any()):
        items, rows = of_few(potentials, Segments(*(x[asked] for x in best)))
        calls = marginals(items, want=(), segments=rows, concepts=concepts(model.grammar)).calls
        assert calls is not None
    found = per_item(best, asked, calls, [len(letters) for _, letters in contigs])
    return [
        [gene for stretch in assembled(iter([one]), model.grammar, name, calibration) for gene in stretch.genes]
        for (name, _), one in zip(contigs, found, strict=True)
    ]


def of_few(p: Potentials, rows: Segments) -> tuple[Potentials, Segments]:
    """Return the items of a batch that segments lie in, and these as theirs: the others need no posteriors."""
    if p.emissions.ndim == 2:
        return p, rows
    mine, item = rows.item.unique(return_inverse=True)
    maps = tuple(b._replace(scores=b.scores[mine]) for b in p.boundaries)
    assert p.lengths is not None
    few = p._replace(emissions=p.emissions[mine], boundaries=maps, lengths=p.lengths[mine.to(p.lengths.device)])
    return few, rows._replace(item=item)


def per_item(best: Segments, asked: Tensor, calls: Calls | None, lengths: Sequence[int]) -> Iterator[Found]:
    """Yield what was found in each item of a batch."""
    item, rows = best.item.cpu(), rows_of(best)
    columns = None if calls is None else [x.cpu() for x in calls]
    mine = asked.cpu().numpy() & (calls is not None)
    every = torch.arange(len(lengths) + 1)
    edges = torch.searchsorted(item, every).tolist()
    known = np.concatenate([[0], np.cumsum(mine)])
    for i, length in enumerate(lengths):
        part = slice(edges[i], edges[i + 1])
        asked_here = slice(known[part.start], known[part.stop])
        own = None if columns is None else Calls(*(x[asked_here] for x in columns))
        yield Found(0, length, rows[part], mine[part], own, None)


def scored(model: GeneModel, contigs: Contigs, device: torch.device | str, window: int = WINDOW) -> Potentials | None:
    """Return the potentials of contigs; None: they are empty."""
    return score(model, [letters for _, letters in contigs], device, window) if len(contigs[0][1]) else None


@torch.no_grad()
def score(
    model: GeneModel, sequences: Sequence[NDArray], device: torch.device | str, window: int = WINDOW
) -> Potentials:
    """Return the potentials of whole contigs, the same whatever the windows are."""
    if len(sequences) == 1:
        return part_of(model, sequences[0], 0, 0, len(sequences[0]), device, window=window)
    lengths = [len(x) for x in sequences]
    features = see(model, side_by_side(sequences, PADDING, max(lengths)), device, window)
    p = model.potentials(features, *masks_of(model, sequences, device))
    return p._replace(lengths=torch.tensor(lengths))


def masks_of(model: GeneModel, sequences: Sequence[NDArray], device: torch.device | str) -> tuple[Tensor, Tensor]:
    """Return the grammar's masks of contigs, which come one after the other: so far apart that none sees the next."""
    T = max(len(x) for x in sequences)
    width = -(-(T + REACH) // PHASES) * PHASES
    codes = side_by_side([encode(x) for x in sequences], OUTSIDE, width)
    forbidden, impossible = masks(model.grammar, torch.from_numpy(codes.ravel()).to(device))
    B = len(sequences)
    return forbidden.view(B, width, -1)[:, :T], impossible[:-1].view(B, width, -1)[:, : T + 1]


def side_by_side(rows: Sequence[NDArray], filling: int, width: int) -> NDArray:
    """Return rows of the same width."""
    out = np.full((len(rows), width), filling, rows[0].dtype)
    for row, x in zip(out, rows, strict=True):
        row[: len(x)] = x
    return out


def see(model: GeneModel, letters: NDArray, device: torch.device | str, window: int = WINDOW) -> Tensor:
    """Return (2, B, OUTPUTS, T) features of (B, T) letters, window by window."""
    window = -(-window // STRIDE) * STRIDE
    reach, T, parts = model.encoder.reach, letters.shape[-1], []
    for begin in range(0, T, window):
        end = min(begin + window, T)
        low, high = max(0, begin - reach), min(T, end + reach)
        part = torch.from_numpy(np.array(letters[..., low:high])).to(device)
        parts.append(seen(model, part)[..., begin - low : end - low])
    return torch.cat(parts, -1)


def packed(lengths: Sequence[int], most: int) -> Iterator[list[int]]:
    """Yield numbers of contigs that go through a model together: no more bases than `most`, nearly equal lengths.

    Padding to the encoder's stride is what each gets alone too, so that nothing depends on its company.
    """
    groups: dict[int, list[int]] = {}
    for i, length in enumerate(lengths):
        groups.setdefault(-(-length // STRIDE), []).append(i)
    for strides, mine in groups.items():
        n = max(1, most // max(1, strides * STRIDE))
        for a in range(0, len(mine), n):
            yield mine[a : a + n]
