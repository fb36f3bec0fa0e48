"""What a model of signals learns, and how it is judged and calibrated on what it has not seen."""

from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from . import calibration, segmenter
from .formats.segments import COLOURS
from .intervals import SIDES, Agreement, Calls, Segment, compare
from .kernels import viterbi
from .kernels.cpu.threads import side_by_side
from .recipe import SignalPlan
from .reliability import measure
from .segmenter import Segmenter
from .signal_corpus import Corpus, laws
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
        return self.judged(called(model, self.corpus, device))

    def judged(self, calls: Calls) -> dict[str, float]:
        """Return the mean F1 of intervals and of ends, and the mean of both."""
        interval, end = figures(self.agreement(calls))
        return {"interval": interval, "end": end, "mean": (interval + end) / 2}

    def agreement(self, calls: Calls) -> Agreement:
        """Return how far calls and truth agree; recordings of one rate together."""
        rate = self.corpus.validation[0].rate or 1.0
        return compare(self.corpus.truth, calls, [self.plan.tolerance * rate], self.plan.near * rate)

    def plain(self, model: SignalNet, about: dict[str, Any]) -> Segmenter:
        """Return a model without calibration."""
        return Segmenter(model.eval(), self.plan.near, self.plan.least, {}, about)

    def calls(self, model: Segmenter) -> Calls:
        """Return what a model calls of what was set aside."""
        leads = self.corpus.validation
        found = side_by_side(partial(decoded, model), leads)
        return {lead.name: calls for lead, calls in zip(leads, found, strict=True)}

    def finish(
        self, output: Path, model: SignalNet, about: dict[str, Any], device: torch.device | str
    ) -> dict[str, Any]:
        """Calibrate the posteriors of ends of the best model on what was set aside, and write it."""
        plain = self.plain(model, about)
        agreement = self.agreement(self.calls(plain))
        known = dict(zip(("interval", "end"), figures(agreement), strict=True))
        maps, errors = calibrated(agreement)
        about = {**about, "validation": known | errors}
        segmenter.save(output, plain._replace(calibration=maps, about=about))
        return about


def calibrated(agreement: Agreement) -> tuple[dict[str, calibration.Calibration], dict[str, float]]:
    """Return maps of posteriors of ends by name and side, and errors without them and with those of the other half."""
    maps, right, before, across = {}, [], [], []
    for name in agreement.names:
        for side, key in zip(SIDES, segmenter.SIDES, strict=True):
            judged = [j for j in agreement.judged if (j.name, j.side) == (name, side)]
            belief, true = np.array([j.posterior for j in judged]), np.array([j.right for j in judged])
            if len(belief) >= 2 * calibration.LEAST:
                maps[f"{name} {key}"] = calibration.fit(belief, true)
                right.append(true)
                before.append(belief)
                across.append(calibration.across(belief, true))
    if not maps:
        return {}, {}
    truth = np.concatenate(right)
    errors = {name: measure(np.concatenate(beliefs), truth, len(truth)).ece
              for name, beliefs in (("ece_uncalibrated", before), ("ece", across))}  # fmt: skip
    return maps, errors


def figures(agreement: Agreement) -> tuple[float, float]:
    """Return F1 of intervals and of ends, both the mean over names."""
    levels = agreement.names.values()
    ends = [x.f1 for level in levels for x in level.ends.values()]
    return float(np.mean([level.interval.f1 for level in levels])), float(np.mean(ends))


@torch.no_grad()
def called(net: SignalNet, corpus: Corpus, device: torch.device | str) -> Calls:
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
    part, ratio = part_of(strip_of(lead), lead.rate, model.net.config.rate)
    samples = float(ratio)
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


def learnt(
    task: Signals,
    output: Path,
    about: dict[str, Any],
    *,
    device: torch.device | str,
    resume: bool,
    report: Callable[[Progress], None],
) -> dict[str, Any]:
    """Train a new model for a task, write it, and return what is known about it."""
    corpus, plan = task.corpus, task.plan
    settle_seeds(plan.training)
    names = corpus.grammar.names
    colours = tuple(plan.colours.get(x, COLOURS[i % len(COLOURS)]) for i, x in enumerate(names))
    config = SignalConfig(names, task.rate, plan.shape, laws(corpus, task.rate, plan.longest), colours)
    shares = changes(corpus.grammar, [known for lead in corpus.training for known in stretches(lead.rows)])
    model = SignalNet(config, torch.from_numpy(shares))
    about = {**about, "validated_on": corpus.aside}
    return train(
        task, model, plan.training, output, about,
        schedule=plan.schedule, device=device, resume=resume, report=report,
    )  # fmt: skip


def stretches(rows: NDArray) -> list[NDArray]:
    """Return the rows between those about which nothing is known."""
    return np.split(rows, np.flatnonzero(rows[:, 2] == UNKNOWN) + 1) if len(rows) else []
