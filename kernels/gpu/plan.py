"""Sizes and free memory in, schedule out: how a batch is cut in time and dealt out to a GPU. Pure."""

from functools import lru_cache
from typing import NamedTuple

WARPS = {1: 16, 2: 8, 4: 8}  # a multiprocessor holds, by warps of a program: a lone warp is held to 128 registers
WARM_UP = 1.5  # times the longest explicit duration: the ring must be full of what no longer knows the start
FORGET = 4.0  # nats of tail after which a state is forgotten, where nothing else tells labels apart
SHORTEST = 1 << 12  # positions that are worth a chunk: settling seams costs as much as thousands of them
LEGS = 16
MOVES = 6  # copies of a state that taking it out of a run takes for a moment
FARTHEST = 1 << 14  # positions of warm-up, at most: what takes longer is repaired


class Plan(NamedTuple):
    """A schedule; every plan gives the same answer."""

    parts: tuple[int, ...]  # chunks of every item
    warm_up: int  # positions a chunk runs ahead of itself
    warps: int  # of a program
    runs: int  # at once
    legs: int  # stretches of a chunk: a repair may stop behind each
    waves: int  # groups of chunks whose scores are in memory together; 1: all are kept between passes
    bytes: int  # held at most, without inputs and outputs

    def __str__(self) -> str:
        kept = "kept" if self.waves == 1 else f"computed again in {self.waves} waves"
        return (
            f"{sum(self.parts)} chunks of {len(self.parts)} sequences, warm-up {self.warm_up}, "
            f"{self.runs} runs at once of {self.warps} warps, scores {kept}, {self.bytes / 2**20:.0f} MiB"
        )


def state_bytes(C: int, K: int, folds: int) -> int:
    """Return the size of a state in its own form."""
    return 8 * C * (K + folds + 3)


def run_bytes(C: int, K: int, folds: int) -> int:
    """Return the size of a state as it runs, with its scratch and what moves it in and out."""
    return 12 * C * (K + 48) + 16 * folds * C + 8 * 16 * (C + 64) + MOVES * state_bytes(C, K, folds)


@lru_cache(64)  # a training run asks for the same one at every step
def plan(
    lengths: tuple[int, ...],
    C: int,
    K: int,
    folds: int,
    slope: float,
    ways: int,
    multiprocessors: int,
    free: int,
    chunks: int | None = None,
    warm_up: int | None = None,
) -> Plan:
    """Return the schedule of a batch; `slope` is the flattest tail's, `ways` 1 or 2 (passes with posteriors)."""
    warps = 1 if C <= 16 else 2 if C <= 32 else 4
    width = max(1, multiprocessors * WARPS[warps] // (warps * ways))  # chunks that run at once
    longest = max(lengths)
    if warm_up is None:
        memory = min(FORGET / slope, FARTHEST) if slope > 0 else 0
        warm_up = int(max(256, WARM_UP * K, memory))
    fair = max(-(-sum(lengths) // width), warm_up, SHORTEST)  # a chunk is worth its warm-up
    part = fair if chunks is None else -(-longest // chunks)
    # where states are remembered for long, seams fail, and a repair is shorter than a chunk
    stubborn = warm_up > WARM_UP * max(K, SHORTEST / 4)
    state, run = state_bytes(C, K, folds), run_bytes(C, K, folds)
    # both passes' scores, and what the counts of durations put beside them
    row = 16 * C * ways + (36 * C if ways == 2 else 0)
    positions = sum(lengths)

    def schedule(part: int, waves: int) -> Plan:
        parts = tuple(max(1, min(n, round(n / part))) if chunks is None else min(n, chunks) for n in lengths)
        total = sum(parts)
        waves = min(waves, total)
        group = -(-total // waves)  # chunks of a wave
        cut = total > len(parts)  # else there is no seam to repair
        legs = max(1, min(LEGS, part // SHORTEST)) if stubborn and cut else 1
        rows = -(-positions // waves) * row
        # per chunk and way: where it began, where its legs ended, what lies ahead of it
        states = total * ways * (2 + legs) * state
        # the passes that settle keep no scores when there are waves: in their place, more runs
        at_once = min(total, width, group if waves == 1 else max(group, rows // (ways * run)))
        size = states + at_once * ways * run + rows
        few = ways * at_once <= 2 * multiprocessors  # then latency decides
        return Plan(parts, warm_up, 4 if few else warps, at_once * ways, legs, waves, size)

    kept = schedule(part, 1)
    if kept.bytes <= free:
        return kept
    # states of all chunks grow as these get shorter, scores of a wave as they get longer
    sizes = [part] if chunks is not None else [part << n for n in range(max(1, (longest // part).bit_length()))]
    waves = [1 << n for n in range(sum(kept.parts).bit_length() + 1)]
    every = [schedule(size, n) for size in sizes for n in waves]
    fitting = [p for p in every if p.bytes <= free]
    if fitting:
        return max(fitting, key=lambda p: (p.runs // p.waves, p.runs))
    return min(every, key=lambda p: p.bytes)
