"""What goes into the kernels: one record with every score of a semi-Markov CRF.

The score of a segmentation of `[0, T)` is the sum over its segments `(s, t, c)`, with `c'` the label before `c`, of

    sum_{s <= i < t} emissions[i, c] + durations[t - s, c] + transitions[s mod P, c', c]
    + sum_m boundaries[m].scores[s, boundaries[m].types[c', c]]

plus `first[s mod P, c]` for the first segment and `last[c]` for the last one. `-inf` means forbidden everywhere; a
forbidden emission adds nothing to any sum and cuts: no segment of that label covers the position.
"""

from typing import Literal, NamedTuple

from torch import Tensor

Edge = Literal["exact", "censored"]


class Boundary(NamedTuple):
    """Scores of one kind of boundary evidence, and which of them a label change uses."""

    scores: Tensor  # (B, T + 1, n) or (T + 1, n)
    types: Tensor  # (C, C) integers, source first; -1: this map does not score that change


class Potentials(NamedTuple):
    """Every score of the model; a leading B axis in `emissions` makes it a batch that shares the rest.

    Nothing is checked before it is used; `p._replace(...)` gives a changed copy. Scores are floating tensors.

        emissions    (T, C) or (B, T, C)
        durations    (K + 1, C)   row k: score of a segment of k positions; row 0 is unused
        transitions  (C, C), or (P, C, C) with period P; source first
        longest      (C,) integers in 1..K: longest explicit duration of each label
        tail         (C,) log weight of one more period; -inf: no longer segments
        period       (C,) integers: 1, or 3 where length modulo 3 matters; without a tail it means nothing
        boundaries   tuple of Boundary(scores (T + 1, n) or (B, T + 1, n), types (C, C) integers, -1: not scored)
        first, last  (C,), first also (P, C)
        left, right  "exact" or "censored": a censored edge cuts segments, which needs laws that sum to 1 over all
                     durations k >= 1, the tail's included, and tail < 0
        lengths      (B,) integers
        origin       absolute position of the first emission: phase of P, and the fixed-point grid of Viterbi
        transitions_by_duration  transitions are (K + 1, C, C), by the duration of the segment entered

    Durations beyond the longest explicit one follow the tail: `D[k] = D[k - period] + tail` for `k > longest`.
    At an exact end only those boundary maps score whose type is fixed by the known side; at a censored end none does,
    the segment there scores its log survival, `first` weighs virtual starts left of the input and `last` is unused.
    """

    emissions: Tensor  # (B, T, C) or (T, C)
    durations: Tensor  # (K + 1, C), row 0 unused
    transitions: Tensor  # (P, C, C) or (C, C), source first; (K + 1, C, C) when transitions_by_duration
    longest: Tensor | None = None  # (C,) integers, K_c: longest explicit duration of each label; None: K
    tail: Tensor | None = None  # (C,) log weight of one more period; -inf or None: no longer segments
    period: Tensor | None = None  # (C,) integers >= 1; None: 1
    boundaries: tuple[Boundary, ...] = ()
    first: Tensor | None = None  # (C,) or (P, C); None: 0
    last: Tensor | None = None  # (C,); None: 0
    left: Edge = "exact"
    right: Edge = "exact"
    lengths: Tensor | None = None  # (B,) integers; None: T
    origin: int = 0  # absolute position of the first emission: sets the phase of P and the fixed-point grid
    transitions_by_duration: bool = False  # transitions[k, c', c], k the duration of the entered segment c
