"""One of two processes that train a tiny model; writes what became of it."""

import sys
from hashlib import sha256
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import torch
import torch.distributed as dist
from planted import strip, tiny_model

from semiseg.distributed import joined
from semiseg.gene_windows import draw
from semiseg.training import Recipe, Run

RECIPE = Recipe(window=300, batch=1, steps=3, warm_up=1, rate=1e-2)


def main() -> None:
    torch.set_num_threads(1)
    with joined("cpu") as device:
        run, known = Run(tiny_model(RECIPE), RECIPE, device), [strip(4000)]
        rank, windows = dist.get_rank(), sha256()
        for _ in range(3):
            batch = draw(run.model.grammar, known, RECIPE, run.step, rank)
            windows.update(batch.letters.numpy().tobytes())
            run.advance(batch)
        weights = sha256()
        for _, x in run.tensors():
            weights.update(x.numpy().tobytes())
        Path(sys.argv[1], f"rank{rank}.txt").write_text(f"{weights.hexdigest()} {windows.hexdigest()}")


if __name__ == "__main__":
    main()
