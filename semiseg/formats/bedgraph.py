"""bedGraph: plain, or bgzipped with an index."""

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bgzip import Bgzip, is_compressed
from .output import comment
from .packages import needed
from .run_files import Runs
from .tabix import TBI_LONGEST, make_index


def write_bedgraph(
    path: Path, contigs: Sequence[tuple[str, int]], comments: Sequence[str], runs: Iterable[Runs]
) -> None:
    """Write runs under comments; a name that ends in .gz is compressed and gets an index beside it."""
    with open(path, "wb") as file:
        stream = Bgzip(file) if is_compressed(path) else file
        for piece in lines(comments, runs):
            stream.write(piece)
        stream.close()
    if is_compressed(path):
        longest = max((length for _, length in contigs), default=0)
        make_index(indexer(), path, "bed", ".csi" if longest > TBI_LONGEST else ".tbi")


def indexer() -> Any:
    """The package that makes the index; asked for early, as the index comes last."""
    return needed("pysam", "an index of bedGraph")


def lines(comments: Sequence[str], runs: Iterable[Runs]) -> Iterator[bytes]:
    """Text of the file, piece by piece."""
    yield "".join(map(comment, comments)).encode()
    for contig, starts, ends, values in runs:
        texts = map(str, values) if values.dtype.kind == "f" else decimals()[values].tolist()
        rows = zip(starts.tolist(), ends.tolist(), texts, strict=True)
        yield "".join([f"{contig}\t{start}\t{end}\t{value}\n" for start, end, value in rows]).encode()


@cache
def decimals() -> NDArray[np.object_]:
    """Text of every value in thousandths; one table for all tracks."""
    return np.array([f"{value / 1000:g}" for value in range(np.iinfo(np.uint16).max + 1)], object)
