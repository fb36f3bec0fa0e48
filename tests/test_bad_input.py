"""What cannot be used is refused in one line that says what was expected and what came; nothing is ever cut short."""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from tolerances import EXACT

from semiseg import kernels
from semiseg.kernels import Boundary, InfeasibleError, Potentials, PotentialsError, Segments, fixed
from semiseg.kernels.naive import naive_log_partition, naive_marginals, naive_viterbi
from semiseg.kernels.resolve import resolve, sequence

B, T, C, K, P = 2, 12, 3, 4, 3
NAN, INF = float("nan"), float("inf")
WIDE = torch.float64
OPERATIONS: dict[str, Callable[..., Any]] = {
    "viterbi": kernels.viterbi,
    "marginals": kernels.marginals,
    "sample": lambda p, **how: kernels.sample(p, 2, **how),
    "log_partition": kernels.log_partition,
}
EVERY = OPERATIONS | {"entropy": kernels.entropy, "kl": lambda p: kernels.kl(p, p)}


def make(**other: Any) -> Any:
    """A batch of two that uses every field."""
    torch.manual_seed(0)
    return Potentials(
        torch.randn(B, T, C, dtype=WIDE),
        torch.randn(K + 1, C, dtype=WIDE),
        torch.randn(P, C, C, dtype=WIDE),
        torch.tensor([4, 3, 2]),
        torch.full((C,), -0.5, dtype=WIDE),
        torch.tensor([1, 3, 1]),
        (Boundary(torch.randn(B, T + 1, 2, dtype=WIDE), torch.tensor([[0, 1, -1]] * C)),),
        torch.randn(P, C, dtype=WIDE),
        torch.randn(C, dtype=WIDE),
        lengths=torch.tensor([T, 5]),
    )._replace(**other)


GOOD = make()
MAP = GOOD.boundaries[0]


def put(x: torch.Tensor, index, value: float) -> torch.Tensor:
    x = x.clone()
    x[index] = value
    return x


def scores(x) -> dict:
    return {"boundaries": (Boundary(x, MAP.types),)}


def types(x) -> dict:
    return {"boundaries": (Boundary(MAP.scores, x),)}


def law(tail: float = -0.5, mass: float = 1.0) -> torch.Tensor:
    """Durations 1 of label 0 and 2 with their tails, and label 1's, whose sum is `mass`."""
    durations = torch.full((2, C), -INF, dtype=WIDE)
    durations[1] = np.log(-np.expm1(-0.5))
    durations[1, 1] += np.log(mass)
    return durations


def censored(**other: Any) -> Any:
    return Potentials(GOOD.emissions, law(), GOOD.transitions, tail=GOOD.tail, left="censored")._replace(**other)


# field replaced, what the one line must say
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "integer emissions": (
        {"emissions": GOOD.emissions.long()},
        "emissions: expected a floating dtype, got torch.int64",
    ),
    "bool emissions": ({"emissions": GOOD.emissions > 0}, "emissions: expected a floating dtype, got torch.bool"),
    "complex": ({"emissions": GOOD.emissions + 0j}, "emissions: expected a floating dtype, got torch.complex128"),
    "numpy": ({"durations": GOOD.durations.numpy()}, "durations: expected a torch tensor, got ndarray"),
    "nothing": ({"emissions": None}, "emissions: expected a torch tensor, got NoneType"),
    "sparse": ({"durations": GOOD.durations.to_sparse()}, "durations: expected a dense tensor, got torch.sparse_coo"),
    "no axis T": ({"emissions": GOOD.emissions[0, 0]}, r"emissions: expected shape \(B, T, C\) or .*, got \(3,\)"),
    "T = 0": ({"emissions": GOOD.emissions[:, :0]}, r"emissions: expected no empty axis, got \(2, 0, 3\)"),
    "B = 0": ({"emissions": GOOD.emissions[:0]}, r"emissions: expected no empty axis, got \(0, 12, 3\)"),
    "K = 0": ({"durations": GOOD.durations[:1]}, r"durations: expected shape \(K \+ 1, 3\) with K >= 1, got \(1, 3\)"),
    "no durations": ({"durations": GOOD.durations[:0]}, r"durations: expected .*, got \(0, 3\)"),
    "durations of others": ({"durations": GOOD.durations[:, :2]}, r"durations: expected .*, got \(5, 2\)"),
    "flat durations": ({"durations": GOOD.durations[:, 0]}, r"durations: expected .*, got \(5,\)"),
    "transitions": ({"transitions": GOOD.transitions[:, :2]}, r"transitions: expected .* or \(3, 3\), got \(3, 2, 3\)"),
    "no phases": ({"transitions": GOOD.transitions[:0]}, r"transitions: expected .*, got \(0, 3, 3\)"),
    "by duration": ({"transitions_by_duration": True}, r"transitions: expected shape \(5, 3, 3\), got \(3, 3, 3\)"),
    "no flag": ({"transitions_by_duration": "yes"}, "transitions_by_duration: expected True or False, got 'yes'"),
    "tail": ({"tail": GOOD.tail[:2]}, r"tail: expected shape \(3,\), got \(2,\)"),
    "first": ({"first": GOOD.first[:2]}, r"first: expected shape \(3,\) or \(3, 3\), got \(2, 3\)"),
    "last": ({"last": GOOD.last[:2]}, r"last: expected shape \(3,\), got \(2,\)"),
    "float longest": ({"longest": GOOD.longest.double()}, "longest: expected an integer tensor, got torch.float64"),
    "list longest": ({"longest": [4, 3, 2]}, "longest: expected an integer tensor, got list"),
    "longest 0": ({"longest": torch.tensor([0, 1, 2])}, r"longest: expected 1..4, got 0..2"),
    "longest > K": ({"longest": torch.tensor([5, 1, 2])}, r"longest: expected 1..4, got 1..5"),
    "longest shape": ({"longest": GOOD.longest[:2]}, r"longest: expected shape \(3,\), got \(2,\)"),
    "period 0": ({"period": torch.tensor([1, 0, 1])}, "period: expected values >= 1, got 0"),
    "length 0": ({"lengths": torch.tensor([3, 0])}, "lengths: expected 1..12, got 0 for item 1"),
    "length -1": ({"lengths": torch.tensor([-1, 3])}, "lengths: expected 1..12, got -1 for item 0"),
    "length > T": ({"lengths": torch.tensor([3, 13])}, "lengths: expected 1..12, got 13 for item 1"),
    "lengths shape": ({"lengths": torch.tensor([3])}, r"lengths: expected shape \(2,\), got \(1,\)"),
    "float lengths": ({"lengths": torch.tensor([3.0, 4.0])}, "lengths: expected an integer tensor, got torch.float32"),
    "a number": ({"lengths": 5}, "lengths: expected an integer tensor, got int"),
    "left": ({"left": "cut"}, "left: expected 'exact' or 'censored', got 'cut'"),
    "right": ({"right": None}, "right: expected 'exact' or 'censored', got None"),
    "origin": ({"origin": 1.5}, "origin: expected an integer .*, got 1.5"),
    "map scores": (
        scores(MAP.scores[:, :-1]),
        r"boundaries\[0\].scores: expected shape \(2, 13, n\), got \(2, 12, 2\)",
    ),
    "no columns": (scores(MAP.scores[:, :, :0]), r"boundaries\[0\].scores: expected .*, got \(2, 13, 0\)"),
    "type 2": (types(MAP.types + 1), r"boundaries\[0\].types: expected -1..1, got 0..2"),
    "type -2": (types(MAP.types - 1), r"boundaries\[0\].types: expected -1..1, got -2..0"),
    "float types": (types(MAP.types.double()), r"boundaries\[0\].types: expected an integer tensor, got torch.float64"),
    "types shape": (types(MAP.types[:2]), r"boundaries\[0\].types: expected shape \(3, 3\), got \(2, 3\)"),
    "a bare tensor": ({"boundaries": (MAP.scores,)}, r"boundaries\[0\]: expected Boundary, got Tensor"),
    "no tuple": ({"boundaries": None}, "boundaries: expected a tuple, got NoneType"),
    "device": ({"durations": GOOD.durations.to("meta")}, "durations: expected device cpu as for emissions, got meta"),
    "device of longest": ({"longest": GOOD.longest.to("meta")}, "longest: expected device cpu, got meta"),
    "device of types": (types(MAP.types.to("meta")), r"boundaries\[0\].types: expected device cpu, got meta"),
}


def refusals(operation, *args, **kwargs) -> str:
    """The one line an operation refuses its input with."""
    with pytest.raises(PotentialsError) as error:
        operation(*args, **kwargs)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("operation", EVERY)
def test_the_good_record_is_fine(operation):
    EVERY[operation](GOOD)


@pytest.mark.parametrize("name", REFUSED)
def test_kinds_shapes_and_ranges(name):
    fields, expected = REFUSED[name]
    for operation in EVERY.values():
        with pytest.raises(PotentialsError, match=expected):
            operation(GOOD._replace(**fields))
    assert "\n" not in refusals(kernels.viterbi, GOOD._replace(**fields))


def test_no_record_and_no_device():
    for operation in EVERY.values():
        assert refusals(operation, [1, 2]) == "potentials: expected Potentials, got list"
        e, d, a = (x.to("meta") for x in GOOD[:3])
        elsewhere = Potentials(e, d, a)
        assert refusals(operation, elsewhere) == "emissions: expected a tensor on cpu or cuda, got device meta"


@pytest.mark.parametrize("value", [NAN, INF])
@pytest.mark.parametrize("operation", EVERY)
def test_not_a_number_and_infinity(operation, value):
    spoilt: dict[str, tuple[dict[str, Any], str]] = {
        "emissions": ({"emissions": put(GOOD.emissions, (1, 3, 2), value)}, "item 1, position 3, column 2"),
        "boundaries[0].scores": (scores(put(MAP.scores, (1, 5, 1), value)), "item 1, position 5, column 1"),
        "durations": ({"durations": put(GOOD.durations, (2, 1), value)}, "index (2, 1)"),
        "transitions": ({"transitions": put(GOOD.transitions, (2, 1, 0), value)}, "index (2, 1, 0)"),
        "first": ({"first": put(GOOD.first, (1, 2), value)}, "index (1, 2)"),
        "last": ({"last": put(GOOD.last, 1, value)}, "index (1,)"),
        "tail": ({"tail": put(GOOD.tail, 2, value)}, "index (2,)"),
    }
    for name, (fields, where) in spoilt.items():
        line = refusals(EVERY[operation], GOOD._replace(**fields))
        assert line == f"{name}: expected finite values or -inf, got {value} at {where}"
    trained = put(GOOD.emissions, (0, 11, 0), value).requires_grad_()
    assert "item 0, position 11, column 0" in refusals(EVERY[operation], GOOD._replace(emissions=trained))
    alone = Potentials(put(GOOD.emissions[0], (4, 1), value), GOOD.durations, GOOD.transitions)
    assert "item 0, position 4, column 1" in refusals(EVERY[operation], alone)


def test_padding_and_unused_rows_may_hold_anything():
    emissions, marks = put(GOOD.emissions, (1, slice(5, None)), NAN), put(MAP.scores, (1, slice(6, None)), INF)
    padded = GOOD._replace(emissions=emissions.requires_grad_(), **scores(marks))
    for name, operation in {**OPERATIONS, "entropy": kernels.entropy}.items():
        leaves = (torch.utils._pytree.tree_leaves(operation(p)) for p in (padded, GOOD))
        for got, want in zip(*leaves, strict=True):
            assert got == want if not isinstance(got, torch.Tensor) else bool((got == want).all()), name
    kernels.log_partition(padded).sum().backward()
    assert torch.isfinite(padded.emissions.grad).all()
    alone = Potentials(emissions[1].detach(), put(GOOD.durations, 0, NAN), GOOD.transitions, lengths=torch.tensor([5]))
    assert kernels.viterbi(alone).segments.end[-1] == 5
    by_duration = put(torch.zeros(K + 1, C, C), 0, NAN)
    model = alone._replace(transitions=by_duration, transitions_by_duration=True)
    assert torch.isfinite(kernels.log_partition(model))


@pytest.mark.parametrize("edge", ["left", "right"])
def test_a_censored_edge_needs_laws_that_sum_to_one(edge):
    model = censored(left="exact")._replace(**{edge: "censored"})
    for operation in EVERY.values():
        operation(model)
        for lam in (0.0, 0.3):
            line = refusals(operation, model._replace(tail=put(GOOD.tail, 1, lam)))
            assert line == f"tail: a censored edge needs values < 0, got {lam} for label 1"
        line = refusals(operation, model._replace(durations=law(mass=0.75)))
        assert line == "durations: a censored edge needs sum_k exp D[k] = 1, got 0.75 for label 1"
        by_duration = {"transitions": torch.zeros(2, C, C), "transitions_by_duration": True}
        assert "got 0.75 for label 1" in refusals(operation, model._replace(durations=law(mass=0.75), **by_duration))


def test_how_to_run():
    for operation in OPERATIONS.values():
        for name, low in (("threads", 1), ("chunks", 1), ("warm_up", 0)):
            for value in (low - 1, 1.5, "2"):
                line = refusals(operation, GOOD, **{name: value})
                assert line == f"{name}: expected an integer >= {low}, got {value!r}"
    for n in (0, -2, 1.5):
        assert refusals(kernels.sample, GOOD, n) == f"n: expected an integer >= 1, got {n}"
    assert refusals(kernels.sample, GOOD, 1, seed=-1) == "seed: expected an integer >= 0, got -1"


def test_what_to_work_out():
    kinds = "start, end, position, transitions, durations, boundaries"
    assert refusals(kernels.marginals, GOOD, want=("start", "all")) == f"want: expected any of {kinds}, got 'all'"
    for want in ("position", None):
        line = refusals(kernels.marginals, GOOD, want=want)
        assert line == f"want: expected a collection such as ('position',), got {want!r}"
    for level in (0, 1, 1.5, -0.1, NAN, "0.5"):
        assert refusals(kernels.marginals, GOOD, level=level) == f"level: expected a number in (0, 1), got {level!r}"
    for concepts, got in ((torch.zeros(2, dtype=torch.int64), r"shape (3,), got (2,)"), ([0, 1, 1], "integer tensor")):
        assert got in refusals(kernels.marginals, GOOD, concepts=concepts)


@pytest.mark.parametrize(
    "row", [(0, 3, 3, 0), (2, 3, 4, 0), (-1, 3, 4, 0), (1, 3, 6, 0), (0, -1, 4, 0), (0, 1, 4, 3), (0, 1, 4, -1)]
)
def test_segments_out_of_range(row):
    table = torch.tensor([(0, 0, 4, 1), row]).T
    line = refusals(kernels.marginals, GOOD, segments=Segments(*table))
    assert line.startswith(
        "segments: expected 0 <= start < end <= length, an item below 2 and a label below 3, got row 1:"
    )
    assert line.endswith("item {}, start {}, end {}, label {}".format(*row))


def test_segments_of_other_kinds():
    one = torch.tensor([1])
    ask = lambda segments: refusals(kernels.marginals, GOOD, segments=segments)  # noqa: E731
    assert ask([(0, 1, 2, 0)]) == "segments: expected Segments, got list"
    assert ask(Segments(one, one, one.double(), one)) == "segments.end: expected an integer tensor, got torch.float64"
    assert ask(Segments(one, one, one.expand(2), one)) == "segments.end: expected shape (1,), got (2,)"
    assert ask(Segments(*[one[None]] * 4)) == "segments.item: expected one axis, got shape (1, 1)"
    none: Any = kernels.marginals(GOOD, segments=Segments(*[one[:0]] * 4)).calls
    assert all(field.shape == (0,) for field in none)


def test_comparing_models_of_different_lengths():
    assert (
        refusals(kernels.kl, GOOD, GOOD._replace(lengths=None))
        == "lengths: expected [12, 5] as in p, got [12, 12] in q"
    )


def dead_ends() -> dict[str, tuple[Any, int]]:
    """Models of 300 positions without a segmentation, and the first boundary no state reaches."""
    rng = np.random.default_rng(0)
    e = torch.from_numpy(rng.normal(size=(300, 2)))
    cycle = torch.tensor([[-INF, 0.0], [0.0, -INF]], dtype=WIDE)
    free, two = torch.zeros(2, 2, dtype=WIDE), torch.tensor([[0.0] * 2, [-INF] * 2, [0.0] * 2], dtype=WIDE)
    twice = put(put(e, 137, -INF), 60, -INF)
    plain = Potentials(e, torch.zeros(4, 2, dtype=WIDE), cycle)
    # labels 0 and 1 in turn, two positions each: cut where each would have to stand
    alternate = put(put(e, (100, 0), -INF), (103, 1), -INF)
    long = torch.full((91, 2), -INF, dtype=WIDE)
    long[90] = 0.0
    return {
        "a cut in every label": (plain._replace(emissions=put(e, 137, -INF)), 138),
        "two of them": (plain._replace(emissions=twice), 61),
        "the first position": (plain._replace(emissions=put(e, 0, -INF)), 1),
        "the last position": (plain._replace(emissions=put(e, 299, -INF)), 300),
        "a forbidden last": (plain._replace(last=torch.full((2,), -INF, dtype=WIDE)), 300),
        "a forbidden first": (plain._replace(first=torch.full((2,), -INF, dtype=WIDE)), 1),
        "no transitions": (plain._replace(transitions=free - INF), 4),
        "an odd length": (Potentials(e[:299], two, cycle), 299),
        "known to the first chunk only": (
            Potentials(alternate, two, cycle, first=torch.tensor([0, -INF]).double()),
            101,
        ),
        "too long to end": (Potentials(e, long, cycle), 300),
    }


@pytest.mark.parametrize("chunks", [1, 4])
@pytest.mark.parametrize("name", dead_ends())
def test_no_segmentation(name, chunks):
    potentials, position = dead_ends()[name]
    for operation in OPERATIONS.values():
        for warm_up in (0, 10):
            with pytest.raises(InfeasibleError) as error:
                operation(potentials, chunks=chunks, warm_up=warm_up)
            assert (error.value.item, error.value.position) == (0, position)
            assert str(error.value) == f"no segmentation is possible: item 0, no state reaches boundary {position}"


def test_no_segmentation_of_one_item():
    emissions = put(GOOD.emissions, (1, 3), -INF)
    for operation in EVERY.values():
        with pytest.raises(InfeasibleError, match="item 1, no state reaches boundary 4") as error:
            operation(GOOD._replace(emissions=emissions.detach()))
        assert (error.value.item, error.value.position) == (1, 4)
    with pytest.raises(InfeasibleError, match="item 1, no state reaches boundary 4"):
        kernels.log_partition(GOOD._replace(emissions=emissions.requires_grad_()))


def check_quantised(potentials: Potentials) -> None:
    """Viterbi is that of plain loops over the same integers."""
    x = sequence(*resolve(potentials), 0)
    xq, tables = fixed.quantised(x)
    e = fixed.quantised_emissions(x, 0, len(x.emissions)).astype(np.float64)
    score, path = naive_viterbi(xq._replace(emissions=np.where(e < fixed.NEVER / 2, -np.inf, e)), tables)
    got = kernels.viterbi(potentials)
    assert got.score.item() == score * fixed.UNIT
    assert list(zip(*(x.tolist() for x in got.segments[1:]), strict=True)) == path


@pytest.mark.parametrize("size", [1e4, 1e6, 1e8])
def test_huge_but_legal(size):
    torch.manual_seed(1)
    potentials = Potentials(
        size * torch.randn(200, 3, dtype=WIDE), torch.randn(9, 3, dtype=WIDE), size * torch.randn(3, 3, dtype=WIDE)
    )
    check_quantised(potentials)
    want, got = naive_marginals(potentials), OPERATIONS["marginals"](potentials)
    assert got.log_partition.item() == pytest.approx(want.log_partition, rel=EXACT)
    assert kernels.log_partition(potentials).item() == pytest.approx(naive_log_partition(potentials), rel=EXACT)
    np.testing.assert_allclose(got.position, want.position, atol=size * 1e-12)


@pytest.mark.parametrize("operation", EVERY)
def test_beyond_the_range(operation):
    """Float64 could not tell paths apart there, and integers would overflow."""
    places = {"emissions": (1, 2, 0), "durations": (1, 1), "transitions": (0, 0, 1), "first": (0, 1), "last": (1,)}
    for field, index in places.items():
        for value in (1e14, -1e30, 1e300):
            line = refusals(EVERY[operation], GOOD._replace(**{field: put(getattr(GOOD, field), index, value)}))
            assert line.startswith("emissions: expected sums of finite scores below 4.4e+12 nats")


@pytest.mark.parametrize("size", [1, 9_999, 10_000, 10_001, 50_000])
def test_the_best_path_covers_everything(size):
    torch.manual_seed(size)
    e = torch.randn(size, 2)
    durations = torch.full((41, 2), -0.5)
    for model in (Potentials(e, durations, torch.zeros(2, 2)), Potentials(e * 0, durations, torch.full((2, 2), 0.1))):
        for chunks in (1, 3):
            _, start, end, label = kernels.viterbi(model, chunks=chunks).segments
            assert [int(start[0]), int(end[-1])] == [0, size]
            assert (start[1:] == end[:-1]).all()
            assert ((1 <= end - start) & (end - start <= 40)).all()
            assert ((0 <= label) & (label < 2)).all()


def test_without_triton_and_cuda():
    """Everything on the CPU works where Triton cannot be imported and no device is seen."""
    script = """
import sys
sys.modules["triton"] = None
import torch
from semiseg import kernels
assert not torch.cuda.is_available()
for name in kernels.__all__:
    getattr(kernels, name)
p = kernels.Potentials(torch.zeros(3, 2), torch.zeros(3, 2), torch.zeros(2, 2))
print(kernels.log_partition(p).exp().item(), kernels.viterbi(p).segments.label.tolist())
"""
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
    assert out.returncode == 0, out.stderr
    count, path = out.stdout.split(maxsplit=1)
    assert float(count) == pytest.approx(2 * 2 * 2 + 2 * 2 * 2)  # three segments; 1 + 2 and 2 + 1
    assert path.strip() == "[0, 0, 0]"
