"""Segments as annotations of recordings in the format of WFDB: `(` at the first sample, `)` at the last.

Between them stands the wave's own sign where the format has one, and else a note; the name of the segment's label is
the text beside it. An annotation is a word of 16 bits: a code, and the samples since the one before; more than a word
holds is told by SKIP, and texts by AUX.
"""

import struct
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import BinaryIO

from .draft import Draft
from .segments import Segment
from .telling import told

ONSET, OFFSET, NOTE = 39, 40, 22
SIGNS = {"P": 24, "QRS": 1, "T": 27, "U": 29}
SKIP, AUX = 59, 63
LARGEST = 1023  # samples that a word can tell
ANNOTATOR = "seg"  # the ending of the files


def write_annotations(folder: Path, segments: Iterable[Segment]) -> None:
    """Write the segments of every recording into a file of its own in a folder, <recording>_<channel>.seg."""
    with told(folder):
        draft = Draft(folder, is_file=False)
    try:
        for sequence, some in groupby(segments, key=lambda segment: segment.sequence):
            name = f"{sequence.replace('/', '_')}.{ANNOTATOR}"
            with told(folder), (draft.folder / name).open("wb") as file:
                annotate(file, some)
        with told(folder):
            draft.publish()
    finally:
        draft.discard()


def annotate(file: BinaryIO, segments: Iterable[Segment]) -> None:
    """Write the segments of one recording, which are in order and apart."""
    at = 0
    for segment in segments:
        last = max(segment.start, segment.end - 1)
        label = segment.label.encode()[:255]
        sign = SIGNS.get(segment.label, NOTE)
        middle = (segment.start + last) // 2
        for place, code, text in ((segment.start, ONSET, b""), (middle, sign, label), (last, OFFSET, b"")):
            file.write(word(code, place - at) + aux(text))
            at = place
    file.write(b"\0\0")


def word(code: int, since: int) -> bytes:
    """Return an annotation so many samples behind the one before."""
    far = b""
    if since > LARGEST:
        far, since = struct.pack("<HHH", SKIP << 10, since >> 16 & 0xFFFF, since & 0xFFFF), 0
    return far + struct.pack("<H", code << 10 | since)


def aux(text: bytes) -> bytes:
    """Return a text beside the annotation before it, of even length."""
    return struct.pack("<H", AUX << 10 | len(text)) + text + b"\0" * (len(text) % 2) if text else b""
