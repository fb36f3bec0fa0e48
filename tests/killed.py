"""A training run that kills itself after a step, as a machine would: a module of its own for processes to import."""

import os
import signal
from pathlib import Path

from planted import planted, strip, tiny_model

from semiseg import corpus, trainer
from semiseg.depth import Depth
from semiseg.gene_trainer import Genes
from semiseg.training import Recipe, Schedule

RECIPE = Recipe(window=300, batch=1, steps=8, warm_up=2, rate=1e-2, deterministic=True)
SCHEDULE = Schedule(validate=4, checkpoint=0.0)


def train(folder: Path, kill: int) -> None:
    """Train a tiny model and write it to a folder; `kill`: the last step, 0: none."""
    model = tiny_model(RECIPE)
    known = corpus.Corpus([strip(4000)], [planted(2500, 3, "two")], {}, 4, Depth(0.2, 0.8, 0.2, 0.8), [])

    def report(progress: trainer.Progress) -> None:
        if progress.step == kill:
            os.kill(os.getpid(), signal.SIGKILL)

    task = Genes(known, model.grammar)
    trainer.train(task, model, RECIPE, folder / "m", {}, schedule=SCHEDULE, resume=True, report=report)
