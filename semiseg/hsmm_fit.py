"""A hidden semi-Markov model fitted to signals without labels: starts, passes, and how many states.

Several starts make a few passes over a sample of the data, side by side, the worse half fewer, with geometric
durations: what states say tells them apart, and how long they last is better learnt once they are. Those for marks
begin with states to spare, of which pairs become one until there are as many as asked for (`hsmm_merge`). The likeliest
goes on there with the laws asked for, and then over all of the data until a pass gains little. Models with geometric
durations are chains, through which a CPU is before the data are on a GPU: only those with other laws go there. Where
best paths are to be cheap (`sharpen`), explicit laws come last: while states learn what they say, such laws draw them
to stretches so short that a path through them costs more than it explains. How many states there are is decided on the
sample, by BIC or by the likelihood of stretches that were set aside. Whatever is random is drawn by seed, number of
states and pass, so that a run which was killed goes on from its checkpoint with the same bits.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch

from .emissions import Family, family
from .emissions.bernoulli import Bernoulli
from .errors import SemisegError
from .hsmm import Hsmm
from .hsmm_checkpoint import Checkpoint, Standing
from .hsmm_data import Group, Reader, Stretch, grouped, stretches
from .hsmm_durations import make
from .hsmm_em import Counts, expected, log_likelihood, passed, sharpened
from .hsmm_merge import merged
from .hsmm_start import WIDTHS, begin
from .interruption import resumable
from .kernels.cpu.threads import pool, side_by_side
from .kernels.devices import start
from .signals import Source
from .survey import Survey, look

A = TypeVar("A")
R = TypeVar("R")
STRETCH = 1 << 14  # positions, where the data are more than a sample; items of a batch, one a thread
GROUP = {"cpu": 1 << 16, "cuda": 1 << 22}  # positions of a group: a GPU wants many at once
SMALL = 1 << 16  # positions: so few are all looked at in every pass
SAMPLE = {True: 1 << 18, False: 1 << 16}  # positions, for chains and for other laws, which take far longer,
ALONE = 4  # and so many times those for chains of one number of states: parts of a genome are not alike
PIECE = 1 << 12  # positions of a stretch of the sample
PIECES = 4  # in a group of it, or so many times those
BEGIN = 1 << 16  # positions of the sample that a start is made of
SPARE = 0.6  # states to spare, of those asked for: starts for marks have these, and lose them once half of them ended
EARLY = 3  # passes of a start before the worse half of them ends,
LATE = 2  # and so many times those of `trial` before the better ones do
HELD = 5  # one stretch of so many is set aside
CUT = 20  # stretches that short data are cut into, to set some aside
LAST = 3  # passes for explicit laws, where they come last,
SHARE = 3  # over one group of so many: there are few numbers to learn
PATIENCE = 2  # numbers of states without a better one before the search ends
CRITERIA = ("bic", "held-out")


class Settings(NamedTuple):
    """How a model is fitted."""

    states: tuple[int, ...]  # numbers to choose from, ascending
    durations: str = "lognormal"
    longest: int = 32  # explicit durations, in positions
    restarts: int = 4
    trial: int = 6  # passes over the sample of the better half of the starts
    settle: int = 24  # and of the best one, at most
    passes: int = 100  # over all data, at most
    tolerance: float = 1e-4  # nats a position that a pass must gain
    sharpen: int | None = None  # steps that make the best path cheaper; None: 2 for marks, 0 for other values
    criterion: str = "bic"
    seed: int = 0


class Progress(NamedTuple):
    """Where a fit stands."""

    states: int
    stage: str
    done: int  # passes
    most: int  # passes
    nats: float  # log likelihood of a position


class Fitted(NamedTuple):
    """A model, and what is known about it."""

    model: Hsmm
    survey: Survey
    nats: float  # log likelihood of a position, as the last pass saw it
    positions: int
    candidates: tuple[tuple[int, float, int], ...]  # numbers of states: score (less is better), free parameters


class Data(NamedTuple):
    """What is learnt from."""

    sample: list[Group]
    held: list[Group]  # set aside
    whole: list[Group]
    positions: int


def fit(
    sources: Sequence[Source],
    name: str,
    settings: Settings,
    options: dict[str, Any] | None = None,
    *,
    device: torch.device | str = "cpu",
    checkpoint: Path | None = None,
    resume: bool = False,
    report: Callable[[Progress], None] = lambda progress: None,
) -> Fitted:
    """Return the best model of sources; `name` is the family of emissions, `options` are its own."""
    if settings.criterion not in CRITERIA:
        raise SemisegError(f"--criterion: expected one of {', '.join(CRITERIA)}, got {settings.criterion!r}")
    device = torch.device(device)
    if settings.durations != "geometric":  # chains are a CPU's
        start(device)
    survey = look(sources)
    kind = family(name, survey, **(options or {}))
    durations = until_sharp(kind, settings)
    data = cut(sources, settings, durations == "geometric", device.type)
    file = Checkpoint(checkpoint, (name, options, settings._asdict(), survey.as_json()))
    standing = file.load() if resume else Standing()
    run = Run(kind, durations, device, data, settings, standing, file, report)
    with resumable(lambda: file.is_kept):
        if not standing.passes:
            run.choose()
        model, nats = run.finish()
    return Fitted(model, survey, nats, data.positions, tuple(standing.candidates))


def cut(sources: Sequence[Source], settings: Settings, is_chain: bool, device: str) -> Data:
    """Return the data in stretches: all of them, a sample, and what is set aside of it."""
    positions = sum(strip.length for source in sources for strip in source.strips)
    if max(settings.states) > positions:
        raise SemisegError(
            f"--states {max(settings.states)}: the data has only {positions} positions: ask for fewer states"
        )
    draw = np.random.default_rng([settings.seed, 0])
    small, size = positions <= SMALL, GROUP["cpu" if is_chain else device]
    whole = grouped(shuffled(stretches(sources, positions if small else STRETCH), draw), size)
    if small and settings.criterion == "bic":
        return Data(whole, [], whole, positions)
    pieces = shuffled(stretches(sources, -(-positions // CUT) if small else PIECE), draw)
    more = ALONE if is_chain and len(settings.states) == 1 else 1
    pieces = pieces[: -(-more * SAMPLE[is_chain] // PIECE)]
    held: list[Group] = []
    if settings.criterion == "held-out":
        n = max(1, len(pieces) // HELD)
        held, pieces = grouped(pieces[:n], size), pieces[n:]
    return Data(grouped(pieces, size if small else min(size, more * PIECES * PIECE)), held, whole, positions)


def shuffled(parts: list[Stretch], draw: np.random.Generator) -> list[Stretch]:
    """Return stretches in a drawn order."""
    return [parts[i] for i in draw.permutation(len(parts))]


def sharpening(kind: Family, settings: Settings) -> int:
    """Return how many steps make best paths cheaper."""
    return 2 * isinstance(kind, Bernoulli) if settings.sharpen is None else settings.sharpen


def until_sharp(kind: Family, settings: Settings) -> str:
    """Return the family of the laws until what states say is known."""
    return "geometric" if sharpening(kind, settings) else settings.durations


class Run:
    """A fit under way; `durations` are its laws until what states say is known."""

    def __init__(
        self, kind: Family, durations: str, device: torch.device, data: Data, settings: Settings, standing: Standing,
        file: Checkpoint, report: Callable[[Progress], None],
    ):  # fmt: skip
        self.kind, self.durations, self.device, self.data, self.settings = kind, durations, device, data, settings
        self.standing, self.file, self.report = standing, file, report
        self.here, self.there = Reader(kind.context), Reader(kind.context, device)
        self.read = self.here if durations == "geometric" else self.there
        self.stopped = False
        self.loading: list[Future[Any]] = []

    def choose(self) -> None:
        """Have a model of every number of states, and keep the best of them."""
        done = self.standing.candidates
        for states in self.settings.states:
            scores = [score for _, score, _ in done]
            if len(done) - int(np.argmin([*scores, np.inf])) > PATIENCE:
                break
            if any(states == tried for tried, _, _ in done):
                continue
            model = self.settled(states)
            score = self.score(model) if len(self.settings.states) > 1 else math.nan
            if not scores or score < min(scores):
                self.standing.states, self.standing.model = states, model.state()
            done.append((states, score, model.parameters()))
            self.file.save(self.standing)

    def settled(self, states: int) -> Hsmm:
        """Return the likeliest of several starts, after passes over the sample."""
        s = self.settings
        trials = self.together(lambda start: Trial(self, states, start), range(s.restarts if states > 1 else 1))
        if len(s.states) == 1:
            self.load_kernels(trials[0].model, states)
        for most in (EARLY, s.trial, LATE * s.trial):
            self.together(lambda trial: trial.go_on(most), trials)  # noqa: B023 - done before the next
            trials = sorted(trials, key=lambda trial: -trial.nats)[: -(-len(trials) // 2)]
            self.together(Trial.merge, trials)
        model = trials[0].model
        self.lasting(model, self.durations)
        counts = Counts()
        passes: list[float] = []  # the first may be below the trial's: the laws are new
        while len(passes) < s.settle and not gained_little(passes, s.tolerance):
            passes.append(passed(model, self.read, self.data.sample, self.draw(1, states, len(passes)), counts))
            self.report(Progress(states, "sample", len(passes), s.settle, passes[-1]))
        return model

    def together(self, work: Callable[[A], R], items: Sequence[A]) -> list[R]:
        """Return what work makes of items, by threads: starts know nothing of each other. What ends one ends all."""

        def one(item: A) -> R:
            with self.stopping():
                return work(item)

        with self.stopping():
            return side_by_side(one, items)

    @contextmanager
    def stopping(self) -> Iterator[None]:
        """Have other threads stop where this one does."""
        try:
            yield
        except BaseException:
            self.stopped = True
            raise

    def load_kernels(self, model: Hsmm, states: int) -> None:
        """Have a GPU do a last pass beside the first ones: nobody takes its counts, but others then go on at once.

        What fails here fails again there.
        """
        s = self.settings
        if self.device.type == "cpu" or self.durations == s.durations:
            return
        some = {name: x[:states] for name, x in model.emissions.items()}
        law = make(s.durations, states, s.longest)
        model = Hsmm(self.kind, law, model.occupancy[:states], model.changes[:states, :states], some)
        self.loading.append(pool(1, "start").submit(expected, model, self.there, self.last_groups()[0], False))

    def lasting(self, model: Hsmm, durations: str) -> None:
        """Give states laws of another family, of the means that they have."""
        means = model.mean_durations()
        model.law = make(durations, model.states, self.settings.longest)
        model.law.around(means)

    def score(self, model: Hsmm) -> float:
        """Return BIC on the sample, or minus the log likelihood of what was set aside: less is better."""
        if self.data.held:
            return -log_likelihood(model, self.read, self.data.held)
        positions = sum(part.last - part.first for group in self.data.sample for part in group)
        nats = log_likelihood(model, self.read, self.data.sample)
        return -2 * nats + model.parameters() * math.log(positions)

    def finish(self) -> tuple[Hsmm, float]:
        """Return the best model after passes over all data, and its log likelihood of a position."""
        s, now = self.settings, self.standing
        if self.data.sample is not self.data.whole:
            for reader in {self.here, self.read}:
                reader.forget()
        law = make(self.durations, now.states, s.longest)
        model = Hsmm(self.kind, law, now.model["occupancy"], now.model["changes"], {})
        model.load(now.model)
        while len(now.passes) < s.passes and not gained_little(now.passes, s.tolerance):
            draw = self.draw(3, len(now.passes))
            now.passes.append(passed(model, self.read, self.data.whole, draw, now.counts))
            now.model = model.state()
            self.file.save(now)
            self.report(Progress(now.states, "all data", len(now.passes), s.passes, now.passes[-1]))
        for _ in range(sharpening(self.kind, s)):
            sharpened(model, self.read, self.data.whole)
        if self.durations == s.durations:
            return model, now.passes[-1]
        return model, self.last(model)

    def last(self, model: Hsmm) -> float:
        """Learn the laws asked for, with what states say held; return the log likelihood of a position."""
        self.lasting(model, self.settings.durations)
        self.here.forget()
        groups = self.last_groups()
        counts, nats = Counts(), -math.inf
        wait(self.loading)
        for i in range(LAST):
            nats = passed(model, self.there, groups, self.draw(4, i), counts, emissions=False)
            self.report(Progress(model.states, "durations", i + 1, LAST, nats))
        return nats

    def last_groups(self) -> list[Group]:
        """Return what laws are learnt from that come last."""
        parts = [part for group in self.data.whole for part in group]
        return grouped(parts, GROUP[self.device.type])[::SHARE]

    def draw(self, *what: int) -> np.random.Generator:
        """Return a generator of its own for everything that is drawn."""
        return np.random.default_rng([self.settings.seed, *what])


class Trial:
    """One of several starts: its model, and the log likelihood of a position as it came to it last."""

    def __init__(self, run: Run, states: int, start: int):
        self.run, self.states, self.start, self.done = run, states, start, 0
        self.draw, self.counts, self.nats = run.draw(2, states, start), Counts(), -math.inf
        width = WIDTHS[start % len(WIDTHS)]
        spare = int(SPARE * states) if isinstance(run.kind, Bernoulli) else 0
        few = grouped([part for group in run.data.sample for part in group], BEGIN)[:1]
        self.model = begin(run.kind, "geometric", states + spare, 2, run.here, few, self.draw, width)

    def merge(self) -> None:
        """Lose the states to spare."""
        run = self.run
        while self.model.states > self.states and not run.stopped:
            self.model = merged(self.model, run.here, run.data.sample, self.draw)
            self.counts = Counts()

    def go_on(self, passes: int) -> None:
        """Make passes over the sample until there were so many."""
        run = self.run
        while self.done < passes and not run.stopped:
            self.nats = passed(self.model, run.here, run.data.sample, self.draw, self.counts)
            self.done += 1
            run.report(Progress(self.states, f"start {self.start + 1}", self.done, passes, self.nats))


def gained_little(passes: Sequence[float], tolerance: float) -> bool:
    """Whether the last pass gained less a position than it should."""
    return len(passes) > 1 and passes[-1] - passes[-2] < tolerance
