"""Fixed-point emissions and traceback on the device: the integers and the paths of the CPU, whatever the chunks."""

from typing import NamedTuple

import numpy as np
import pytest
import torch
from cases import grid, ragged, tied
from genes import random_genome
from larger import forced_cycle, larger, long_tail
from models import all_zero, frame_grammar
from plans import POOL
from where import DEVICE, ON_GPU

from semiseg.kernels import fixed
from semiseg.kernels.cpu.chunks import Chunks
from semiseg.kernels.cpu.directions import Direction
from semiseg.kernels.cpu.trace import close_max
from semiseg.kernels.cpu.viterbi import Path, _both, max_laws, viterbi_item
from semiseg.kernels.gpu.pieces import table_of
from semiseg.kernels.gpu.quantise import bounds, is_narrow, quantised_emissions
from semiseg.kernels.gpu.trace import Rows, TraceModel, trace
from semiseg.kernels.plan import Plan
from semiseg.kernels.potentials import Potentials
from semiseg.kernels.resolve import Leaves, Sequence, resolve, sequence

POISON = 2**61  # looks alive and best of all
IMPOSSIBLE = -77  # no emission is


class Forward(NamedTuple):
    """What the CPU's forward pass knows of one item, and where its best path closes."""

    direction: Direction
    chunks: Chunks
    constants: list[int]
    closing: tuple[int, int, int, int]
    both: np.ndarray  # (C,)
    path: Path


def forward(x: Sequence, chunks: int, warm_up: int) -> Forward:
    T = len(x.emissions)
    plan = Plan(min(chunks, T), warm_up, T, T, True, 0)
    xq, tables = fixed.quantised(x)
    direction = Direction(xq, tables=tables, source=x)
    run = Chunks([direction], plan, POOL)
    run.settle()
    constants = [int(c.real) for c in run.constants(0)]
    state = run.runs[0, plan.chunks - 1].end
    shift = int(state.offset.real) + constants[-1]
    both = fixed.integers(tables.both)
    sums = None if x.right == "exact" else np.where(both > fixed.FLOOR, _both(both, x, POOL) - shift, fixed.NEVER)
    cursor = close_max(state, max_laws(direction), fixed.integers(xq.finish), sums, T)
    closing = cursor.label, T, cursor.target + shift, cursor.way
    return Forward(direction, run, constants, closing, both, viterbi_item(x, Plan(1, 0, T, T, True, 0), POOL))


def model_of(items: list[Forward]) -> TraceModel:
    d = items[0].direction
    sources = [[np.flatnonzero(column > fixed.FLOOR) for column in rows.T] for rows in d.model.transitions]
    P, C = d.model.transitions.shape[:2]
    D, M = max(1, max(len(s) for row in sources for s in row)), len(d.model.types)
    source = np.full((P, D, C), -1, np.int32)
    score = np.full((P, D, C), fixed.NEVER)
    types = np.full((P, D, C, M), -1, np.int32)
    for r, row in enumerate(sources):
        for c, s in enumerate(row):
            source[r, : len(s), c] = s
            score[r, : len(s), c] = d.model.transitions[r, s, c]
            types[r, : len(s), c] = d.model.types[:, s, c].T
    enter, leave = (None if t is None else fixed.integers(t) for t in d.tables[:2])
    both = None if enter is None or leave is None else np.stack([f.both for f in items])
    durations = fixed.integers(d.x.durations)
    made = durations, d.model.longest, d.model.period, source, score, types, enter, leave, both
    return TraceModel(*(None if a is None else torch.from_numpy(a).to(DEVICE) for a in made))


def rows_of(items: list[Forward], leaves: Leaves, origin: int) -> Rows:
    B, T, C = leaves.emissions.shape
    alpha, h = np.full((2, B, T + 1, C), POISON)
    scores = np.full((B, T + 1, leaves.scores.shape[2]), 12345)
    chunks = []
    for b, f in enumerate(items):
        edges = f.chunks.edges
        for i in range(len(edges) - 1):
            u, v = edges[i], edges[i + 1]
            alpha[b, u + 1 : v + 1], h[b, u:v] = f.chunks.values(0, i, u, v)
            chunks.append((b, u, v, b * (T + 1) + u))
        scores[b, : edges[-1]] = f.direction.scores(0, edges[-1])
    lengths = torch.tensor([f.closing[1] for f in items])
    slope = torch.from_numpy(fixed.slopes(f.direction.source))
    q = quantised(leaves.emissions.to(DEVICE), slope, origin, lengths)
    flat = [torch.from_numpy(a.reshape(B * (T + 1), -1)) for a in (alpha, h)]
    columns = torch.from_numpy(scores.reshape(B * (T + 1), scores.shape[2]))
    constants = torch.tensor([c for f in items for c in f.constants])
    alpha, h, q, columns, constants = (a.to(DEVICE) for a in (*flat, q, columns, constants))
    return Rows(alpha, h, q, columns, table_of(np.array(chunks), DEVICE), constants)


def quantised(emissions, slope, origin: int, lengths) -> torch.Tensor:
    """Emissions in units, narrow where they fit."""
    highest = bounds(emissions, lengths)[1].max() + slope.abs().max()
    return quantised_emissions(emissions, slope, origin, lengths, is_narrow(float(highest)))


def check(potentials: Potentials, chunks: int, warm_up: int, lookahead: int | None = None) -> tuple[int, int]:
    """Compare the paths of all items, and return the rounds and positions of repair."""
    leaves, layout = resolve(potentials)
    items = [forward(sequence(leaves, layout, b), chunks, warm_up) for b in range(len(layout.lengths))]
    closing = torch.tensor([f.closing for f in items], device=DEVICE)
    found = trace(model_of(items), rows_of(items, leaves, layout.origin), closing, layout.origin, lookahead)
    for b, f in enumerate(items):
        own = found.items == b
        for mine, theirs in zip(found[:3], f.path[1:4], strict=True):
            np.testing.assert_array_equal(mine[own].cpu().numpy(), theirs)
    assert bool((found.items.diff() >= 0).all())
    return found.rounds, found.positions


SMALL = [p for p in [*list(grid())[::5], *list(tied())[1::12], *ragged()] if not p.potentials.transitions_by_duration]
LARGE = {f"{seed}": larger(seed, 140 + 31 * seed) for seed in range(4)}
LARGE |= {f"{seed}-flat": larger(seed, 100 + 11 * seed, flat=True) for seed in range(4, 8)}
LARGE |= {"zero": all_zero(60), "tail": long_tail(500), "short": larger(9, 100, 3, 3), "wide": larger(10, 200, 9)}
if not ON_GPU:  # with edges of every kind, and where many tie
    SMALL, LARGE = SMALL[::2], {name: LARGE[name] for name in ("1", "2", "3", "4-flat", "zero", "tail", "wide")}


@pytest.mark.parametrize("potentials", [pytest.param(p, id=name) for name, p in SMALL])
def test_paths_of_small_models(potentials):
    T = potentials.emissions.shape[-2]
    check(potentials, 1, 0)
    check(potentials, T, 1, lookahead=1)


@pytest.mark.parametrize("name", LARGE)
def test_paths_of_larger_models(name):
    check(LARGE[name], 2, 64)
    check(LARGE[name], 7, 32, lookahead=10)


@pytest.mark.parametrize("chunks", [1, 4])
@pytest.mark.parametrize("edge", ["exact", "censored"])
def test_paths_of_the_frame_grammar(edge, chunks):
    check(frame_grammar(random_genome(600, 3, 100, 60), edge=edge, contrast=1.0), chunks, 200)


def test_guesses_that_are_right_need_no_repair():
    assert check(larger(9, 200, 3, 3), 3, 64, lookahead=50) == (0, 0)


def test_a_forced_cycle_is_walked_again_chunk_by_chunk():
    rounds, positions = check(forced_cycle(300), 12, 30, lookahead=7)
    assert rounds == 4  # three with all chunks at once, then one walk to the left end
    assert positions > 200


def test_scores_that_contradict_each_other_are_found():
    leaves, layout = resolve(larger(1, 200))
    f = forward(sequence(leaves, layout, 0), 3, 64)
    closing = torch.tensor([f.closing], device=DEVICE)
    closing[0, 2] += 1
    with pytest.raises(AssertionError, match="traceback lost between 0 and 66 of item 0"):
        trace(model_of([f]), rows_of([f], leaves, layout.origin), closing, layout.origin)


def random_emissions(seed: int, shape: tuple[int, ...], scale: float) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=shape) * scale
    x[rng.random(shape) < 0.05] = -np.inf
    # halves of the finest unit, where rounding is to even, whole numbers, and less than the finest unit
    x[:, ::7] = np.round(x[:, ::7] * 2.0**33) / 2.0**33
    x[:, 1::7] = np.round(x[:, 1::7])
    x[:, 2::7] *= 1e-12
    return torch.from_numpy(x)


def on_the_cpu(emissions: torch.Tensor, slope: np.ndarray, origin: int) -> np.ndarray:
    rows = emissions.float() if emissions.dtype in (torch.bfloat16, torch.float16) else emissions
    out = np.empty(rows.shape, np.int64)
    base = origin % fixed.GRID  # the rows before the first one are not there: their block begins with it
    fixed.round_rows(rows.numpy(), slope, base, np.zeros(rows.shape[1], np.int64), 0, out)
    return out


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    ("T", "C", "origin", "scale"),
    [(1, 1, 0, 1.0), (300, 3, 4000, 3.0), (4097, 2, 5_000_000_007, 0.1), (300, 37, 3900, 1e4), (9000, 5, 12, 1.0)],
)
def test_emissions_are_those_of_the_cpu(dtype, T, C, origin, scale):
    emissions = random_emissions(T, (2, T, C), scale).to(dtype)
    slope = np.where(np.arange(C) % 2 == 0, -1e-5 * (1 + np.arange(C)), 0.0)
    lengths = torch.tensor([T, max(1, T - 5)])
    garbage = emissions.clone()
    garbage[1, int(lengths[1]) :] = torch.nan
    q = quantised(garbage.to(DEVICE), torch.from_numpy(slope), origin, lengths)
    assert q.dtype == (torch.int64 if float(emissions[emissions > -torch.inf].abs().max()) >= 16_000 else torch.int32)
    for b, length in enumerate(lengths.tolist()):
        expected = on_the_cpu(emissions[b, :length], slope, origin)
        found = q[b, :length].cpu().long().numpy()
        np.testing.assert_array_equal(np.where(found == torch.iinfo(q.dtype).min, fixed.NEVER, found), expected)
        assert bool((q[b, length:] == torch.iinfo(q.dtype).min).all())


def test_huge_emissions_and_any_layout_in_memory():
    emissions = random_emissions(0, (1, 64, 4), 1e11).transpose(1, 2).contiguous().transpose(1, 2)
    q = quantised(emissions.to(DEVICE), torch.zeros(4), 1, torch.tensor([64]))
    found = q[0].cpu().numpy()
    expected = on_the_cpu(emissions[0].contiguous(), np.zeros(4), 1)
    np.testing.assert_array_equal(np.where(found == torch.iinfo(q.dtype).min, fixed.NEVER, found), expected)


def test_bounds_are_those_of_the_cpu(monkeypatch):
    monkeypatch.setattr("semiseg.kernels.gpu.quantise.SPAN", 2)  # so that rows take several programs
    emissions = random_emissions(1, (3, 700, 5), 10.0)
    lengths = torch.tensor([700, 1, 333])
    sums, tops, dead = bounds(emissions.to(DEVICE), lengths)
    for b, length in enumerate(lengths.tolist()):
        total, highest = fixed.largest_scores(emissions[b, :length].numpy())
        assert float(sums[b]) == pytest.approx(total, rel=1e-12)
        assert float(tops[b]) == highest
        assert bool(dead[b]) == bool((emissions[b, :length] == -torch.inf).any())
