"""One track of a store as bigWig or bedGraph: runs of equal values; what is not known is left out."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from ..errors import SemisegError
from ..signals import Source
from .bedgraph import write_bedgraph
from .bigwig import check_bigwig, write_bigwig
from .draft import Draft
from .places import check_file
from .run_files import RunFinder, Runs
from .telling import told
from .track_file import open_store, source_of
from .tracks import SUFFIXES

WINDOW = 1 << 16  # bins that are read at once


def export(path: Path, track: str, output: Path) -> None:
    """Write a track of a store into a file whose name ends as its format says."""
    check_file(output)
    store = open_store(path)
    source = source_of(store, [track])
    form = next((form for form, endings in SUFFIXES.items() if output.name.endswith(endings)), None)
    if form is None:
        endings = ", ".join(chain.from_iterable(SUFFIXES.values()))
        raise SemisegError(f"{output}: expected a name that ends in {endings}")
    if form == "bigwig":
        check_bigwig(store.layout.contigs)
    found = runs(source)
    first = next(found, None)
    if first is None:
        raise SemisegError(f"{path}: nothing is known of track {track}")
    with told(output):
        draft = Draft(output, is_file=True)
    try:
        with told(output):
            if form == "bigwig":
                write_bigwig(draft.file, store.layout.contigs, chain([first], found))
            else:
                write_bedgraph(draft.file, store.layout.contigs, store.layout.comments, chain([first], found))
            draft.publish()
    finally:
        draft.discard()


def runs(source: Source) -> Iterator[Runs]:
    """Yield the runs of a source's only channel."""
    for strip in source.strips:
        finder = RunFinder(strip.name, source.bin, strip.end)
        for first in range(0, strip.length, WINDOW):
            values = strip.read(first, min(first + WINDOW, strip.length))[:, 0]
            closed = finder.put(first, values)
            if len(closed.starts):
                yield closed
        last = finder.finish()
        if len(last.starts):
            yield last
