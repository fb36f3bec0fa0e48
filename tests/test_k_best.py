"""The k best segmentations: enumeration at small sizes, in the tie rule's order; every plan gives the same."""

from itertools import pairwise

import enumeration
import pytest
import torch
from cases import grid, ragged, tied
from larger import forced_cycle, larger, long_tail
from models import informative

from semiseg.kernels import InfeasibleError, KBest, Potentials, PotentialsError, k_best, viterbi
from semiseg.kernels.fixed import UNIT

SOME = [pytest.param(p, id=name) for name, p in [*grid(), *ragged()] if not p.transitions_by_duration][::3]
TIED = [pytest.param(p, id=name) for name, p in tied() if not p.transitions_by_duration]
LARGE = {f"{seed}": larger(seed, 250 + 31 * seed) for seed in range(4)}
LARGE |= {f"{seed}-flat": larger(seed, 250 + 31 * seed, flat=True) for seed in range(4)}
LARGE |= {"tail": long_tail(500), "cycle": forced_cycle(300), "wide": larger(10, 300, 9)}


def paths(found: KBest, item: int = 0) -> list[tuple[tuple[int, int, int], ...]]:
    """Segmentations of one item, best first."""
    out = []
    for table in found.segments:
        mine = table.item == item
        out.append(tuple(zip(*(x[mine].tolist() for x in table[1:]), strict=True)))
    return [path for path in out if path]


def in_order(everything: enumeration.Enumeration) -> list[tuple[float, enumeration.Path]]:
    """All segmentations, best first, ties as they are read from the right."""
    ranked = zip(everything.scores.tolist(), everything.paths, strict=True)
    return sorted(ranked, key=lambda x: (-x[0], [(c, -s) for s, _, c in reversed(x[1])]))


@pytest.mark.parametrize("potentials", TIED)
def test_equals_enumeration_where_many_tie(potentials: Potentials) -> None:
    wanted = in_order(enumeration.enumerate_segmentations(enumeration.from_potentials(potentials)))
    for k in (1, 2, 7, 40):
        found = k_best(potentials, k)
        best = [score for score, _ in wanted[:k]]
        assert found.score.tolist() == pytest.approx(best + [-torch.inf] * (k - len(best)), abs=1e-9)
        assert paths(found) == [path for _, path in wanted[:k]]


@pytest.mark.parametrize("potentials", SOME)
def test_equals_enumeration(potentials: Potentials) -> None:
    found = k_best(potentials, 20)
    rounding = 1e-3
    for b in range(len(potentials.emissions) if potentials.emissions.ndim == 3 else 1):
        everything = enumeration.enumerate_segmentations(enumeration.from_potentials(potentials, b))
        wanted = in_order(everything)[:20]
        mine, score = paths(found, b), found.score.reshape(-1, found.score.shape[-1])[b]
        assert len(mine) == len(set(mine)) == len(wanted)
        assert score[: len(mine)].tolist() == pytest.approx([s for s, _ in wanted], abs=rounding)
        assert len(score) == len(found.segments) == 20
        assert (score[len(mine) :] == -torch.inf).all()
        scores = dict(zip(everything.paths, everything.scores.tolist(), strict=True))
        assert [scores[path] for path in mine] == pytest.approx([s for s, _ in wanted], abs=rounding)


@pytest.mark.parametrize("name", LARGE)
def test_plans_change_nothing(name: str) -> None:
    p = LARGE[name]
    wanted = k_best(p, 30, chunks=1)
    best = viterbi(p)
    assert float(wanted.score[0]) == float(best.score)
    assert all(map(torch.equal, wanted.segments[0], best.segments))
    assert len(set(paths(wanted))) == int(wanted.score.isfinite().sum())
    assert wanted.score.equal(wanted.score.sort(descending=True).values)
    for chunks, warm_up in ((2, 0), (7, 64), (50, 20)):
        found = k_best(p, 30, chunks=chunks, warm_up=warm_up)
        assert torch.equal(found.score, wanted.score)
        assert paths(found) == paths(wanted)


def test_the_best_are_those_of_more() -> None:
    p = larger(5, 400)
    many = k_best(p, 60)
    for k in (1, 2, 9):
        few = k_best(p, k)
        assert torch.equal(few.score, many.score[:k])
        assert paths(few) == paths(many)[:k]


def test_a_hundred_thousand_positions() -> None:
    p = informative(100_000, 4, 50, seed=3)
    found = k_best(p, 10)
    best = viterbi(p)
    assert float(found.score[0]) == float(best.score)
    assert all(map(torch.equal, found.segments[0], best.segments))
    mine = paths(found)
    assert len(set(mine)) == 10
    for path, score in zip(mine, found.score.tolist(), strict=True):
        assert path[0][0] == 0
        assert path[-1][1] == 100_000
        assert all(left[1] == right[0] for left, right in pairwise(path))
        assert score <= float(best.score) + UNIT


def test_bad_input() -> None:
    p = larger(0, 50)
    with pytest.raises(PotentialsError, match="k: expected an integer >= 1, got 0"):
        k_best(p, 0)
    with pytest.raises(InfeasibleError):
        k_best(p._replace(emissions=torch.full_like(p.emissions, -torch.inf)), 3)
