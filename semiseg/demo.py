"""A segmentation of the example signal under the model that it was simulated from.

The signal is one log2 ratio a position, as from a copy-number array: three states with Gaussian noise and log-normal
segment lengths. It shows every step from a signal to segments with posteriors; nothing here is trained.
"""

import math
from pathlib import Path
from statistics import NormalDist
from typing import NamedTuple

import torch
from torch import Tensor

from .errors import SemisegError
from .kernels import Potentials, marginals, viterbi

EXAMPLE = Path(__file__).resolve().parents[1] / "example_data" / "demo_signal.csv"
LONGEST = 200  # durations beyond it decay geometrically
NOISE = 0.6  # standard deviation of the signal around the mean of its state


class State(NamedTuple):
    """One kind of segment: its mean signal, and the median and log-scale spread of its length."""

    label: str
    mean: float
    median: float
    spread: float
    follows: tuple[float, float, float]  # probability that the next segment is of each state


STATES = (
    State("loss", -0.9, 60.0, 0.5, (0.0, 0.9, 0.1)),
    State("neutral", 0.0, 160.0, 0.6, (0.5, 0.0, 0.5)),
    State("gain", 0.6, 45.0, 0.4, (0.2, 0.8, 0.0)),
)


class CalledSegment(NamedTuple):
    """A segment of the best segmentation, and how sure of it the model is; 0-based, half-open."""

    start: int
    end: int
    label: str
    posterior: float  # mean posterior of the label over the segment
    start_interval: tuple[int, int]  # shortest that holds 95 % of the start's distribution, both ends inclusive
    end_interval: tuple[int, int]


def segment_example(path: Path | None = None) -> list[CalledSegment]:
    """Segments of a signal, by default the example's, with 95 % credible intervals for their boundaries.

    >>> [call.label for call in segment_example()][:3]
    ['gain', 'neutral', 'gain']
    """
    if path is None and not EXAMPLE.exists():
        raise SemisegError("the example signal comes with a checkout, not with the package: name a file")
    potentials = make_potentials(read_signal(path or EXAMPLE))
    segments = viterbi(potentials).segments
    calls = marginals(potentials, want=(), segments=segments, level=0.95).calls
    assert calls is not None
    columns = (segments.start, segments.end, segments.label, calls.label)
    bounds = (calls.start_low, calls.start_high, calls.end_low, calls.end_high)
    return [
        CalledSegment(start, end, STATES[label].label, posterior, (start_low, start_high), (end_low, end_high))
        for start, end, label, posterior, start_low, start_high, end_low, end_high in zip(
            *(column.tolist() for column in (*columns, *bounds)), strict=True
        )
    ]


def read_signal(path: Path) -> Tensor:
    """(T,) values of a file with a header line and one number a line."""
    try:
        lines = path.read_text().splitlines()
    except OSError as error:
        raise SemisegError(f"cannot read the signal {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SemisegError(f"{path}: expected text with one number a line, found other bytes") from error
    values = []
    for number, line in enumerate(lines[1:], start=2):
        try:
            values.append(float(line))
            if not math.isfinite(values[-1]):
                raise ValueError(line)
        except ValueError as error:
            raise SemisegError(f"{path}, line {number}: expected a number, found {line!r}") from error
    if not values:
        raise SemisegError(f"{path}: expected a header and one number a line, found {len(lines)} line(s)")
    return torch.tensor(values, dtype=torch.float64)


def make_potentials(signal: Tensor) -> Potentials:
    """Log probabilities of the model for a signal that begins and ends in the middle of a segment."""
    means = torch.tensor([state.mean for state in STATES], dtype=torch.float64)
    laws = [duration_law(state) for state in STATES]
    follows = torch.tensor([state.follows for state in STATES], dtype=torch.float64)
    return Potentials(
        emissions=-0.5 * ((signal[:, None] - means) / NOISE) ** 2,  # the constant is the same for all states
        durations=torch.stack([durations for durations, _ in laws], dim=1),
        transitions=follows.log(),
        tail=torch.tensor([tail for _, tail in laws], dtype=torch.float64),
        first=stationary_law(follows).log(),
        left="censored",
        right="censored",
    )


def duration_law(state: State) -> tuple[Tensor, float]:
    """(K + 1,) log probabilities of a segment's length, and the log ratio of the geometric tail that completes them.

    A length is a log-normal variable rounded to at least 1. With r the tail's ratio, the lengths beyond K have mass
    d_K r / (1 - r); r is chosen so that it is the log-normal's, and everything sums to 1.
    """
    length = NormalDist(math.log(state.median), state.spread)
    edges = torch.arange(1, LONGEST + 1, dtype=torch.float64) + 0.5
    below = torch.tensor([length.cdf(edge) for edge in edges.log().tolist()], dtype=torch.float64)
    probabilities = below.diff(prepend=below.new_zeros(1))
    odds = (1 - below[-1]) / probabilities[-1]  # r / (1 - r)
    durations = torch.cat([below.new_tensor([-torch.inf]), probabilities.log()])
    return durations, (odds / (1 + odds)).log().item()


def stationary_law(follows: Tensor) -> Tensor:
    """(C,) share of the segments that each state has in the long run: the left eigenvector for the eigenvalue 1."""
    ones = follows.new_ones(len(follows))
    return torch.linalg.solve((follows - torch.eye(len(follows)) + 1).T, ones)
