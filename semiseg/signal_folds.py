"""Cross-validation: every recording is judged by a model that has not seen it, and the model learns from all of them.

Recordings are dealt out to folds, and a model is trained for each, without what is in it. Their calls of what they have
not seen give the figures and the calibration of the model that learns from everything in the end. All take their last
step: nothing is chosen on what judges them. Models of folds are kept, so that a run which was stopped goes on behind
those that are done.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from . import segmenter
from .distributed import is_alone
from .errors import SemisegError, UsageError
from .formats.places import check_folder
from .formats.telling import told
from .interruption import check_fresh, resumable
from .intervals import Calls
from .recipe import SignalPlan
from .segmenter import Segmenter
from .signal_corpus import Annotated, dealt, labelled, whole
from .signal_model import SignalNet
from .signal_trainer import Signals, learnt
from .trainer import Progress

SAME = ("sha256", "recipe", "seed", "validated_on")  # of a fold's model: what tells that it belongs to a run


class Fold(Signals):
    """To find segments, well enough to judge what was set aside."""

    def validate(self, model: SignalNet, device: torch.device | str, most: int) -> dict[str, float]:
        """Return the figures of what it calls, as it counts in the end."""
        found = self.judged(self.calls(self.plain(model, {})))
        model.train()
        return found

    def finish(
        self, output: Path, model: SignalNet, about: dict[str, Any], device: torch.device | str
    ) -> dict[str, Any]:
        """Write the model as it is."""
        segmenter.save(output, self.plain(model, about))
        return about


class Whole(Signals):
    """To find segments with all there is to learn from; `unseen` are the folds' calls."""

    def __init__(self, found: Annotated, plan: SignalPlan, unseen: Calls):
        super().__init__(whole(found), plan)
        self.unseen = unseen

    def validate(self, model: SignalNet, device: torch.device | str, most: int) -> dict[str, float]:
        """Return the figures of the folds' calls."""
        return self.judged(self.unseen)

    def calls(self, model: Segmenter) -> Calls:
        """Return the folds' calls."""
        return self.unseen


def folder_of(output: Path) -> Path:
    """Return where a run keeps the models of its folds."""
    return output.with_name(f"{output.name}.folds")


def path_of(output: Path, fold: int) -> Path:
    """Return the file of a fold's model."""
    return folder_of(output) / f"{fold}.safetensors"


def check_folds(output: Path, fold: int | None, resume: bool) -> None:
    """Refuse to begin anew over the folds of another run, and what several processes would do at once."""
    if not is_alone():
        raise UsageError("--folds is for one process, and torchrun started several: use --fold")
    folder = folder_of(output)
    check_folder(folder)
    there = folder if fold is None else path_of(output, fold)
    if is_begun(there) and not resume:
        raise SemisegError(f"{there} is there: --resume continues with it, or delete it to begin anew")
    check_fresh(output if fold is None else there, resume)


def is_begun(path: Path) -> bool:
    """Return whether there is a file, or one in a folder."""
    return any(path.iterdir()) if path.is_dir() else path.exists()


def cross_validated(
    found: Annotated,
    plan: SignalPlan,
    output: Path,
    folds: int,
    fold: int | None,
    about: dict[str, Any],
    *,
    device: torch.device | str,
    resume: bool,
    say: Callable[[str], None],
    report: Callable[[Progress], None],
) -> dict[str, Any]:
    """Train the models of all folds, then the one that is asked for, or just that of one fold; return what is known."""
    plan = plan._replace(schedule=plan.schedule._replace(validate=plan.training.steps))
    tasks, folder = [Fold(corpus, plan) for corpus in dealt(found, folds)], folder_of(output)
    say(f"{labelled(found.grammar.names, found.leads)} to learn from and to judge by, in {folds} folds")
    with told(folder):
        folder.mkdir(exist_ok=True)

    def go_on(task: Signals, path: Path, what: str, known: dict[str, Any]) -> dict[str, Any]:
        say(f"{what}: {len(task.corpus.training)} channels to learn from")
        return learnt(task, path, known, device=device, resume=resume, report=report)

    def model_of(i: int) -> Segmenter:
        task, path = tasks[i - 1], path_of(output, i)
        if not path.exists():
            go_on(task, path, f"fold {i} of {folds}", about)
        model = segmenter.load(path)
        check_same(path, model.about, {**about, "validated_on": task.corpus.aside})
        return model

    with resumable(lambda: is_begun(folder)):
        if fold is not None:
            return model_of(fold).about
        unseen: dict[str, Any] = {}
        for i, task in enumerate(tasks, 1):  # from their files, whether trained now or before: the same calls
            unseen |= task.calls(model_of(i))
        every = Whole(found, plan, unseen)
        return go_on(every, output, "all, with the figures of the folds", {**about, "folds": folds})


def check_same(path: Path, own: dict[str, Any], about: dict[str, Any]) -> None:
    """Raise where a fold's model is of another run."""
    plain = json.loads(json.dumps(about))
    if any(own.get(key) != plain.get(key) for key in SAME):
        raise SemisegError(f"{path}: of another recipe, data or number of folds: delete {path.parent} to begin anew")
