"""A hidden semi-Markov model: states of explicit duration that follow each other, and what each says about values.

Scores are log probabilities throughout. A stretch of data is cut out of something longer, so both its ends are
censored: under what its first position lies is given by `occupancy`, and what starts there weighs that over the mean
duration. Then log Z is the log likelihood, for every stretch.
"""

import copy
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .durations import Geometric, Law, tabulate
from .emissions import Family, Values
from .hsmm_durations import free_numbers, means, shares
from .hsmm_durations import improve as best_laws
from .kernels import Potentials, Segments
from .kernels.devices import moved

SELDOM = 0.1  # of an even share: a state of the first position, at least
RAREST = 1e-6  # change of states


class Statistics(NamedTuple):
    """Expected counts over stretches of data; they add up."""

    first: Tensor  # (C,) stretches that begin under a state
    changes: Tensor  # (C, C)
    durations: Tensor  # (K + 1, C)
    steps: Tensor  # (C,) positions in tails
    seen: Tensor  # (2,) log likelihood in nats, positions
    emissions: Values

    def plus(self, other: "Statistics", sign: int = 1) -> "Statistics":
        """Return the sum, or the difference."""
        emissions = {name: x + sign * other.emissions[name] for name, x in self.emissions.items()}
        first, changes, durations, steps, seen = (a + sign * b for a, b in zip(self[:-1], other[:-1], strict=True))
        return Statistics(first, changes, durations, steps, seen, emissions)


class Hsmm:
    """The model; `family` is what its emissions are of."""

    def __init__(self, family: Family, law: Law, occupancy: Tensor, changes: Tensor, emissions: Values):
        self.family, self.law = family, law
        self.occupancy = occupancy  # (C,) of the first position of a stretch
        self.changes = changes  # (C, C) probabilities of the next state; 0 on the diagonal
        self.emissions = emissions

    def state(self) -> dict[str, Tensor]:
        """Return all that is learnt, as tensors by name."""
        return {
            "occupancy": self.occupancy,
            "changes": self.changes,
            **{f"durations.{name}": x.clone() for name, x in self.law.state_dict().items()},
            **{f"emissions.{name}": x for name, x in self.emissions.items()},
        }

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Take over what `state` gave."""
        self.occupancy, self.changes = tensors["occupancy"], tensors["changes"]
        self.law.load_state_dict(inner(tensors, "durations."))
        self.emissions = inner(tensors, "emissions.")

    def reordered(self, order: Tensor) -> "Hsmm":
        """Return the model with its states in another order."""
        law = copy.deepcopy(self.law)
        law.load_state_dict({name: x[..., order] for name, x in law.state_dict().items()})
        emissions = {name: x[order] for name, x in self.emissions.items()}
        return Hsmm(self.family, law, self.occupancy[order], self.changes[order][:, order], emissions)

    @property
    def states(self) -> int:
        return len(self.occupancy)

    @torch.no_grad()
    def potentials(self, emissions: Tensor) -> Potentials:
        """Return the potentials of (B, n, C) or (n, C) emissions, on their device."""
        table = tabulate([self.law])
        scores = Potentials(
            emissions=emissions[:0], durations=table.durations, transitions=self.changes.log(), longest=table.longest,
            tail=table.tail, first=self.occupancy.log() - means(table).log(), left="censored", right="censored",
        )  # fmt: skip
        return moved(scores, emissions.device)._replace(emissions=emissions)

    @torch.no_grad()
    def chain(self) -> tuple[NDArray, NDArray]:
        """Return a model with geometric laws as a chain: (C,) probabilities of the first state, (C, C) of the next."""
        assert isinstance(self.law, Geometric)
        going = self.law.going().numpy()
        moves = self.changes.numpy() * -np.expm1(going)[:, None]
        np.fill_diagonal(moves, np.exp(going))
        return self.occupancy.numpy(), moves

    def density(self, x: Tensor) -> Tensor:
        """Return (B, n, C) log densities of (B, context + n, D) values."""
        return self.family.density(moved(self.emissions, x.device), x)

    def improve(self, s: Statistics, emissions: bool = True) -> None:
        """Take the parameters that are best for expected counts: the M step; it never lowers the likelihood.

        Without `emissions`, what states say is held.
        """
        C = self.states
        best_laws(self.law, s.durations, s.steps, s.first)
        self.occupancy = shares(s.first[None], SELDOM / C)[0]
        self.changes = no_self(s.changes)
        if emissions:
            self.emissions = self.family.update(s.emissions, self.emissions)

    def parameters(self) -> int:
        """Return how many free parameters there are."""
        C = self.states
        return C - 1 + C * max(0, C - 2) + free_numbers(self.law, C) + self.family.free(self.emissions)

    def mean_durations(self) -> Tensor:
        """Return (C,) mean durations in positions."""
        with torch.no_grad():
            return means(tabulate([self.law]))

    def shares(self) -> Tensor:
        """Return (C,) of all positions, in the long run: those of the chain of states, by their durations."""
        chain = torch.full((self.states,), 1 / self.states, dtype=torch.float64)
        lazy = (self.changes + torch.eye(self.states, dtype=torch.float64)) / 2  # no period
        for _ in range(10_000):
            after = chain @ lazy
            if bool((after - chain).abs().max() < 1e-12):
                break
            chain = after
        weight = chain * self.mean_durations()
        return weight / weight.sum()


def no_self(counts: Tensor) -> Tensor:
    """Return (C, C) probabilities of the next state from counts; a state is not followed by itself."""
    C = len(counts)
    out = np.zeros((C, C))
    if C > 1:
        other = ~np.eye(C, dtype=bool)
        out[other] = shares(torch.from_numpy(counts.numpy()[other].reshape(C, C - 1)), RAREST).numpy().ravel()
    return torch.from_numpy(out)


def inner(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors of one part by their names in it."""
    return {name.removeprefix(prefix): x for name, x in tensors.items() if name.startswith(prefix)}


@torch.no_grad()
def sample(model: Hsmm, length: int, seed: int = 0) -> tuple[Tensor, Segments]:
    """Return (length, D) values drawn from a model, and the segments that they come from."""
    generator = torch.Generator().manual_seed(seed)
    table = tabulate([model.law])

    def draw(weights: Tensor) -> int:
        return int(torch.multinomial(weights, 1, generator=generator))

    rows, at, c = [], 0, draw(model.shares())
    while at < length:
        K = int(table.longest[c])
        law = table.durations[1 : K + 1, c].exp()
        beyond = (1 - law.sum()).clamp(min=0)
        k = 1 + draw(torch.cat([law, beyond[None]]))
        if k > K:  # in the tail: a geometric waiting time
            u = torch.rand((), dtype=torch.float64, generator=generator)
            k = K + 1 + int(torch.log(u) / table.tail[c])
        if at == 0:  # cut at the left
            k = 1 + int(torch.randint(k, (), generator=generator))
        rows.append((0, at, min(length, at + k), c))
        at += k
        c = draw(model.changes[c]) if model.states > 1 else c
    segments = Segments(*torch.tensor(rows).T)
    states = torch.repeat_interleave(segments.label, segments.end - segments.start)
    return model.family.sample(model.emissions, states, generator), segments
