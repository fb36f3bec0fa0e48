"""A model of signals from recordings and their labels."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from . import calibration, segmenter
from .distributed import rank
from .errors import SemisegError
from .formats.places import check_file
from .formats.segments import COLOURS
from .interruption import check_fresh
from .intervals import SIDES, Agreement, Segment, compare
from .kernels import viterbi
from .provenance import provenance
from .recipe import SignalPlan
from .reliability import measure
from .segmenter import Segmenter
from .signal_corpus import Corpus, gather, laws
from .signal_grammar import changes
from .signal_model import SignalConfig, SignalNet
from .signal_scoring import part_of
from .signal_stream import Wanted, segment
from .signal_windows import Batch, Lead, draw
from .signal_windows import stretch as stretch_of
from .signals import SignalModel, Strip
from .trainer import Progress, train
from .training import UNKNOWN, Recipe, settle_seeds

TOGETHER = 64  # recordings of one length that are decoded at once


class Signals:
    """To find segments of signals."""

    figure = "mean"

    def __init__(self, corpus: Corpus, plan: SignalPlan):
        """Make one; tolerances in seconds, or in samples where recordings have no rate."""
        self.corpus, self.plan, self.rate = corpus, plan, plan.rate or None

    def draw(self, recipe: Recipe, step: int, rank: int) -> Batch:
        """Return the windows of a step."""
        corpus = self.corpus
        return draw(corpus.training, self.rate, corpus.grammar.background, recipe, self.plan.augment, step, rank)

    def validate(self, model: SignalNet, device: torch.device | str, most: int) -> dict[str, float]:
        """Return the mean F1 of intervals and of ends within the tolerance."""
        found = self.judged(model, device)
        return {"interval": found[0], "end": found[1], "mean": (found[0] + found[1]) / 2}

    def judged(self, model: SignalNet, device: torch.device | str) -> tuple[float, float]:
        """Return F1 of intervals and of ends."""
        agreement = self.agreement(called(model, self.corpus, device))
        return figures(agreement)

    def agreement(self, calls: dict[str, list[Segment]]) -> Agreement:
        """Return how far calls and truth agree; recordings of one rate together."""
        rate = self.corpus.validation[0].rate or 1.0
        return compare(self.corpus.truth, calls, [self.plan.tolerance * rate], self.plan.near * rate)

    def finish(
        self, output: Path, model: SignalNet, about: dict[str, Any], device: torch.device | str
    ) -> dict[str, Any]:
        """Calibrate the posteriors of ends of the best model on what was set aside, and write it."""
        plain = Segmenter(model.eval(), self.plan.near, self.plan.least, {}, about)
        agreement = self.agreement({lead.name: decoded(plain, lead) for lead in self.corpus.validation})
        known = dict(zip(("interval", "end"), figures(agreement), strict=True))
        fitted, right, before, across = {}, [], [], []
        for name in self.corpus.grammar.names:
            for side, key in zip(SIDES, segmenter.SIDES, strict=True):
                judged = [j for j in agreement.judged if (j.name, j.side) == (name, side)]
                belief, true = np.array([j.posterior for j in judged]), np.array([j.right for j in judged])
                if len(belief) >= 2 * calibration.LEAST:
                    fitted[f"{name} {key}"] = calibration.fit(belief, true)
                    right.append(true)
                    before.append(belief)
                    across.append(calibration.across(belief, true))
        if fitted:
            truth = np.concatenate(right)
            for figure, beliefs in (("ece_uncalibrated", before), ("ece", across)):
                known[figure] = measure(np.concatenate(beliefs), truth, len(truth)).ece
        about = {**about, "validation": known}
        segmenter.save(output, plain._replace(calibration=fitted, about=about))
        return about


def figures(agreement: Agreement) -> tuple[float, float]:
    """Return F1 of intervals and of ends, both the mean over names."""
    levels = agreement.names.values()
    ends = [x.f1 for level in levels for x in level.ends.values()]
    return float(np.mean([level.interval.f1 for level in levels])), float(np.mean(ends))


@torch.no_grad()
def called(net: SignalNet, corpus: Corpus, device: torch.device | str) -> dict[str, list[Segment]]:
    """Return the likeliest segments of what is set aside, recordings of one length together."""
    net.eval()
    groups = defaultdict(list)
    for lead in corpus.validation:
        part, samples = part_of(strip_of(lead), lead.rate, net.config.rate)
        groups[part.length, samples].append((lead.name, part.read(0, part.length)[:, 0]))
    out: dict[str, list[Segment]] = {}
    names, n = net.config.names, len(net.config.names)
    for (_, samples), group in groups.items():
        for at in range(0, len(group), TOGETHER):
            some = group[at : at + TOGETHER]
            p = net(torch.from_numpy(np.stack([x for _, x in some])).to(device))
            item, start, end, label = (x.cpu().numpy() for x in viterbi(p).segments)
            for i, (name, _) in enumerate(some):
                of = (item == i) & (label < n)
                out[name] = [
                    Segment(round(s * samples), round(e * samples), names[c])
                    for s, e, c in zip(start[of], end[of], label[of], strict=True)
                ]
    net.train()
    return out


def decoded(model: Segmenter, lead: Lead) -> list[Segment]:
    """Return the segments of one channel as they are decoded, with the posteriors of their ends."""
    part, samples = part_of(strip_of(lead), lead.rate, model.net.config.rate)
    return [
        Segment(round(call.start * samples), round(call.end * samples), model.labels[call.label],
                call.certainty.start, call.certainty.end)
        for stretch in segment(cast(SignalModel, model), part, Wanted(model.asked))
        for call in stretch.calls
        if call.certainty is not None
    ]  # fmt: skip


def strip_of(lead: Lead) -> Strip:
    """Return a channel as one to be read."""
    return Strip(lead.name, len(lead.values), partial(stretch_of, lead.values[:, None]), len(lead.values))


def from_files(
    recordings: Path,
    labels: Path,
    output: Path,
    plan: SignalPlan,
    validation: Sequence[str] = (),
    *,
    rate: float | None = None,
    resume: bool = False,
    device: torch.device | str = "cpu",
    say: Callable[[str], None] = lambda text: None,
    report: Callable[[Progress], None] = lambda progress: None,
) -> dict[str, Any]:
    """Train on recordings and the BED of their labels; `rate` is that of recordings whose files say none."""
    first = rank() == 0
    if first:
        check_file(output, whole=True)
        check_fresh(output, resume)
    corpus = gather(recordings, labels, validation, rate)
    wanted = plan.rate or None
    if wanted is not None and any(lead.rate is None for lead in (*corpus.training, *corpus.validation)):
        raise SemisegError(f"{recordings}: no sampling rate is known: give --rate, or rate = 0 in the recipe")
    if first:
        for note in corpus.notes:
            say(note)
        counts = [sum(int((lead.rows[:, 2] != UNKNOWN).sum()) for lead in leads) for leads in corpus[1:3]]
        names = ", ".join(corpus.grammar.names)
        say(f"{names}: {counts[0]} in {len(corpus.training)} channels to learn from, "
            f"{counts[1]} in {len(corpus.validation)} to validate on")  # fmt: skip
    settle_seeds(plan.training)
    colours = tuple(plan.colours.get(x, COLOURS[i % len(COLOURS)]) for i, x in enumerate(corpus.grammar.names))
    config = SignalConfig(corpus.grammar.names, wanted, plan.shape, laws(corpus, wanted, plan.longest), colours)
    shares = changes(corpus.grammar, [known for lead in corpus.training for known in stretches(lead.rows)])
    model = SignalNet(config, torch.from_numpy(shares))
    about = {
        "validated_on": sorted({lead.record for lead in corpus.validation}),
        **provenance(plan, data=recordings, labels=labels),
    }
    task = Signals(corpus, plan)
    return train(
        task, model, plan.training, output, about,
        schedule=plan.schedule, device=device, resume=resume, report=report if first else lambda progress: None,
    )  # fmt: skip


def stretches(rows: NDArray) -> list[NDArray]:
    """Return the rows between those about which nothing is known."""
    return np.split(rows, np.flatnonzero(rows[:, 2] == UNKNOWN) + 1) if len(rows) else []
