"""What the enumeration knows about a called segment: its posteriors and the credible intervals of its ends."""

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
from enumeration import Enumeration, Posteriors, Segment, posteriors


class Call(NamedTuple):
    """The fields of `semiseg.kernels.results.Calls`, of one segment."""

    start: float
    end: float
    segment: float
    label: float
    start_low: int
    start_high: int
    start_mass: float
    end_low: int
    end_high: int
    end_mass: float


def segment_posterior(everything: Enumeration, s: int, t: int, c: int) -> float:
    """Posterior of exactly this visible segment."""
    return sum(p for (s_, t_, _, c_), p in everything.used.items() if (s_, t_, c_) == (s, t, c))


def describe_call(
    everything: Enumeration,
    segment: Segment,
    concept: Collection[int],
    level: float = 0.95,
    known: Posteriors | None = None,
) -> Call:
    """What is known about a called segment; `concept` holds the labels that are summed, the segment's own among them.

    The intervals are those of DESIGN section 3: of the start and of the end of the segment that covers the midpoint,
    given that its label is of the concept. A segment cut at a censored end starts at 0 (ends at T) there. `known`: the
    posteriors, for a caller that asks often.
    """
    s, t, _ = segment
    labels, middle = sorted(concept), (s + t - 1) // 2
    known = known or posteriors(everything)
    starts, ends = np.zeros(len(known.start)), np.zeros(len(known.end))
    for (left, right, _, c), p in everything.used.items():
        if c in concept and left <= middle < right:
            starts[left] += p
            ends[right] += p
    return Call(
        float(known.start[s, labels].sum()),
        float(known.end[t, labels].sum()),
        sum(segment_posterior(everything, s, t, c) for c in labels),
        float(known.position[s:t, labels].sum(1).mean()),
        *shortest_interval(starts / starts.sum(), level),
        *shortest_interval(ends / ends.sum(), level),
    )


def shortest_interval(law: np.ndarray, level: float) -> tuple[int, int, float]:
    """Low, high (inclusive) and mass of the shortest interval that holds `level`, the leftmost of equals."""
    for width in range(1, len(law) + 1):
        for low in range(len(law) - width + 1):
            mass = float(law[low : low + width].sum())
            if mass >= level or width == len(law):
                return low, low + width - 1, mass
    raise ValueError("an empty law has no interval")
