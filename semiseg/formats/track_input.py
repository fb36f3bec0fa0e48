"""Files of tracks, of any of the formats, as values in bins."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import SemisegError
from .alignment_spans import alignment_spans, open_alignments
from .bgzip import COMPRESSED
from .bigwig_check import check_whole
from .bins import WINDOW, Binned, binned
from .packages import needed
from .text_spans import Groups, lacking, text_spans

SUFFIXES = {
    ".bw": "bigwig", ".bigwig": "bigwig", ".bedgraph": "bedgraph", ".bg": "bedgraph", ".bdg": "bedgraph",
    ".bed": "bed", ".bam": "bam",
}  # fmt: skip

Reader = Callable[[], Iterator[Binned]]


def open_track(path: Path, lengths: Mapping[str, int], bin_size: int, partial: bool) -> Reader:
    """Return what reads a file's values in bins, once what can be told at its beginning has been looked at.

    bigWig and bedGraph have means of what is known; BED and BAM the mean coverage, which is 0 where nothing is. A
    contig that the file does not have is an error, unless it may be `partial`: then nothing is known there.
    """
    kind = kind_of(path)
    if not path.is_file():
        raise SemisegError(f"{path}: no such file")
    if kind == "bigwig":
        file = open_bigwig(path)
        found = same_lengths(path, file.chroms(), lengths, partial)
        return lambda: bigwig_bins(path, file, found, bin_size)
    if kind == "bam":
        alignments, contigs = open_alignments(path)
        found = same_lengths(path, contigs, lengths, partial)
        return lambda: in_bins(alignment_spans(path, alignments, found), found, bin_size, True)
    is_coverage = kind == "bed"  # where there is no row it is 0, also in all of a contig
    rows = text_spans(path, lengths, not is_coverage, partial or is_coverage)
    return lambda: in_bins(rows, lengths, bin_size, is_coverage)


def kind_of(path: Path) -> str:
    """Return the format that a file's name tells."""
    name = path.name.lower()
    for suffix in COMPRESSED:
        name = name.removesuffix(suffix)
    kind = SUFFIXES.get(Path(name).suffix)
    if kind is None:
        raise SemisegError(f"{path}: expected a name that ends in {', '.join(SUFFIXES)}, or in .gz behind it")
    return kind


def track_name(path: Path) -> str:
    """Return a file's name without what tells the format."""
    stem = path.name
    while Path(stem).suffix.lower() in (*COMPRESSED, *SUFFIXES):
        stem = Path(stem).stem
    return stem


def same_lengths(path: Path, there: Mapping[str, int], lengths: Mapping[str, int], partial: bool) -> dict[str, int]:
    """Return the contigs that a file and the sizes have in common: as long in both."""
    for name, length in lengths.items():
        if name in there and there[name] != length:
            raise SemisegError(f"{path}: {name} has {there[name]} bases, in the sizes {length}: another assembly?")
        if name not in there and not partial:
            raise lacking(path, name, there)
    if not lengths.keys() & there.keys():
        raise lacking(path, next(iter(lengths)), there)
    return {name: length for name, length in lengths.items() if name in there}


def in_bins(groups: Groups, lengths: Mapping[str, int], bin_size: int, is_coverage: bool) -> Iterator[Binned]:
    """Yield the bins of all contigs; where reads or intervals are counted, one without any has 0."""
    left = dict(lengths)
    for name, spans in groups:
        yield from binned(name, spans, left.pop(name), bin_size, is_coverage)
    if is_coverage:
        for name, length in left.items():
            yield from binned(name, iter(()), length, bin_size, True)


def open_bigwig(path: Path) -> Any:
    """Return a bigWig to read from, all of which is there."""
    check_whole(path)
    with unpacking(path):
        file = needed("pybigtools", "bigWig").open(str(path))
        if not file.is_bigwig:
            raise SemisegError(f"{path}: not a bigWig")
        return file


@contextmanager
def unpacking(path: Path) -> Iterator[None]:
    """Whatever goes wrong with the file inside is a SemisegError; what pybigtools raises may be a panic."""
    try:
        yield
    except SemisegError:
        raise
    except BaseException as error:
        if isinstance(error, (KeyboardInterrupt, SystemExit, GeneratorExit)):
            raise
        why = " ".join(str(error).split())
        raise SemisegError(f"{path}: cannot be read as bigWig, it may be damaged or cut off: {why}") from error


def bigwig_bins(path: Path, file: Any, lengths: Mapping[str, int], bin_size: int) -> Iterator[Binned]:
    """Yield the mean over what is known of every bin."""
    for name, length in lengths.items():
        whole = length // bin_size
        edges = [*range(0, whole, WINDOW), whole]
        parts = [(a, b - a, b * bin_size) for a, b in pairwise(edges)]
        parts += [(whole, 1, length)] if whole * bin_size < length else []  # the last bin may be cut short
        for first, n, end in parts:
            with unpacking(path):
                values = file.values(name, first * bin_size, end, bins=n, exact=True, fillna=None)
            yield Binned(name, first, values.astype(np.float32))
