"""bgzip: gzip in blocks that say how long they are, so that an index can point into it."""

import struct
import zlib
from pathlib import Path
from typing import BinaryIO

COMPRESSED = (".gz", ".bgz")
BLOCK = 0xFF00  # bytes that htslib puts into a block: it stays below 2^16 even where nothing can be compressed


class Bgzip:
    """Bytes as bgzip blocks.

    Not pysam.BGZFile: that ends the interpreter where a file cannot be opened, and does not say why it cannot write.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.waiting = bytearray()

    def write(self, data: bytes) -> None:
        """Write the blocks that are full."""
        self.waiting += data
        while len(self.waiting) >= BLOCK:
            self.file.write(bgzip_block(self.waiting[:BLOCK]))
            del self.waiting[:BLOCK]

    def flush(self) -> None:
        """Write what is left as a block of its own."""
        if self.waiting:
            self.file.write(bgzip_block(self.waiting))
            self.waiting.clear()

    def close(self) -> None:
        """Write what is left, and the empty block that tells a complete file."""
        self.flush()
        self.file.write(bgzip_block(b""))
        self.file.close()


def bgzip_block(data: bytes | bytearray) -> bytes:
    """One gzip member with its size in an extra field."""
    packed = zlib.compress(data, wbits=-zlib.MAX_WBITS)
    head = struct.pack("<4BI2BH2BHH", 31, 139, 8, 4, 0, 0, 255, 6, 66, 67, 2, len(packed) + 25)
    return head + packed + struct.pack("<II", zlib.crc32(data), len(data))


def is_compressed(path: Path) -> bool:
    """Whether a file of that name is bgzip."""
    return path.suffix.lower() in COMPRESSED
