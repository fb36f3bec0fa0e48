"""Fixed-point scores for Viterbi: addition is associative, so the path is the same for every chunk, thread and device.

The unit is 2^-16 nats. Emissions are rounded as prefix sums of their fractions, restarted at absolute multiples of
GRID: a quantised emission depends on its absolute position only, and a segment's sum is off by one unit per grid
block it touches. The slope of a finite tail moves into the emissions first, since a `lam` of 1e-5 has no value here.
"""

import numpy as np
from numpy.typing import NDArray

from .compiled import compiled
from .edges import Tables, edge_tables
from .errors import PotentialsError
from .resolve import Sequence

UNIT = 2.0**-16
FINE = 32  # bits kept of an emission's fraction inside a grid block
GRID = 4096
NEVER = -(2**60)  # forbidden in int64: seven maps that forbid one change, and a score, are no overflow
FLOOR = NEVER // 2  # scores at or below it are forbidden
LIMIT = 2**58  # what sums of finite scores may reach


def slopes(x: Sequence) -> NDArray:
    """Return what each label's tail gives per position: moved from durations to emissions."""
    return np.where(x.tail > -np.inf, x.tail / x.period, 0.0)


def units(x: NDArray) -> NDArray:
    """Return scores in fixed-point units, as float64 integers (-inf stays)."""
    return np.rint(x / UNIT)


def integers(x: NDArray) -> NDArray:
    """Return float64 integers as int64, NEVER for -inf."""
    return np.where(np.isneginf(x), NEVER, np.where(np.isneginf(x), 0, x).astype(np.int64))


@compiled
def round_rows(rows: NDArray, slope: NDArray, position: int, fine: NDArray, skip: int, out: NDArray) -> float:
    """Fill `out` with int64 emissions (NEVER: forbidden) of the rows behind the first `skip`; carry `fine` on.

    `position` is the absolute one of the first row, `fine` (C,) what the fractions have added up to since the last
    multiple of GRID: all that the rounding of later rows depends on. Return the sum over rows of a row's largest
    finite absolute value.
    """
    half = 1 << (FINE - 17)
    total = 0.0
    for i in range(rows.shape[0]):
        largest = 0.0
        if (position + i) % GRID == 0:
            fine[:] = 0
        for c in range(rows.shape[1]):
            x = np.float64(rows[i, c])
            units = NEVER
            if x > -np.inf:
                largest = max(largest, abs(x))
                x += slope[c]
                whole = np.floor(x)
                before = (fine[c] + half) >> (FINE - 16)
                fine[c] += np.int64(np.rint((x - whole) * 2.0**FINE))
                units = np.int64(whole) * (1 << 16) + ((fine[c] + half) >> (FINE - 16)) - before
            if i >= skip:
                out[i - skip, c] = units
        total += largest
    return total


@compiled
def round_each(rows: NDArray, slope: NDArray, position: int, lengths: NDArray, out: NDArray) -> float:
    """Fill `out` with int64 emissions of N sequences (N, T, C), all from `position` on; return the largest sum."""
    highest = 0.0
    for i in range(lengths.shape[0]):
        fine = np.zeros(rows.shape[2], np.int64)
        n = lengths[i]
        highest = max(highest, round_rows(rows[i, :n], slope, position, fine, 0, out[i, :n]))
    return highest


@compiled
def round_scores(scores: NDArray, out: NDArray) -> float:
    """Fill `out` with int64 boundary scores (NEVER: forbidden); return the largest finite absolute value."""
    highest = 0.0
    for i in range(scores.shape[0]):
        for k in range(scores.shape[1]):
            x = np.float64(scores[i, k])
            out[i, k] = NEVER
            if x > -np.inf:
                highest = max(highest, abs(x))
                out[i, k] = np.int64(np.rint(x / UNIT))
    return highest


@compiled
def tally(rows: NDArray, sums: NDArray, uncut: NDArray) -> None:
    """Add int64 emissions up for labels that have not been cut yet, and take those that are from them."""
    for c in range(rows.shape[1]):
        for i in range(rows.shape[0] if uncut[c] else 0):
            if rows[i, c] <= FLOOR:
                uncut[c] = False
                break
            sums[c] += rows[i, c]


def quantised_emissions(x: Sequence, start: int, stop: int) -> NDArray:
    """Return int64 emissions of positions start..stop, the same whatever range is asked for."""
    base = max(0, start - (x.origin + start) % GRID)
    out = np.empty((stop - start, x.emissions.shape[1]), np.int64)
    fine = np.zeros(x.emissions.shape[1], np.int64)
    round_rows(x.emissions[base:stop], slopes(x), x.origin + base, fine, start - base, out)
    return out


@compiled
def largest_scores(rows: NDArray) -> tuple[float, float]:
    """Return the sum over rows, and the maximum, of a row's largest finite absolute value; nothing is copied."""
    total, highest = 0.0, 0.0
    for i in range(rows.shape[0]):
        largest = 0.0
        for c in range(rows.shape[1]):
            x = abs(np.float64(rows[i, c]))
            if largest < x < np.inf:
                largest = x
        total += largest
        highest = max(highest, largest)
    return total, highest


def largest(table: NDArray) -> float:
    """Return the largest finite absolute value of a small table; numpy, since GPUs need no compiled code but this."""
    size = np.abs(table)
    return float(size[size < np.inf].max(initial=0.0))


def check_range(
    x: Sequence, xq: Sequence, tables: Tables, emissions: float | NDArray, scores: float | NDArray, length: int
) -> None:
    """Raise unless no sum along any path of a sequence, or of several of one length, leaves int64.

    `emissions` bounds any path's sum of them in nats, `scores` a single boundary score; at most one segment begins at
    each position. The bound is twice what paths reach: sources stand without their emissions.
    """
    segment = largest(xq.durations[1:]) + largest(xq.transitions) + len(x.types) * scores / UNIT
    ends = largest(xq.begin) + largest(xq.finish) + sum(largest(table) for table in tables if table is not None)
    reach = (emissions + length * largest(slopes(x))) / UNIT + ends + length * (segment + 1)
    _require_within(float(np.max(reach)), " in fixed point")


def check_magnitude(x: Sequence, emissions: float, scores: float, length: int) -> None:
    """Raise unless sums of scores keep their digits in float64: the same limit, so that every operation takes it."""
    segment = largest(x.durations[1:]) + largest(x.tail) + largest(x.transitions) + len(x.types) * scores
    ends = largest(x.begin) + largest(x.finish) + largest(x.first)
    _require_within((emissions + length * segment + ends) / UNIT, "")


def _require_within(reach: float, where: str) -> None:
    if not reach < LIMIT:
        raise PotentialsError(
            f"emissions: expected sums of finite scores below {LIMIT * UNIT:.3g} nats{where}, got up to "
            f"{reach * UNIT:.3g} (forbidden is -inf, not a large number)"
        )


def quantised(x: Sequence) -> tuple[Sequence, Tables]:
    """Return one sequence with every score but the emissions in fixed-point units, and its edge tables."""
    slope = slopes(x)
    lengths = np.arange(x.durations.shape[0])[:, None]
    enter, leave, both = edge_tables(x)
    return (
        x._replace(
            durations=units(x.durations - lengths * slope),
            tail=np.where(x.tail > -np.inf, 0.0, -np.inf),
            transitions=units(x.transitions),
            scores=units(x.scores.astype(np.float64)),
            begin=units(x.begin),
            finish=units(x.finish),
        ),
        Tables(
            None if enter is None else units(enter - lengths * slope),
            None if leave is None else units(leave - lengths * slope),
            units(both - x.emissions.shape[0] * slope),
        ),
    )
