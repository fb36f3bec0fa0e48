"""bedGraph: plain, or bgzipped with an index.

The blocks of bgzip are made here: pysam.BGZFile crashes the interpreter where a file cannot be opened, and does not say
why one cannot be written.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .packages import needed
from .run_files import Runs

BLOCK = 0xFF00  # bytes of text in a block of bgzip: they fit into 64 KiB even if they do not get smaller
BLOCK_HEADER = b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x06\0BC\x02\0"
END_OF_FILE = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
TABIX_LONGEST = 1 << 29  # what .tbi can index; .csi has no such bound


def write_bedgraph(
    path: Path, contigs: Sequence[tuple[str, int]], comments: Sequence[str], runs: Iterable[Runs]
) -> None:
    """Write runs under comments; a name that ends in .gz is compressed and gets an index beside it."""
    text = lines(comments, runs)
    with open(path, "wb") as file:
        if path.suffix == ".gz":
            file.writelines(blocks(text))
        else:
            file.writelines(text)
    if path.suffix == ".gz":
        longest = max((length for _, length in contigs), default=0)
        indexer().tabix_index(str(path), preset="bed", csi=longest > TABIX_LONGEST)


def indexer() -> Any:
    """The package that makes the index; asked for early, as the index comes last."""
    return needed("pysam", "an index of bedGraph")


def lines(comments: Sequence[str], runs: Iterable[Runs]) -> Iterator[bytes]:
    """Text of the file, piece by piece."""
    yield "".join(f"# {' '.join(comment.split())}\n" for comment in comments).encode()
    for contig, starts, ends, values in runs:
        rows = zip(starts.tolist(), ends.tolist(), decimals()[values].tolist(), strict=True)
        yield "".join([f"{contig}\t{start}\t{end}\t{value}\n" for start, end, value in rows]).encode()


@cache
def decimals() -> NDArray[np.object_]:
    """Text of every value in thousandths; one table for all tracks."""
    return np.array([f"{value / 1000:g}" for value in range(np.iinfo(np.uint16).max + 1)], object)


def blocks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Blocks of bgzip, each a member of gzip that says how long it is."""
    rest = bytearray()
    for piece in pieces:
        rest += piece
        while len(rest) >= BLOCK:
            yield block(rest[:BLOCK])
            del rest[:BLOCK]
    if rest:
        yield block(rest)
    yield END_OF_FILE


def block(text: bytes | bytearray) -> bytes:
    """One block."""
    packed = zlib.compress(text, wbits=-zlib.MAX_WBITS)
    size = len(BLOCK_HEADER) + 2 + len(packed) + 8
    return BLOCK_HEADER + struct.pack("<H", size - 1) + packed + struct.pack("<II", zlib.crc32(text), len(text))
