"""SemiCRF in a Lightning module, on the task of duration_task.py: `python example_data/lightning_module.py`.

The layer is a part of the module like any other: its loss is what training steps return, its scores and its laws are in
checkpoints, and what it decodes is validated. Needs `pip install lightning`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning
import torch
from duration_task import DURATIONS, Batch, Segmenter, draw, f1
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

RATE = 2e-2


class LightningSegmenter(lightning.LightningModule):
    """A BiLSTM under a semi-Markov CRF."""

    def __init__(self, K: int, steps: int):
        super().__init__()
        self.save_hyperparameters()
        self.model = Segmenter(K)
        self.steps = steps

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        """Return minus the log likelihood of the batch's segments."""
        loss = self.model.loss(Batch(*batch))
        self.log("loss", loss)
        return loss

    def validation_step(self, batch: list[Tensor], index: int) -> None:
        """Log how well decoded segments agree."""
        self.log("f1", f1(self.model, Batch(*batch)), batch_size=len(batch[0]))

    def configure_optimizers(self) -> Any:
        """Return Adam with a rate that falls to nothing."""
        optimiser = torch.optim.Adam(self.parameters(), RATE)
        schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.01, self.steps)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class Drawn(IterableDataset[Batch]):
    """Batches that are drawn anew from a seed on."""

    def __init__(self, seed: int, batches: int):
        self.seeds = range(seed, seed + batches)

    def __iter__(self) -> Iterator[Batch]:
        return map(draw, self.seeds)


def train(folder: Path, steps: int = 100) -> tuple[LightningSegmenter, float]:
    """Return a trained module, and the F1 of its segments on new sequences; its checkpoint is in the folder."""
    lightning.seed_everything(0)
    module = LightningSegmenter(max(DURATIONS) + 1, steps)
    trainer = lightning.Trainer(
        max_steps=steps, accelerator="cpu", gradient_clip_val=5.0, default_root_dir=folder, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(module, DataLoader(Drawn(0, steps), batch_size=None), DataLoader(Drawn(10**6, 4), batch_size=None))
    trainer.save_checkpoint(folder / "last.ckpt", weights_only=True)
    return module, float(trainer.callback_metrics["f1"])


if __name__ == "__main__":
    torch.set_num_threads(1)  # as in duration_task.py
    module, score = train(Path("lightning_logs"))
    print(f"segment F1 {score:.3f}")
