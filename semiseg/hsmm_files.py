"""From files of signals to a file with a model of their states."""

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from . import __version__, hsmm_model
from .asked import Asked, Reading, call
from .emissions import guess
from .errors import SemisegError
from .formats.places import check_file
from .formats.source import open_source
from .genome import Settings as Decoding
from .hsmm_fit import Progress, Settings, fit
from .interruption import check_fresh, checkpoint_of
from .signals import Source

MOST = 20  # states that `auto` goes up to


def numbers(text: str) -> tuple[int, ...]:
    """Return the numbers of states of `12`, `4-16` or `auto`."""
    low, dash, high = ("1", "-", str(MOST)) if text == "auto" else text.partition("-")
    if not (low.isdecimal() and (high.isdecimal() or not dash)) or len(low + high) > 8:
        raise SemisegError(f"--states: expected a number, a range as 4-16, or auto, got {text!r}")
    found = tuple(range(int(low), int(high or low) + 1))
    if not found or found[0] < 1:
        raise SemisegError(f"--states: expected at least 1, the smaller number first, got {text!r}")
    return found


def fitted(
    paths: Sequence[Path],
    output: Path | None,
    settings: Settings,
    family: str = "auto",
    options: dict[str, Any] | None = None,
    *,
    reading: Reading = Reading(),  # noqa: B008 - never changed
    device: torch.device | str = "cpu",
    resume: bool = False,
    calls: bool = False,
    command: tuple[str, ...] = (),
    report: Callable[[Progress], None] = lambda progress: None,
) -> dict[str, Any]:
    """Fit a model to files and return what is known about it; with `calls`, write the segments of the first to stdout.

    Until the model stands under its name, OUTPUT.checkpoint does beside it; without an output the model is not kept.
    """
    check_file(output, whole=True)
    if output is not None:
        check_fresh(output, resume)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "states.safetensors" if output is None else output
        checkpoint = None if output is None else checkpoint_of(output)
        about = from_files(paths, path, settings, family, options, reading, device, checkpoint, resume, report)
        if calls:
            call(Asked(paths[0], str(path.absolute()), Decoding(torch.device("cpu")), reading=reading, command=command))
    return about


def from_files(
    paths: Sequence[Path],
    output: Path,
    settings: Settings,
    family: str,
    options: dict[str, Any] | None,
    reading: Reading,
    device: torch.device | str,
    checkpoint: Path | None,
    resume: bool,
    report: Callable[[Progress], None],
) -> dict[str, Any]:
    """Fit a model to files, write it, and return what is known about it."""
    sources = [
        open_source(path, dataset=reading.dataset, rate=reading.rate, channels=reading.channels or None)
        for path in paths
    ]
    alike(sources)
    found = fit(sources, family, settings, options, device=device, checkpoint=checkpoint, resume=resume, report=report)
    about = {
        "data": ", ".join(source.name for source in sources), "semiseg": __version__, "positions": found.positions,
        "nats_a_position": round(found.nats, 6), "free_parameters": found.model.parameters(),
        "settings": settings._asdict(), "candidates": found.candidates,
    }  # fmt: skip
    name = guess(found.survey) if family == "auto" else family
    model = hsmm_model.build(
        found.model, found.survey, sources[0], name, options or {}, settings.durations, settings.longest, about
    )
    hsmm_model.save(output, model)
    if checkpoint is not None:  # what a killed run would go on from is no longer needed
        checkpoint.unlink(missing_ok=True)
    return about


def alike(sources: Sequence[Source]) -> None:
    """Refuse sources whose positions are not of one size."""
    for source in sources[1:]:
        for field, what in (("bin", "coordinates a position"), ("rate", "positions a second")):
            ours, theirs = getattr(sources[0], field), getattr(source, field)
            if ours != theirs:
                raise SemisegError(
                    f"{source.name} has {theirs} {what}, {sources[0].name} {ours}: one model is for one kind"
                )
