"""Training on the likelihood of whole segmentations, in steps that can be done again.

A step depends on the weights, the optimiser and its number: windows are drawn from a generator seeded by recipe, step
and rank. So a run that was killed goes on from its last checkpoint as if nothing had happened.
"""

import math
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from . import model_file
from .distributed import rank, share_gradients
from .errors import SemisegError
from .kernels import Potentials, Segments, log_partition
from .kernels.devices import moved
from .path_score import path_score

BEST = "best."  # what the best model's weights are called in a checkpoint
UNKNOWN = -1  # label of a position about which nothing is said


class Recipe(NamedTuple):
    """How a model is trained."""

    window: int = 8192
    batch: int = 16
    steps: int = 2000
    rate: float = 1e-3  # at the top of the schedule
    warm_up: int = 100
    decay: float = 0.01
    clip: float = 1.0
    average: float = 0.998  # of the weights that are validated and kept
    genes: float = 0.7  # of DNA: share of windows around a gene; the others are anywhere
    fit_laws: bool = False  # else duration laws stay as the annotation's lengths have them
    dropout: float = 0.0
    mutate: float = 0.0  # of DNA: share of windows that are changed as evolution might
    composition: float = 0.0  # of DNA: spread of the GC that they change towards
    seed: int = 0
    deterministic: bool = False


class Schedule(NamedTuple):
    """When to look up from training."""

    validate: int = 250  # steps between validations
    patience: int = 8  # validations without a better one before the run ends
    checkpoint: float = 120.0  # seconds between checkpoints
    bases: int = 3_000_000  # of the validation sequences, at most: the rest waits for the end
    workers: int = 4  # processes that draw windows for a GPU


class Known(Protocol):
    """Windows, and what is known about them."""

    @property
    def labels(self) -> Tensor:
        """(B, T) int64, in which UNKNOWN says nothing."""

    @property
    def path(self) -> Segments | None:
        """Where one segmentation is all that is possible: that."""

    @property
    def inputs(self) -> tuple[Any, ...]:
        """What the model takes."""


class Model(Protocol):
    """A module that can be trained: called, it gives potentials."""

    config: Any
    laws: nn.Module
    says: Tensor  # (labels that may be known, C) bool: those that may be meant; the last row: unknown


class Windows(Dataset):
    """The batches of a run, by step."""

    def __init__(self, draw: Callable[[int], Known], steps: int):
        self.draw, self.steps = draw, steps

    def __getitem__(self, step: int) -> Known:
        return self.draw(step)


def batches(windows: Windows, first: int, workers: int) -> Iterator[Known]:
    """Yield batches from a step on, drawn ahead by other processes where there are some."""
    # a generator of its own: the loader would draw a seed from torch's, and a resumed run would then differ
    return iter(
        DataLoader(
            windows, batch_size=None, sampler=range(first, windows.steps), num_workers=workers,
            prefetch_factor=4 if workers else None, generator=torch.Generator(),
        )
    )  # fmt: skip


class Loss(nn.Module):
    """Minus the log likelihood of what is known, in nats a position."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model
        self.says = cast(Model, model).says

    def forward(self, batch: Known) -> Tensor:
        p = self.model(*batch.inputs)
        if batch.path is not None:
            every, known = log_partition(p), path_score(p, batch.path)
        else:  # a GPU has room for both at once, and goes along positions in the same time
            wrong = ~self.says[batch.labels]
            every, known = log_partition(beside(p, p.emissions.masked_fill(wrong, -torch.inf))).chunk(2)
        return (every - known).mean() / p.emissions.shape[1]


def beside(p: Potentials, emissions: Tensor) -> Potentials:
    """Return potentials of a batch of one length, and behind them the same with other emissions."""
    twice = tuple(b._replace(scores=torch.cat([b.scores, b.scores])) if b.scores.ndim > 2 else b for b in p.boundaries)
    return p._replace(emissions=torch.cat([p.emissions, emissions]), boundaries=twice)


class Run:
    """A model, its average and its optimiser at one step."""

    def __init__(self, model: Any, recipe: Recipe, device: torch.device | str = "cpu"):
        self.recipe, self.device, self.step = recipe, torch.device(device), 0
        self.model = model.to(self.device)
        for module in self.model.modules():
            if isinstance(module, nn.Dropout):
                module.p = recipe.dropout
        self.model.laws.requires_grad_(recipe.fit_laws)
        self.loss: nn.Module = Loss(self.model)
        self.average = {name: x.detach().clone() for name, x in self.model.named_parameters()}
        weights = [p for p in model.parameters() if p.ndim > 1]
        others = [p for p in model.parameters() if p.ndim <= 1]
        groups = [{"params": weights, "weight_decay": recipe.decay}, {"params": others, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(groups, recipe.rate, betas=(0.9, 0.98))
        self.best: dict[str, Tensor] = {}  # weights of the best model so far, as its file has them

    def rate(self) -> float:
        """Return this step's learning rate: up in a line, down in half a cosine."""
        r = self.recipe
        if self.step < r.warm_up:
            return r.rate * (self.step + 1) / r.warm_up
        return r.rate * 0.5 * (1 + math.cos(math.pi * min(1.0, (self.step - r.warm_up) / max(1, r.steps - r.warm_up))))

    def advance(self, batch: Known) -> float:
        """Do one step and return its loss."""
        # a run that was resumed drops the same
        torch.manual_seed(int(np.random.SeedSequence([self.recipe.seed, self.step, rank()]).generate_state(1)[0]))
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate()
        self.optimiser.zero_grad(set_to_none=True)
        with self.convolutions():
            with self.precision():
                loss = self.loss(moved(batch, self.device))
            loss.backward()
        share_gradients(self.model)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
        if bool(norm.isfinite()):  # a step that would spoil the weights is left out
            self.optimiser.step()
        keep = min(self.recipe.average, (self.step + 1) / (self.step + 10))  # young averages forget sooner
        with torch.no_grad():
            for name, x in self.model.named_parameters():
                self.average[name].lerp_(x, 1 - keep)
        self.step += 1
        return float(loss.detach())

    def precision(self) -> AbstractContextManager[Any]:
        """bfloat16 where the device is built for it; the potentials are float32 again."""
        return torch.autocast("cuda", torch.bfloat16) if self.device.type == "cuda" else nullcontext()

    def convolutions(self) -> AbstractContextManager[Any]:
        """Windows are of one size: the quickest way to convolve them is worth looking for."""
        fixed = self.recipe.deterministic
        return torch.backends.cudnn.flags(enabled=True, benchmark=not fixed, deterministic=fixed)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Give the model its average's weights while the context lasts, as its file has them."""
        own = {name: x.data for name, x in self.model.named_parameters()}
        for name, x in self.model.named_parameters():
            x.data = model_file.shrink(self.average[name]).to(x.dtype)
        try:
            yield
        finally:
            for name, x in self.model.named_parameters():
                x.data = own[name]

    def keep(self) -> None:
        """Take the model as the best so far."""
        self.best = {name: x.clone() for name, x in model_file.shrunk(self.model).items()}

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Yield all that the next steps depend on, by name."""
        parameters = dict(self.model.named_parameters())
        for name, x in parameters.items():
            yield f"model.{name}", x.data
            yield f"average.{name}", self.average[name]
            for key in ("exp_avg", "exp_avg_sq", "step"):
                state = self.optimiser.state[x]
                if key not in state:
                    state[key] = torch.zeros(()) if key == "step" else torch.zeros_like(x)
                yield f"{key}.{name}", state[key]

    def kind(self) -> dict[str, Any]:
        """Return what a checkpoint must agree with."""
        return {"model": self.model.config.as_json(), "recipe": self.recipe._asdict()}

    def save(self, path: Path, about: dict[str, Any]) -> None:
        """Write a checkpoint, whole or not at all."""
        config = {**self.kind(), "step": self.step}
        best = {f"{BEST}{name}": x for name, x in self.best.items()}
        model_file.save(path, model_file.Stored("checkpoint", config, about, dict(self.tensors()) | best))

    def resume(self, path: Path) -> dict[str, Any]:
        """Go on from a checkpoint of the same model and recipe; return what was noted beside it."""
        stored = model_file.load_checkpoint(path)
        if stored.kind != "checkpoint" or any(stored.config.get(k) != v for k, v in self.kind().items()):
            raise SemisegError(f"{path}: of another recipe, data or validation: delete it to begin anew")
        own = dict(self.tensors())
        best = {k.removeprefix(BEST): x for k, x in stored.tensors.items() if k.startswith(BEST)}
        if len(own) + len(best) != len(stored.tensors) or own.keys() - stored.tensors.keys():
            raise SemisegError(f"{path}: its tensors are not those of its configuration: delete it to begin anew")
        for name, x in own.items():
            x.copy_(stored.tensors[name])
        self.best = best
        self.step = int(stored.config["step"])
        return stored.about


def settle_seeds(recipe: Recipe) -> None:
    """Seed what is random outside of the windows; deterministic: the same bits on the same machine."""
    torch.manual_seed(recipe.seed)
    if recipe.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
