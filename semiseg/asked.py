"""What is wanted of a file, and which part of the library does it: the model's kind says."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from . import bundled, model_file
from .formats.places import check_file, check_folder
from .formats.tracks import form_of
from .genome import Settings


class Reading(NamedTuple):
    """How signals are read, where the file does not tell."""

    dataset: str | None = None  # of an HDF5 file
    rate: float | None = None  # positions a second
    channels: tuple[str, ...] = ()  # those to read; none: all


class Asked(NamedTuple):
    """What is wanted of a genome, or of signals."""

    input: Path
    model: str
    settings: Settings
    form: str | None = None  # bed, bed9, gff3 (genes), csv or wfdb (signals); None: as the output's name says
    output: Path | None = None  # None: standard output
    calls: bool = True
    posteriors: Path | None = None
    track_form: str | None = None  # bigwig, bedgraph or hdf5; None: as the name of `posteriors` says
    regions: tuple[str, ...] = ()
    regions_bed: Path | None = None
    labels: tuple[str, ...] = ()  # of BED's rows; none: exons, or all that the model calls
    least: float = 0.0  # posterior of what is written
    raw: bool = False  # without calibration
    resume: bool = False
    log: Path | None = None  # where warnings and the summary go too, with times
    command: tuple[str, ...] = ()
    reading: Reading = Reading()
    seconds: bool = False  # and not samples


def call(
    asked: Asked,
    say: Callable[[str], None] = lambda text: None,
    report: Callable[[int, int | None], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Write what is asked for and return a summary; `report` gets positions done, and how many there are."""
    from . import calling, finder, signal_calling

    check_places(asked)
    is_finder = model_file.read_kind(bundled.find(asked.model)) == finder.KIND
    return (calling if is_finder else signal_calling).call(asked, say, report)


def check_places(asked: Asked) -> None:
    """Refuse, before any work is done, what cannot be written."""
    if asked.form == "wfdb" and asked.output is not None:
        check_folder(asked.output)
    else:
        check_file(asked.output)
    tracks = asked.posteriors
    if tracks is not None and ((asked.track_form or form_of(tracks)) == "hdf5" or tracks.is_file()):
        check_file(tracks)
    elif tracks is not None:
        check_folder(tracks)
