"""The oracle against closed formulas, known masses and its own finite differences."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cases import grid, ragged, tied
from enumeration import (
    OUTSIDE,
    Case,
    Enumeration,
    cross_entropy,
    entropy,
    enumerate_segmentations,
    from_potentials,
    gradients,
    hidden,
    kl,
    logsumexp,
    posteriors,
    probabilities,
    reach,
    tabulate_lengths,
    viterbi,
)
from enumeration_calls import describe_call, segment_posterior, shortest_interval

GRID = {case.name: case for case in grid()}
SMALL = [name for name, case in GRID.items() if len(case.potentials.emissions) <= 4]
EXACT, LOOSE = 1e-12, 1e-6  # float64 sums; central differences


def blank(size: int, labels: int, rows: int, **changes: Any) -> Case:
    """A case in which every score is 0 and both ends are exact."""
    case = Case(
        emissions=np.zeros((size, labels)),
        durations=np.zeros((rows + 1, labels)),
        transitions=np.zeros((1, labels, labels)),
        longest=np.full(labels, rows),
        tail=np.full(labels, -np.inf),
        period=np.ones(labels, int),
        boundaries=(),
        first=np.zeros((1, labels)),
        last=np.zeros(labels),
        left="exact",
        right="exact",
        origin=0,
        by_duration=False,
    )
    return case._replace(**changes)


def renewal(rng: np.random.Generator, size: int, phases: int, **changes: Any) -> Case:
    """A normalised HSMM without evidence: rows of exp A sum to 1, and `first` is the law of starts by phase."""
    labels, longest = 3, np.array([1, 3, 4])
    tail, period = np.log([0.5, 0.3, 0.4]), np.array([3, 1, 3])  # label 0: period > K_c
    weights = rng.uniform(0.1, 1, (5, labels))
    for c in range(labels):
        explicit = weights[1 : longest[c] + 1, c]
        entering = explicit[max(longest[c] - period[c], 0) :].sum()
        weights[:, c] /= explicit.sum() + entering * np.exp(tail[c]) / (1 - np.exp(tail[c]))
    transitions = rng.dirichlet(np.ones(labels), (phases, labels))
    case = blank(size, labels, 4, durations=np.log(weights), transitions=np.log(transitions), longest=longest)
    case = case._replace(tail=tail, period=period, left="censored", **changes)
    return case._replace(first=np.log(law_of_starts(case, phases)))


def law_of_starts(case: Case, phases: int) -> np.ndarray:
    """Probability, but for a factor, that a segment of c starts at a position of each phase: shape (P, C)."""
    labels = len(case.longest)
    lasting = duration_masses(case, 400)
    step = np.zeros((phases, labels, phases, labels))
    for phase in range(phases):
        for k in range(1, len(lasting)):
            after = (phase + k) % phases
            step[phase, :, after] += lasting[k][:, None] * np.exp(case.transitions[after])
    chain = step.reshape(phases * labels, -1)
    return np.linalg.matrix_power(chain, 4096)[0].reshape(phases, labels)


def duration_masses(case: Case, longest: int) -> np.ndarray:
    """exp D[k, c] for k up to `longest`."""
    return np.exp(tabulate_lengths(case, longest).scores[:, OUTSIDE])


def continue_tail(weight: Callable[[int], float], case: Case, c: int, d: int) -> float:
    """Sum of the weights from d on in the closed form of DESIGN section 1, for durations and for their survival."""
    longest, period, decay = int(case.longest[c]), int(case.period[c]), math.exp(case.tail[c])
    if d > longest:
        return decay * continue_tail(weight, case, c, d - period)
    entering = sum(weight(k) for k in range(longest - period + 1, longest + 1))
    return sum(weight(k) for k in range(d, longest + 1)) + decay / (1 - decay) * entering


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)


@pytest.fixture(scope="module")
def everything() -> dict[str, Enumeration]:
    return {name: enumerate_segmentations(from_potentials(case.potentials)) for name, case in GRID.items()}


@pytest.mark.parametrize("labels", [1, 2, 3])
@pytest.mark.parametrize("size", [1, 2, 5, 7])
def test_zero_scores_count_the_segmentations(size: int, labels: int) -> None:
    def count(**changes: Any) -> int:
        found = enumerate_segmentations(blank(size, labels, **{"rows": 1, **changes}))
        assert found.log_partition == pytest.approx(math.log(len(found.paths)), abs=EXACT)
        assert len(set(found.paths)) == len(found.paths)
        return len(found.paths)

    endless = np.zeros(labels)
    by_three = {"tail": endless, "period": np.full(labels, 3)}
    assert count() == labels**size
    assert count(rows=size + 2) == count(tail=endless) == labels * (1 + labels) ** (size - 1)
    assert count(**by_three) == sum(
        labels**n * math.comb((size - n) // 3 + n - 1, n - 1) for n in range(1, size + 1) if (size - n) % 3 == 0
    )
    lengths = [1] + [0] * size
    for t in range(1, size + 1):
        lengths[t] = labels * sum(lengths[max(t - 2, 0) : t])
    assert count(rows=2) == lengths[size]


def test_hand_counted_scores() -> None:
    case = blank(
        2,
        2,
        2,
        emissions=np.array([[1.0, 2.0], [4.0, -np.inf]]),
        durations=np.array([[99.0, 99.0], [0.1, 0.2], [0.3, 0.4]]),
        transitions=np.array([[[9.0, 9.0], [9.0, 9.0]], [[10.0, 20.0], [30.0, 40.0]]]),
        boundaries=(
            (np.array([[1e2], [2e2], [3e2]]), np.array([[0, -1], [0, -1]])),  # asks for the side that starts
            (np.array([[1e3], [2e3], [3e3]]), np.array([[-1, -1], [0, 0]])),  # asks for the side that ends
        ),
        first=np.array([[0.01, 0.02]]),
        last=np.array([0.001, 0.002]),
        origin=4,
    )
    found = enumerate_segmentations(case)
    assert dict(zip(found.paths, found.scores, strict=True)) == {
        ((0, 2, 0),): pytest.approx(5 + 0.3 + 0.01 + 0.001 + 1e2),
        ((0, 1, 0), (1, 2, 0)): pytest.approx(5 + 0.2 + 0.01 + 0.001 + 1e2 + 10 + 2e2),
        ((0, 1, 1), (1, 2, 0)): pytest.approx(6 + 0.3 + 0.02 + 0.001 + 30 + 2e2 + 2e3),
    }
    constant = tuple((scores, 0 * types) for scores, types in case.boundaries)
    cut = enumerate_segmentations(case._replace(boundaries=constant, left="censored"))
    assert cut.scores[cut.paths.index(((0, 2, 0),))] == pytest.approx(5 + 0.3 + 0.01 + 0.001 + 3e2 + 3e3)


def test_hand_counted_transitions_by_duration() -> None:
    rng = np.random.default_rng(5)
    durations, transitions = rng.normal(size=(3, 2)), rng.normal(size=(3, 2, 2))
    case = blank(4, 2, 2, durations=durations, transitions=transitions, by_duration=True)
    case = case._replace(longest=np.array([1, 2]), tail=np.array([-0.5, -2.0]), period=np.array([1, 3]))
    found = enumerate_segmentations(case)
    scores = dict(zip(found.paths, found.scores, strict=True))
    (d, a), one_two = (durations, transitions), ((0, 1, 1), (1, 4, 0))
    assert scores[one_two] == pytest.approx(d[1, 1] + d[1, 0] + a[1, 1, 0] - 2 * 0.5)  # a tail entered
    assert scores[(0, 4, 1),] == pytest.approx(d[1, 1] - 2.0)  # the first segment has no transition
    assert ((0, 1, 0), (1, 4, 1)) not in scores  # 3 = 0 + period: no row to continue
    cut = enumerate_segmentations(case._replace(right="censored"))
    hidden_sum = d[1, 0] + a[1, 1, 0] - 2 * 0.5 - math.log(1 - math.exp(-0.5))
    assert cut.scores[cut.paths.index(one_two)] == pytest.approx(d[1, 1] + hidden_sum)


@pytest.mark.parametrize("phases", [1, 3])
@pytest.mark.parametrize("size", [1, 2, 3, 5, 6])
def test_censored_masses(rng: np.random.Generator, phases: int, size: int) -> None:
    case = renewal(rng, size, phases, origin=2)
    started = enumerate_segmentations(case).log_partition
    assert started == pytest.approx(logsumexp(case.first[(2 + size) % phases]), abs=EXACT)
    both = enumerate_segmentations(case._replace(right="censored")).log_partition
    surviving = duration_masses(case, 600)[::-1].cumsum(0)[::-1]
    covering = sum(np.exp(case.first[(2 - k) % phases]) @ surviving[k + 1] for k in range(599))
    assert both == pytest.approx(math.log(covering), abs=EXACT)
    if phases == 1:
        mean = (np.arange(601)[:, None] * duration_masses(case, 600)).sum(0)
        whatever = rng.normal(size=(1, 3))
        both = enumerate_segmentations(case._replace(right="censored", first=whatever)).log_partition
        assert both == pytest.approx(math.log(np.exp(whatever[0]) @ mean), abs=EXACT)


@pytest.mark.parametrize(("phases", "right"), [(1, "exact"), (1, "censored"), (3, "exact"), (3, "censored")])
def test_prepending_empty_positions_changes_nothing(rng: np.random.Generator, phases: int, right: str) -> None:
    case = renewal(rng, 4, phases, origin=1, right=right)
    case = case._replace(emissions=rng.normal(size=(4, 3)))
    expected = enumerate_segmentations(case).log_partition
    for more in (1, 2, 3):
        longer = case._replace(emissions=np.vstack([np.zeros((more, 3)), case.emissions]), origin=1 - more)
        assert enumerate_segmentations(longer).log_partition == pytest.approx(expected, abs=EXACT)


def test_closed_survival_equals_the_sum_over_what_is_hidden(rng: np.random.Generator) -> None:
    case = renewal(rng, 9, 1, right="censored")._replace(first=np.zeros((1, 3)))
    lengths = tabulate_lengths(case, reach(case))

    def summed(s: int, t: int, before: int, c: int) -> float:
        return math.exp(logsumexp(hidden(case, lengths, s, t, before, c)[2]))

    for c in range(3):

        def weight(k: int, c: int = c) -> float:
            return math.exp(case.durations[k, c]) if k >= 1 else 0.0

        def survival(d: int, c: int = c, weight: Callable[[int], float] = weight) -> float:
            return continue_tail(weight, case, c, d)

        for d in range(1, 9):
            assert summed(0, d, OUTSIDE, c) == pytest.approx(survival(d), rel=EXACT)
            assert summed(9 - d, 9, 0, c) == pytest.approx(survival(d), rel=EXACT)
        assert summed(0, 9, OUTSIDE, c) == pytest.approx(continue_tail(survival, case, c, 9), rel=EXACT)


@pytest.mark.parametrize("name", SMALL)
def test_gradients_equal_differences(name: str, everything: dict[str, Enumeration]) -> None:
    """One random direction for each tensor; -inf stays."""
    found, rng, step = everything[name], np.random.default_rng(3), 1e-5
    case, grad = found.case, gradients(found)

    def difference(**changed: Callable[[float], Any]) -> float:
        up, down = ({key: change(sign * step) for key, change in changed.items()} for sign in (1, -1))
        high = enumerate_segmentations(case._replace(**up)).log_partition
        return (high - enumerate_segmentations(case._replace(**down)).log_partition) / (2 * step)

    for field in ("emissions", "durations", "transitions", "tail", "first", "last"):
        value = getattr(case, field)
        direction = rng.normal(size=value.shape)
        expected = difference(**{field: lambda h, value=value, direction=direction: value + h * direction})
        assert (getattr(grad, field) * direction).sum() == pytest.approx(expected, abs=LOOSE), field
        assert not getattr(grad, field)[np.isneginf(value)].any()
    if case.boundaries:
        directions = [rng.normal(size=scores.shape) for scores, _ in case.boundaries]
        expected = difference(
            boundaries=lambda h: tuple(
                (scores + h * d, types) for (scores, types), d in zip(case.boundaries, directions, strict=True)
            )
        )
        gained = sum((g * d).sum() for g, d in zip(grad.boundaries, directions, strict=True))
        assert gained == pytest.approx(expected, abs=LOOSE)


def test_posteriors_are_consistent(everything: dict[str, Enumeration]) -> None:
    for name, found in everything.items():
        case, known, grad = found.case, posteriors(found), gradients(found)
        assert known.position.sum(1) == pytest.approx(1, abs=EXACT), name
        assert known.position == pytest.approx(grad.emissions, abs=EXACT), name
        begun = known.start.copy()
        begun[0] = [sum(p for (s, _, _, c), p in found.used.items() if (s, c) == (0, d)) for d in range(len(case.tail))]
        assert np.cumsum(begun - known.end, 0)[:-1] == pytest.approx(known.position, abs=EXACT), name
        assert known.boundary.sum(1)[1:-1] == pytest.approx(known.start[1:-1], abs=EXACT), name
        assert known.boundary.sum(2)[1:-1] == pytest.approx(known.end[1:-1], abs=EXACT), name
        if not case.by_duration:
            assert known.transitions.sum(0) == pytest.approx(known.boundary.sum(0), abs=EXACT), name
        if case.left == case.right == "exact":
            assert known.durations == pytest.approx(grad.durations, abs=EXACT), name
            assert known.tail_steps == pytest.approx(grad.tail, abs=EXACT), name
        assert not known.start[0].any() or case.left == "exact", name
        assert not known.end[-1].any() or case.right == "exact", name


def test_viterbi_breaks_ties_from_the_right() -> None:
    case = blank(3, 2, 3, transitions=np.zeros((1, 2, 2)))
    assert viterbi(enumerate_segmentations(case)) == (0.0, ((0, 1, 0), (1, 2, 0), (2, 3, 0)))
    # a label never follows itself: label 0 comes last and starts as late as it can, then the same for label 1
    single = case._replace(transitions=np.array([[[-np.inf, 0.0], [0.0, -np.inf]]]))
    assert viterbi(enumerate_segmentations(single))[1] == ((0, 1, 0), (1, 2, 1), (2, 3, 0))
    unlikely = single._replace(durations=np.array([[0.0, 0.0], [0.0, -1.0], [0.0, 0.0], [0.0, 0.0]]))
    assert viterbi(enumerate_segmentations(unlikely))[1] == ((0, 2, 1), (2, 3, 0))
    many = 0
    for name, potentials in tied():
        found = enumerate_segmentations(from_potentials(potentials))
        best, path = viterbi(found)
        others = [p for p, score in zip(found.paths, found.scores, strict=True) if score == best]
        many += len(others) > 1
        assert path in others, name
    assert many > 50


def test_information(everything: dict[str, Enumeration]) -> None:
    for name, found in everything.items():
        law = np.array(list(probabilities(found).values()))
        assert law.sum() == pytest.approx(1, abs=EXACT), name
        assert entropy(found) == pytest.approx(-(law[law > 0] * np.log(law[law > 0])).sum(), abs=1e-10), name
        other = enumerate_segmentations(found.case._replace(emissions=0.5 * found.case.emissions))
        assert kl(found, found) == 0, name
        assert kl(found, other) == pytest.approx(cross_entropy(found, other) - entropy(found), abs=1e-10), name
    flat = enumerate_segmentations(blank(5, 2, 5))
    assert entropy(flat) == pytest.approx(math.log(2 * 3**4))
    cut = flat.case._replace(emissions=np.array([[-np.inf, 0.0]] + [[0.0, 0.0]] * 4))
    assert cross_entropy(flat, enumerate_segmentations(cut)) == kl(flat, enumerate_segmentations(cut)) == np.inf


def test_calls(everything: dict[str, Enumeration]) -> None:
    for name, found in everything.items():
        (_, path), known = viterbi(found), posteriors(found)
        for segment in path:
            own, all_labels = ([segment[2]], range(len(found.case.tail)))
            call = describe_call(found, segment, own, known=known)
            assert call.segment == pytest.approx(segment_posterior(found, *segment), abs=EXACT), name
            assert min(call.start_mass, call.end_mass) >= 0.95, name
            assert call.start_low <= call.start_high <= (segment[0] + segment[1] - 1) // 2 < call.end_low, name
            assert describe_call(found, segment, all_labels, known=known).label == pytest.approx(1, abs=EXACT), name
    assert shortest_interval(np.array([0.1, 0.4, 0.1, 0.4]), 0.5) == (0, 1, 0.5)
    assert shortest_interval(np.array([0.02, 0.96, 0.02]), 0.95) == (1, 1, 0.96)


def test_ragged_items_are_their_own_cases() -> None:
    for name, potentials in ragged():
        assert potentials.lengths is not None
        for item, size in enumerate(potentials.lengths.tolist()):
            found = enumerate_segmentations(from_potentials(potentials, item))
            assert len(found.case.emissions) == size, name
            assert np.isfinite(found.log_partition), name


def test_grid_is_what_it_says(everything: dict[str, Enumeration]) -> None:
    assert 140 <= len(GRID) <= 180
    assert sum(len(found.case.emissions) == 10 for found in everything.values()) == 8
    for name, found in everything.items():
        case = found.case
        assert np.isfinite(found.log_partition), name
        if "censored" in (case.left, case.right):
            assert duration_masses(case, reach(case)).sum(0) == pytest.approx(1, abs=EXACT), name
