"""Figures of a training run for TensorBoard, which is an extra and is loaded when it is asked for."""

from pathlib import Path
from typing import TYPE_CHECKING, Self

from .errors import SemisegError

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

    from .trainer import Progress


class TensorBoard:
    """Writes the loss of every step, and F1 by level where a step was validated, into a folder.

    The file is begun at the first report: only a process that reports writes one, and what an earlier run left in the
    folder for that step and later ones is dropped, so that a resumed run has one curve.
    """

    def __init__(self, folder: str | Path) -> None:
        try:
            from torch.utils import tensorboard
        except ImportError as error:
            raise SemisegError("logs need tensorboard, which is not installed: pip install 'semiseg[train]'") from error
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SemisegError(f"cannot write logs to {folder}: {error.strerror}") from error
        self.folder = str(folder)
        self.kind = tensorboard.SummaryWriter
        self.writer: SummaryWriter | None = None

    def __call__(self, progress: "Progress") -> None:
        if self.writer is None:
            self.writer = self.kind(self.folder, purge_step=progress.step)
        self.writer.add_scalar("loss", progress.loss, progress.step)
        if progress.validated is None:
            return
        for level, value in progress.validated.items():
            self.writer.add_scalar(f"F1/{level}", value, progress.step)
        self.writer.flush()  # validations are what a reader waits for; losses may come two minutes late

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.writer is not None:
            self.writer.close()
