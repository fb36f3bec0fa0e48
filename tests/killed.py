"""A training run that kills itself after a step, as a machine would: `killed.py FOLDER STEP`; 0: it does not."""

import os
import signal
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from planted import LAWS, TINY, planted

from semiseg import corpus, trainer
from semiseg.encoder import SHAPES
from semiseg.gene_model import Config, GeneModel
from semiseg.grammar import grammar
from semiseg.training import Recipe, settle_seeds

RECIPE = Recipe(window=300, batch=1, steps=8, warm_up=2, rate=1e-2, deterministic=True)
SCHEDULE = trainer.Schedule(validate=4, checkpoint=0.0)


def main() -> None:
    folder, kill = Path(sys.argv[1]), int(sys.argv[2])
    SHAPES["tiny"] = TINY
    settle_seeds(RECIPE)
    contig, genes = planted(4000)
    strip, _ = corpus.label(contig, genes, [], grammar(37), Counter())
    known = corpus.Corpus([strip], [planted(2500, 3, "two")], {}, 4, [])

    def report(progress: trainer.Progress) -> None:
        if progress.step == kill:
            os.kill(os.getpid(), signal.SIGKILL)

    model = GeneModel(Config(37, "tiny", False, LAWS))
    trainer.train(known, model, RECIPE, folder / "m", {}, schedule=SCHEDULE, resume=True, report=report)


if __name__ == "__main__":
    main()
