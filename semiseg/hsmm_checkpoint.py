"""Where a fit stands, on disk: with it, a run that was killed goes on with the same bits."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from . import model_file
from .errors import SemisegError
from .hsmm import Statistics, inner
from .hsmm_em import Counts
from .interruption import keeping

KIND = "states-checkpoint"


@dataclass
class Standing:
    """What has been done."""

    candidates: list[tuple[int, float, int]] = field(default_factory=list)  # states, score, free parameters
    states: int = 0  # of the best model so far; 0: none yet
    model: dict[str, Tensor] = field(default_factory=dict)  # its tensors
    passes: list[float] = field(default_factory=list)  # over all data: log likelihood of a position
    counts: Counts = field(default_factory=Counts)


class Checkpoint:
    """A file for it; None: nothing is kept. `what` is what is fitted: a file of another fit is refused."""

    def __init__(self, path: Path | None, what: Any):
        self.path, self.what = path, json.loads(json.dumps(what))
        self.is_kept = False  # this fit can be gone on with

    def save(self, standing: Standing) -> None:
        """Write the file anew."""
        if self.path is None:
            return
        config = {"what": self.what, **{name: getattr(standing, name) for name in ("candidates", "states", "passes")}}
        tensors = {f"model.{name}": x for name, x in standing.model.items()}
        for group, statistics in [*standing.counts.seen.items(), ("all", standing.counts.total)]:
            if statistics is not None:
                tensors |= {f"counts.{group}.{name}": x for name, x in flat(statistics).items()}
        with keeping(self.is_kept):
            model_file.save(self.path, model_file.Stored(KIND, config, {}, tensors))
        self.is_kept = True

    def load(self) -> Standing:
        """Return what the file holds; nothing has been done where there is none."""
        if self.path is None or not self.path.exists():
            return Standing()
        stored = model_file.load_checkpoint(self.path)
        if stored.kind != KIND or stored.config.get("what") != self.what:
            raise SemisegError(f"{self.path}: of a fit to other data, or with other options: delete it to begin anew")
        counts = Counts()
        counted = inner(stored.tensors, "counts.")
        for group in {name.split(".")[0] for name in counted}:
            statistics = deep(inner(counted, f"{group}."))
            if group == "all":
                counts.total = statistics
            else:
                counts.seen[int(group)] = statistics
        self.is_kept = True
        candidates, states, passes = (stored.config[name] for name in ("candidates", "states", "passes"))
        return Standing([tuple(x) for x in candidates], states, inner(stored.tensors, "model."), passes, counts)


def flat(s: Statistics) -> dict[str, Tensor]:
    """Return statistics as tensors by name; copies, since tensors of a file may not share memory."""
    own = {name: x for name, x in s._asdict().items() if name != "emissions"}
    return {name: x.clone() for name, x in (own | {f"emissions.{name}": x for name, x in s.emissions.items()}).items()}


def deep(tensors: dict[str, Tensor]) -> Statistics:
    """Return the statistics that `flat` gave."""
    own = {name: x for name, x in tensors.items() if not name.startswith("emissions.")}
    return Statistics(**own, emissions=inner(tensors, "emissions."))
