"""A gene finder from genome and annotation."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from . import bundled, calibration, finder
from .corpus import Corpus, covered, gather, laws
from .decode import decode
from .distributed import rank
from .errors import SemisegError
from .formats.places import check_file
from .gene_model import Config, GeneModel
from .gene_windows import Batch, draw
from .genes import Gene
from .grammar import Grammar, grammar
from .interruption import check_fresh
from .metrics import Scores, beliefs, score
from .provenance import provenance
from .recipe import Plan
from .reliability import measure
from .trainer import Progress, train
from .training import Recipe, settle_seeds


class Genes:
    """To find genes."""

    figure = "gene"

    def __init__(self, corpus: Corpus, rules: Grammar):
        self.corpus, self.grammar = corpus, rules

    def draw(self, recipe: Recipe, step: int, rank: int) -> Batch:
        """Return the windows of a step."""
        return draw(self.grammar, self.corpus.training, recipe, step, rank)

    def validate(self, model: GeneModel, device: torch.device | str, most: int) -> dict[str, float]:
        """Return F1 by level on the first bases of the validation sequences."""
        return figures(score(*called(model, self.corpus, device, most, posteriors=False)))

    def finish(
        self, output: Path, model: GeneModel, about: dict[str, Any], device: torch.device | str
    ) -> dict[str, Any]:
        """Calibrate the best model on all validation sequences, note its figures, and write it."""
        truth, calls = called(model, self.corpus, device)
        scores = score(truth, calls)
        belief, right = beliefs(truth, calls)
        known = figures(scores)
        if scores.reliability is not None:
            known["ece_uncalibrated"] = scores.reliability.ece
        fitted = None
        if len(belief) >= 2 * calibration.LEAST:  # enough to fit on one half and judge on the other
            fitted = calibration.fit(belief, right)
            known["ece"] = measure(calibration.across(belief, right), right, len(belief)).ece
        about = {**about, "validation": known}
        finder.save(output, finder.Finder(model, fitted, about))
        return about


def figures(scores: Scores) -> dict[str, float]:
    """Return F1 by level."""
    return {level: getattr(scores, level).f1 for level in ("nucleotide", "exon", "gene")}


def called(
    model: GeneModel, corpus: Corpus, device: torch.device | str, bases: int | None = None, posteriors: bool = True
) -> tuple[list[Gene], list[Gene]]:
    """Return true and called genes of the validation sequences, up to so many bases."""
    truth: list[Gene] = []
    calls: list[Gene] = []
    model.eval()
    for contig, genes in corpus.validation:
        n = len(contig.sequence) if bases is None else min(bases, len(contig.sequence))
        if n == 0:
            break
        calls += decode(model, contig.name, contig.sequence[:n], device, posteriors=posteriors)
        truth += [g for g in genes if g.exons[-1].end <= n]
        bases = None if bases is None else bases - n
    model.train()
    return truth, calls


def from_files(
    genome: Path,
    annotation: Path,
    output: Path,
    plan: Plan,
    validation: Sequence[str] = (),
    *,
    start: str | None = None,
    resume: bool = False,
    device: torch.device | str = "cpu",
    say: Callable[[str], None] = lambda text: None,
    report: Callable[[Progress], None] = lambda progress: None,
) -> dict[str, Any]:
    """Train on a genome and its annotation; `start` is a trained model, by name or file, to begin with."""
    first = rank() == 0
    if first:
        check_file(output, whole=True)
        check_fresh(output, resume)
    there = None if start is None else finder.load(bundled.find(start, "--from")).model
    rules = grammar(plan.labels)
    corpus = gather(genome, annotation, rules, validation)
    if first:
        for note in corpus.notes:
            say(note)
        genes, masked = covered(corpus.training)
        n, aside = sum(len(s.genes) for s in corpus.training), sum(len(genes) for _, genes in corpus.validation)
        say(f"{n} genes over {genes:.1%} of {len(corpus.training)} sequences to learn from, {masked:.1%} left out;"
            f" {aside} genes to validate on")  # fmt: skip
        total = sum(len(contig.sequence) for contig, _ in corpus.validation)
        if total > plan.schedule.bases:
            say(f"F1 on the way is that of the first {plan.schedule.bases:,} of {total:,} bases to validate on;"
                " the model's is that of all")  # fmt: skip
    settle_seeds(plan.training)
    begin = {name: law._replace(family=plan.family, shape={} if plan.family != "lognormal" else law.shape)
             for name, law in laws(corpus, rules, plan.longest).items()}  # fmt: skip
    model = GeneModel(Config(plan.labels, plan.shape, plan.soft_masking, begin, plan.backbone))
    if there is not None:
        take_over(model, there, f"--from {start}")
    about = {
        "validated_on": [contig.name for contig, _ in corpus.validation],
        "depth": corpus.depth.as_json(),
        **({} if start is None else {"begun_from": Path(start).name}),
        **provenance(plan, genome=genome, annotation=annotation),
    }
    return train(
        Genes(corpus, rules), model, plan.training, output, about,
        schedule=plan.schedule, device=device, resume=resume, report=report if first else lambda progress: None,
    )  # fmt: skip


def take_over(model: GeneModel, there: GeneModel, source: str) -> None:
    """Begin with what another model sees; how long segments are stays as this one's annotation has it."""
    for field in ("labels", "shape", "soft_masking", "backbone_hash"):
        own, other = getattr(model.config, field), getattr(there.config, field)
        if own != other:
            raise SemisegError(f"{source}: its {field} is {other!r}, the recipe's {own!r}; make them agree")
    model.encoder.load_state_dict(there.encoder.state_dict())
    model.change.data.copy_(there.change.data)
