"""Hidden semi-Markov models: EM goes up, planted parameters are found, what is missing is summed over."""

from pathlib import Path

import numpy as np
import pytest
import torch
from planted_states import EMISSIONS, agreement, drawn, planted, source

from semiseg.durations import tabulate
from semiseg.emissions import family, guess
from semiseg.errors import SemisegError
from semiseg.hsmm import Hsmm, no_self
from semiseg.hsmm_data import Reader, grouped, stretches
from semiseg.hsmm_durations import LEAST, improve, likelihood, make, means, shares, shares_at_price
from semiseg.hsmm_em import Counts, expected, log_likelihood, passed
from semiseg.hsmm_fit import Progress, Settings, fit
from semiseg.hsmm_merge import cheapest, merged, united
from semiseg.kernels import log_partition, marginals, viterbi
from semiseg.kernels.cpu.chain import chain_counts, chain_log_partition
from semiseg.kernels.cpu.runs import places_of
from semiseg.kernels.cpu.threads import torch_threads
from semiseg.survey import look

LAWS = ("geometric", "free", "lognormal", "gamma", "negative-binomial", "poisson", "spline", "uniform")
SETTINGS = Settings((3,), restarts=2, trial=4, settle=4, passes=4)


def start(name: str, x: np.ndarray, law: str, states: int = 3, seed: int = 0) -> tuple[Hsmm, Reader, list]:
    """A model with parameters from random posteriors, and stretches that cut segments."""
    signals = source(x)
    kind = family(name, look([signals]), **({"order": 2} if name == "autoregressive" else {}))
    read, groups = Reader(kind.context), grouped(stretches([signals], 60), 10**9)
    values, _ = read(groups[0])
    generator = torch.Generator().manual_seed(seed)
    shape = len(values), values.shape[1] - kind.context, states
    weights = torch.rand(shape, dtype=torch.float64, generator=generator)
    weights /= weights.sum(-1, keepdim=True)
    laws = make(law, states, 9)
    laws.around(torch.linspace(3, 9, states, dtype=torch.float64))
    even = torch.full((states,), 1 / states, dtype=torch.float64)
    changes = no_self(torch.ones(states, states, dtype=torch.float64))
    return Hsmm(kind, laws, even, changes, kind.update(kind.statistics(values, weights), None)), read, groups


def test_with_censored_ends_the_partition_is_a_probability() -> None:
    model = planted("bernoulli")
    for n in (1, 5, 200):
        scores = model.potentials(torch.zeros(n, 3, dtype=torch.float64))
        assert float(log_partition(scores)) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("name", EMISSIONS)
def test_em_never_lowers_the_likelihood(name: str, law: str) -> None:
    if law != "free" and name not in ("bernoulli", "gaussian"):
        pytest.skip("laws and emissions have nothing to do with each other")
    x, _ = drawn(name, 240, mean=8)
    x[5:9, 0] = np.nan
    model, read, groups = start(name, x, law)
    counts, draw = Counts(), np.random.default_rng(0)
    seen = [passed(model, read, groups, draw, counts) * len(x) for _ in range(6)]
    assert seen[-1] > seen[0] + 0.1
    assert np.diff(seen).min() > -1e-8


def test_expected_counts_are_derivatives() -> None:
    x, _ = drawn("gaussian", 120, mean=8)
    model, read, groups = start("gaussian", x, "free")
    found = expected(model, read, groups[0])
    values, lengths = read(groups[0])
    scores = model.potentials(model.density(values))._replace(lengths=lengths)
    shift = torch.zeros_like(scores.transitions, requires_grad=True)
    log_partition(scores._replace(transitions=scores.transitions + shift)).sum().backward()
    assert shift.grad is not None
    off = ~torch.eye(3, dtype=torch.bool)
    assert torch.allclose(found.changes[off], shift.grad[off], atol=1e-8)
    assert float(found.first.sum()) == pytest.approx(len(lengths))


@pytest.mark.parametrize("states", [1, 2, 4])
def test_geometric_laws_are_a_chain(states: int) -> None:
    """Counts that cost less are those of the exact passes."""
    x, _ = drawn("gaussian", 130, mean=8)
    x[5:9, 0] = np.nan
    model, read, groups = start("gaussian", x, "geometric", states)
    found = expected(model, read, groups[0])
    values, lengths = read(groups[0])
    assert len(set(lengths.tolist())) > 1
    scores = model.potentials(model.density(values))._replace(lengths=lengths)
    exact = marginals(scores, want=("position", "transitions"))
    assert exact.position is not None
    assert exact.transitions is not None
    assert float(found.seen[0]) == pytest.approx(float(exact.log_partition.sum()), abs=1e-8)
    assert torch.allclose(found.changes, exact.transitions[:, 0].sum(0), atol=1e-8)
    assert torch.allclose(found.first, exact.position[:, 0].sum(0), atol=1e-8)
    want = model.family.statistics(values, exact.position)
    assert all(torch.allclose(found.emissions[name], v, atol=1e-8) for name, v in want.items())
    assert log_likelihood(model, read, groups) == pytest.approx(float(found.seen[0]))


@pytest.mark.parametrize(("room", "threads"), [(10**9, 1), (0, 2)])
def test_little_is_scored_on_one_thread(room: int, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """And much on all; afterwards there are as many as before."""
    x, _ = drawn("bernoulli", 130, mean=8)
    model, read, groups = start("bernoulli", x, "geometric")
    seen, density = [], model.family.density
    monkeypatch.setattr("semiseg.hsmm_em.FEW", room)
    monkeypatch.setattr(model.family, "density", lambda *a: (seen.append(torch.get_num_threads()), density(*a))[1])
    with torch_threads(2):
        expected(model, read, groups[0])
        assert torch.get_num_threads() == 2
    assert seen == [threads]


def test_runs_are_passed_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts are those of a walk position by position."""
    draw = np.random.default_rng(0)
    scores = np.log(draw.random((5, 4)) ** 20)
    places = [np.repeat(draw.integers(5, size=80), draw.integers(1, 300, size=80)).astype(np.int32) for _ in range(2)]
    places.append(np.zeros(1, np.int32))
    chain = draw.dirichlet(np.ones(4)), draw.dirichlet(np.ones(4), 4), scores
    found = chain_counts(*chain, places_of(places))
    assert chain_log_partition(*chain, places_of(places)) == found.log_partition
    monkeypatch.setattr("semiseg.kernels.cpu.runs.DEEPEST", 0)
    walked = chain_counts(*chain, places_of(places))
    assert all(np.allclose(a, b, rtol=1e-9) for a, b in zip(found, walked, strict=True))
    assert found.rows.sum() == pytest.approx(sum(map(len, places)))


def with_a_twin(model: Hsmm) -> Hsmm:
    """The same model of values, with its first state twice: one or the other is entered."""
    C = model.states
    of = torch.tensor([*range(C), 0])
    share = torch.where(of == 0, 0.5, 1.0).double()
    changes = model.changes[of][:, of] * share
    law = make("geometric", C + 1, 2)
    law.load_state_dict({name: x[..., of] for name, x in model.law.state_dict().items()})
    emissions = {name: x[of] for name, x in model.emissions.items()}
    return Hsmm(model.family, law, model.occupancy[of] * share, changes, emissions)


def test_twins_become_one() -> None:
    """What two states counted is what one counts: the model that is best for it is the one without the twin."""
    x, _ = drawn("bernoulli", 400, mean=8)
    model, read, groups = start("bernoulli", x, "geometric")
    for _ in range(3):
        model.improve(expected(model, read, groups[0]))
    twins = with_a_twin(model)
    assert log_likelihood(twins, read, groups) == pytest.approx(log_likelihood(model, read, groups))
    total = expected(twins, read, groups[0])
    assert (3, 0) in cheapest(total)
    found = united(twins, total, 3, 0).reordered(torch.tensor([2, 0, 1]))
    model.improve(expected(model, read, groups[0]))
    assert all(
        torch.allclose(a, b, atol=1e-6) for a, b in zip(found.state().values(), model.state().values(), strict=True)
    )


def test_states_to_spare_are_lost() -> None:
    x, true = drawn("bernoulli", 1500, seed=3)
    model, read, groups = start("bernoulli", x, "geometric", states=6)
    found, draw = model, np.random.default_rng(0)
    for states in (5, 4, 3):
        found = merged(found, read, groups, draw)
        assert found.states == states
    segments = viterbi(found.potentials(found.density(torch.from_numpy(x)[None])[0])).segments
    states = torch.repeat_interleave(segments.label, segments.end - segments.start).numpy()
    assert agreement(states, true) > 0.9


@pytest.mark.parametrize("law", LAWS)
def test_the_best_law_is_no_worse_than_those_around_it(law: str) -> None:
    """Counts of a law of which some segments began before the data: the mean must not be drawn to the long ones."""
    generator = torch.Generator().manual_seed(1)
    counts = torch.rand(10, 2, dtype=torch.float64, generator=generator) * 20
    counts[0] = 0
    steps, cut = torch.tensor([30.0, 5.0]).double(), torch.tensor([4.0, 9.0]).double()
    laws = make(law, 2, 9)
    if law == "geometric":  # explicit up to 2
        counts, steps = counts[:3], steps * 3
    laws.around(torch.tensor([4.0, 4.0], dtype=torch.float64))
    for _ in range(60):
        improve(laws, counts, steps, cut)
    best = likelihood(tabulate([laws]), counts, steps, cut).sum()
    slope = torch.autograd.grad(best, list(laws.parameters()))
    assert max(float(g.abs().max()) for g in slope) < 2e-2  # of 200 segments: no step further is worth it
    assert not torch.isnan(best)


def test_shares_are_the_best_within_their_bounds() -> None:
    counts = torch.tensor([[5.0, 3.0, 0.0, 2.0]], dtype=torch.float64)
    assert torch.allclose(shares(counts[:, [0, 1, 3]], 1e-3), counts[:, [0, 1, 3]] / 10)
    nothing = torch.tensor([[-1e-17, 0.0, 0.0]], dtype=torch.float64)  # what taking counts off again may leave
    assert torch.equal(shares(nothing, 1e-3), torch.full((1, 3), 1 / 3, dtype=torch.float64))
    price = torch.tensor([[1.0, 0.5, 2.0, 0.1]], dtype=torch.float64)
    found = shares_at_price(counts, LEAST, price)
    assert float(found.sum()) == pytest.approx(1)
    gain = (counts / found - price)[0, [0, 1, 3]]  # equal where the bound does not hold
    assert torch.allclose(gain, gain[0].expand(3), rtol=1e-6)


def test_a_mean_counts_the_tail() -> None:
    laws = make("geometric", 1, 2)
    laws.around(torch.tensor([37.0], dtype=torch.float64))
    assert float(means(tabulate([laws])).detach()) == pytest.approx(37)


@pytest.mark.parametrize("name", ["bernoulli", "gaussian", "negative-binomial", "zero-inflated"])
def test_missing_is_summed_over(name: str) -> None:
    """A channel that is unknown everywhere says nothing: the model without it gives the same likelihood."""
    x, _ = drawn(name, 150, mean=8)
    model, read, groups = start(name, x, "free")
    hidden = x.copy()
    hidden[:, 1] = np.nan
    found = log_likelihood(model, read, grouped(stretches([source(hidden)], 60), 10**9))
    keep = [d for d in range(x.shape[1]) if d != 1]
    fewer, read, groups = start(name, x[:, keep], "free")
    fewer.load({**model.state(), **{f"emissions.{k}": v[:, keep] for k, v in model.emissions.items()}})
    assert found == pytest.approx(log_likelihood(fewer, read, groups), rel=1e-9)


@pytest.mark.parametrize("name", EMISSIONS)
def test_planted_states_are_found(name: str) -> None:
    x, true = drawn(name, 1500, seed=3)
    options = {"order": 2} if name == "autoregressive" else {}
    found = fit([source(x)], name, SETTINGS._replace(restarts=4), options).model
    read = Reader(found.family.context)
    scores = found.potentials(found.density(read(grouped(stretches([source(x)], 10**9), 1)[0])[0])[0])
    segments = viterbi(scores).segments
    states = torch.repeat_interleave(segments.label, segments.end - segments.start).numpy()
    assert agreement(states, true) > 0.9


def test_what_ends_one_start_ends_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others are not waited for, and do not go on to their end."""
    monkeypatch.setattr("semiseg.hsmm_fit.EARLY", 1000)
    x, _ = drawn("bernoulli", 3000)
    seen = {}

    def report(progress: Progress) -> None:
        seen[progress.stage] = progress.done
        if progress.stage == "start 2" and progress.done == 2:
            raise BrokenPipeError

    with torch_threads(2), pytest.raises(BrokenPipeError):
        fit([source(x)], "bernoulli", SETTINGS, report=report)
    assert seen["start 2"] == 2
    assert seen["start 1"] < 900


@pytest.mark.parametrize("kind", ["bernoulli", "gaussian"])
def test_a_fit_has_the_same_bits_on_any_threads(kind: str) -> None:
    """Sums have one order, whoever adds them up."""
    x, _ = drawn(kind, 3000)
    found = []
    for threads in (1, 2):
        with torch_threads(threads):
            found.append(fit([source(x)], kind, SETTINGS).model.state())
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


def test_parameters_are_recovered() -> None:
    x, _ = drawn("gaussian", 4000, seed=1)
    found = fit([source(x)], "gaussian", SETTINGS._replace(durations="negative-binomial")).model
    want, got = planted("gaussian"), found.emissions
    order = ((got["mean"][:, None] - want.emissions["mean"]) ** 2).sum(-1).argmin(0)
    assert torch.allclose(got["mean"][order], want.emissions["mean"], atol=0.15)
    assert torch.allclose(got["variance"][order], want.emissions["variance"], rtol=0.2)
    assert torch.allclose(found.mean_durations(), want.mean_durations(), rtol=0.3)


@pytest.mark.parametrize("criterion", ["bic", "held-out"])
def test_the_number_of_states_is_found(criterion: str) -> None:
    x, _ = drawn("gaussian", 1500, seed=2)
    wanted = SETTINGS._replace(states=(1, 2, 3, 4), criterion=criterion)
    found = fit([source(x)], "auto", wanted)
    assert found.model.states == 3
    assert [states for states, _, _ in found.candidates] == [1, 2, 3, 4]


def test_a_fit_goes_on_with_the_same_bits(tmp_path: Path) -> None:
    x, _ = drawn("bernoulli", 900)
    file = tmp_path / "fit.checkpoint"
    wanted = SETTINGS._replace(states=(2, 3), tolerance=-1.0)
    whole = fit([source(x)], "auto", wanted).model.state()

    class Killed(Exception):
        pass

    for stage, states in (("start 2", 3), ("all data", 3)):

        def kill(progress, stage=stage, states=states) -> None:
            if progress.stage == stage and progress.states == states and progress.done == 2:
                raise Killed

        with pytest.raises(Killed):
            fit([source(x)], "auto", wanted, checkpoint=file, resume=True, report=kill)
        assert file.exists()
    again = fit([source(x)], "auto", wanted, checkpoint=file, resume=True).model.state()
    assert all(torch.equal(whole[name], again[name]) for name in whole)
    with pytest.raises(SemisegError, match="other options"):
        fit([source(x)], "auto", wanted._replace(seed=1), checkpoint=file, resume=True)


def test_groups_come_to_what_one_comes_to() -> None:
    """Incremental EM on many groups ends where EM on all of the data does."""
    x, _ = drawn("bernoulli", 600, mean=8)
    ends = []
    for size in (10**9, 100):
        model, read, _ = start("bernoulli", x, "free", seed=2)
        groups, counts, draw = grouped(stretches([source(x)], 60), size), Counts(), np.random.default_rng(0)
        for _ in range(60):
            passed(model, read, groups, draw, counts)
        ends.append(log_likelihood(model, read, groups))
    assert ends[0] == pytest.approx(ends[1], abs=0.5)


def test_the_family_is_guessed() -> None:
    for name, want in (
        ("bernoulli", "bernoulli"),
        ("negative-binomial", "negative-binomial"),
        ("gaussian", "gaussian"),
    ):
        assert guess(look([source(drawn(name, 50)[0])])) == want


@pytest.mark.parametrize(
    ("x", "name", "states", "message"),
    [
        (np.full((50, 2), np.nan), "auto", 2, "has no value at all"),
        (np.ones((50, 1)), "auto", 2, "is 1 everywhere"),
        (np.arange(4.0)[:, None], "gaussian", 9, "only 4 positions"),
        (np.array([[0.5], [1.0]]), "bernoulli", 1, "other than 0 and 1"),
        (np.array([[0.5], [1.0]]), "negative-binomial", 1, "no counts"),
        (np.array([[np.inf], [1.0]]), "gaussian", 1, "must be finite"),
        (np.arange(9.0)[:, None], "nonsense", 2, "expected auto or one of"),
    ],
)
def test_bad_input_is_one_line(x: np.ndarray, name: str, states: int, message: str) -> None:
    with pytest.raises(SemisegError, match=message) as caught:
        fit([source(x)], name, SETTINGS._replace(states=(states,)))
    assert "\n" not in str(caught.value)
