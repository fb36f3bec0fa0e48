"""A training run from windows to model file: steps, validation, checkpoints, and the best model kept."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

from .distributed import rank
from .errors import SemisegError
from .interruption import checkpoint_of, keeping, resumable
from .training import Known, Recipe, Run, Schedule, Windows, batches, settle_seeds


class Task(Protocol):
    """What there is to learn, and how one knows whether it was learnt."""

    figure: str  # of those that validation gives: the one that is to be best

    def draw(self, recipe: Recipe, step: int, rank: int) -> Known:
        """Return the windows of a step."""

    def validate(self, model: Any, device: torch.device | str, most: int) -> dict[str, float]:
        """Return figures from 0 to 1 on what was set aside, or on the first so many positions of it."""

    def finish(self, output: Path, model: Any, about: dict[str, Any], device: torch.device | str) -> dict[str, Any]:
        """Calibrate the best model on all that was set aside, and write it; return what is known about it."""


class Progress(NamedTuple):
    """Where a run stands."""

    step: int
    steps: int
    loss: float  # nats a position, of this step
    validated: dict[str, float] | None  # F1 by level, where this step was validated
    best: float  # of the figure that counts


def train(
    task: Task,
    model: Any,
    recipe: Recipe,
    output: Path,
    about: dict[str, Any],
    *,
    schedule: Schedule = Schedule(),  # noqa: B008 - never changed
    device: torch.device | str = "cpu",
    resume: bool = False,
    report: Callable[[Progress], None] = lambda progress: None,
) -> dict[str, Any]:
    """Train, write the best model to `output`, and return what is known about it (in the first process).

    Until it stands under its name, `output`.checkpoint does beside it, with the best one so far.
    """
    settle_seeds(recipe)
    first = rank() == 0
    run = Run(model, recipe, device)
    checkpoint = checkpoint_of(output)
    state: dict[str, Any] = {"best": -1.0, "since": 0, "about": {}}
    is_kept = resume and checkpoint.exists()
    if is_kept:
        state = run.resume(checkpoint)
    with resumable(lambda: is_kept):
        saved = time.monotonic()
        windows = Windows(partial(task.draw, recipe, rank=rank()), recipe.steps)
        for batch in batches(windows, run.step, schedule.workers if run.device.type == "cuda" else 0):
            if state["since"] >= schedule.patience:
                break
            loss = run.advance(batch)
            if not np.isfinite(loss):
                raise SemisegError(f"training: the loss of step {run.step} is not finite; lower the learning rate")
            validated = None
            last = run.step == recipe.steps
            if run.step % schedule.validate == 0 or last:
                with run.averaged():
                    validated = task.validate(model, run.device, schedule.bases)
                    if validated[task.figure] > state["best"]:
                        run.keep()
                        found = {"validation": validated, "step": run.step}
                        state = {"best": validated[task.figure], "since": -1, "about": found}
                state["since"] += 1
            if first and (last or validated is not None or time.monotonic() - saved > schedule.checkpoint):
                with keeping(is_kept):
                    run.save(checkpoint, state)
                saved, is_kept = time.monotonic(), True
            report(Progress(run.step, recipe.steps, loss, validated, state["best"]))
        if not first or not run.best:
            return {}
        model.load_state_dict(run.best)
        with keeping(is_kept):
            known = task.finish(output, model, about | state["about"], run.device)
        checkpoint.unlink(missing_ok=True)  # what a killed run would go on from is no longer needed
        return known
