"""From files of recordings and of their labels to the file of a model of signals."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from .distributed import rank
from .errors import SemisegError
from .formats.places import check_file
from .interruption import check_fresh
from .provenance import provenance
from .recipe import SignalPlan
from .signal_corpus import counted, labelled, read, set_aside
from .signal_folds import check_folds, cross_validated
from .signal_trainer import Signals, learnt
from .trainer import Progress


def from_files(
    recordings: Path,
    labels: Path,
    output: Path,
    plan: SignalPlan,
    validation: Sequence[str] = (),
    folds: int | None = None,
    fold: int | None = None,
    *,
    rate: float | None = None,
    resume: bool = False,
    device: torch.device | str = "cpu",
    say: Callable[[str], None] = lambda text: None,
    report: Callable[[Progress], None] = lambda progress: None,
) -> dict[str, Any]:
    """Train on recordings and the BED of their labels; `rate` is that of recordings whose files say none.

    Without `folds` the model is judged and calibrated on what is set aside, with them by as many others: `fold` is the
    one that is to be trained, and nothing else.
    """
    first = rank() == 0
    if first:
        check_file(output, whole=True)
        if folds is None:
            check_fresh(output, resume)
        else:
            check_folds(output, fold, resume)
    found = read(recordings, labels, rate)
    if plan.rate and any(lead.rate is None for lead in found.leads):
        raise SemisegError(f"{recordings}: no sampling rate is known: give --rate, or rate = 0 in the recipe")
    about = provenance(plan, data=recordings, labels=labels)
    if not first:
        say, report = nothing, nothing
    for note in found.notes:
        say(note)
    if folds is not None:
        return cross_validated(
            found, plan, output, folds, fold, about, device=device, resume=resume, say=say, report=report
        )
    corpus = set_aside(found, validation)
    say(f"{labelled(found.grammar.names, corpus.training)} to learn from, {counted(corpus.validation)} to validate on")
    return learnt(Signals(corpus, plan), output, about, device=device, resume=resume, report=report)


def nothing(_: object) -> None:
    """Do nothing with what is told: the first process tells."""
