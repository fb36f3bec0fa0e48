"""Training: what a step depends on, what a checkpoint brings back, and that it learns."""

import subprocess
import sys
from collections import Counter
from datetime import date
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from fresh import exit_code, start
from killed import train
from planted import planted, strip, tiny, write_files  # noqa: F401 - a fixture

from semiseg import __version__, bundled, corpus, finder, gene_trainer, recipe
from semiseg.decode import decode, see
from semiseg.errors import SemisegError
from semiseg.gene_model import GeneModel, config_of
from semiseg.gene_windows import draw
from semiseg.grammar import grammar
from semiseg.kernels import log_partition, viterbi
from semiseg.training import UNKNOWN, Loss, Recipe, Run, Schedule, Windows, batches, settle_seeds

RECIPE = Recipe(
    window=600, batch=2, steps=6, warm_up=2, rate=1e-2, dropout=0.1, mutate=0.5, composition=0.1, deterministic=True
)


@pytest.fixture(autouse=True)
def undetermined():
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def strips():
    return [strip()]


def fresh(config) -> GeneModel:
    settle_seeds(RECIPE)
    return GeneModel(config)


def test_labels_are_where_the_genes_are():
    contig, genes = planted(8000)
    problems = Counter()
    labelled, lengths = corpus.label(contig, genes, [(100, 150)], grammar(37), problems)
    assert not problems
    assert len(labelled.genes) == len(genes)
    assert bool((labelled.labels[100:150] == UNKNOWN).all())
    for gene in genes:
        stop = 3 if gene.strand == "+" else 0
        inside = labelled.labels[gene.exons[-1].start : gene.exons[-1].end - stop]
        assert len(set(inside.tolist())) == 1
        assert inside[0] > 0
    assert set(lengths) <= set(grammar(37).laws)
    assert len(lengths["intergenic"]) == len(genes) - 1


def test_what_is_left_out_is_counted_by_its_reason():
    assert corpus.reason("stop- at 70 is TAC, not TTA or CTA or TCA") == "no stop codon at its end"
    assert corpus.reason("in-frame stop codon at 7") == "in-frame stop codon"
    said = "the intron at donor+ 31 splits an in-frame stop codon"
    assert corpus.reason(said) == "the intron splits an in-frame stop codon"
    assert corpus.reason("an intron shorter than 20") == "an intron shorter than 20"


def test_a_step_is_drawn_by_its_number(tiny, strips):  # noqa: F811
    model = fresh(tiny)
    first, again, later, other = (
        draw(model.grammar, strips, RECIPE, step, rank) for step, rank in ((3, 0), (3, 0), (4, 0), (3, 1))
    )
    assert all(torch.equal(a, b) for a, b in zip(first[:4], again[:4], strict=True))
    assert not torch.equal(first.letters, later.letters)
    assert not torch.equal(first.letters, other.letters)
    assert {draw(model.grammar, strips, RECIPE, step).origin for step in range(20)} == {0, 1, 2}


def test_a_loader_gives_what_a_draw_gives(strips):
    for workers in (0, 2):
        windows = Windows(partial(draw, grammar(37), strips, RECIPE), RECIPE.steps)
        for step, batch in enumerate(batches(windows, 3, workers), start=3):
            assert all(
                torch.equal(a, b) for a, b in zip(batch[:4], draw(grammar(37), strips, RECIPE, step)[:4], strict=True)
            )
        assert step == RECIPE.steps - 1


def test_windows_carry_their_phase(tiny, strips):  # noqa: F811
    """The truth is possible under the masks of every window, and unlikely only by the model's ignorance."""
    model = fresh(tiny)
    for step in range(6):
        batch = draw(model.grammar, strips, RECIPE, step)
        here = torch.gather(batch.forbidden, 2, batch.labels.clamp(min=0)[..., None])
        assert not bool(here.any())
        assert 0 < float(Loss(model)(batch).detach()) < 1


def test_a_window_without_knowledge_costs_nothing(tiny, strips):  # noqa: F811
    batch = draw(fresh(tiny).grammar, strips, RECIPE, 0)
    assert (
        float(Loss(fresh(tiny))(batch._replace(labels=torch.full_like(batch.labels, UNKNOWN), path=None)).detach()) == 0
    )


def test_the_loss_is_that_of_the_path(tiny, strips):  # noqa: F811
    """Fully labelled, the known part has one segmentation: its log Z is its score."""
    model = fresh(tiny)
    batch = draw(model.grammar, strips, RECIPE, 1)
    p = model(batch.letters, batch.forbidden, batch.impossible, batch.origin)
    wrong = batch.labels[..., None] != torch.arange(p.emissions.shape[-1])
    known = p._replace(emissions=p.emissions.detach().masked_fill(wrong, -torch.inf))
    torch.testing.assert_close(viterbi(known).score, log_partition(known).detach(), atol=1e-2, rtol=0)
    both = (float(Loss(model)(batch._replace(path=path)).detach()) for path in (batch.path, None))
    assert next(both) == pytest.approx(next(both), abs=1e-9)


def test_low_precision_ends_with_the_encoder(tiny, strips):  # noqa: F811
    model, batch = fresh(tiny), draw(fresh(tiny).grammar, strips, RECIPE, 0)
    with torch.no_grad():
        seen = 10 * torch.randn(2, 2, 12, RECIPE.window)
        plain = model.potentials(seen, batch.forbidden, batch.impossible)
        with torch.autocast("cpu", torch.bfloat16):
            assert model.encoder.stem(torch.zeros(1, 5, 16)).dtype == torch.bfloat16
            low = model.potentials(seen, batch.forbidden, batch.impossible)
    assert low.emissions.dtype == torch.float32
    assert torch.equal(low.emissions, plain.emissions)
    assert torch.equal(low.boundaries[0].scores, plain.boundaries[0].scores)


def test_training_lowers_the_loss(tiny, strips):  # noqa: F811
    run = Run(fresh(tiny), RECIPE._replace(steps=20))
    losses = [run.advance(draw(run.model.grammar, strips, run.recipe, run.step)) for _ in range(20)]
    assert np.mean(losses[-4:]) < 0.6 * np.mean(losses[:4])


def test_a_killed_run_goes_on_bit_for_bit(tiny, strips, tmp_path):  # noqa: F811
    whole = Run(fresh(tiny), RECIPE)
    losses = [whole.advance(draw(whole.model.grammar, strips, RECIPE, whole.step)) for _ in range(6)]
    first = Run(fresh(tiny), RECIPE)
    for _ in range(3):
        first.advance(draw(first.model.grammar, strips, RECIPE, first.step))
    with first.averaged():
        first.keep()
    first.save(tmp_path / "checkpoint", {"best": 0.5, "since": 2})
    torch.manual_seed(99)
    second = Run(GeneModel(tiny), RECIPE)
    assert second.resume(tmp_path / "checkpoint") == {"best": 0.5, "since": 2}
    assert [second.advance(draw(second.model.grammar, strips, RECIPE, second.step)) for _ in range(3)] == losses[3:]
    for (name, a), (_, b) in zip(whole.tensors(), second.tensors(), strict=True):
        assert torch.equal(a, b), name
    assert second.best.keys() == first.best.keys() == first.model.state_dict().keys()
    assert all(torch.equal(x, first.best[name]) for name, x in second.best.items())


def test_a_checkpoint_of_another_recipe_is_refused(tiny, tmp_path):  # noqa: F811
    Run(fresh(tiny), RECIPE).save(tmp_path / "checkpoint", {})
    with pytest.raises(SemisegError, match="of another recipe, data or validation: delete it to begin anew"):
        Run(fresh(tiny), RECIPE._replace(rate=1.0)).resume(tmp_path / "checkpoint")


def test_the_average_stands_in_only_for_a_while(tiny, strips):  # noqa: F811
    run = Run(fresh(tiny), RECIPE)
    run.advance(draw(run.model.grammar, strips, RECIPE, 0))
    before = {name: x.detach().clone() for name, x in run.model.named_parameters()}
    with run.averaged():
        assert any(not torch.equal(x, before[name]) for name, x in run.model.named_parameters())
    assert all(torch.equal(x, before[name]) for name, x in run.model.named_parameters())


def test_calls_do_not_depend_on_windows(tiny):  # noqa: F811
    contig, _ = planted(3000)
    model = fresh(tiny).eval()
    with torch.no_grad():
        whole = see(model, contig.sequence[None], "cpu")
        for window in (16, 500, 1600):
            torch.testing.assert_close(see(model, contig.sequence[None], "cpu", window), whole, atol=1e-5, rtol=0)
    assert decode(model, "one", contig.sequence[:0]) == []


def test_from_files_to_a_model(tiny, tmp_path):  # noqa: F811
    one, two = planted(6000, 1, "one"), planted(4000, 2, "two")
    fasta, gff = write_files(tmp_path, one, two)
    plan = recipe.Plan(37, "tiny", training=RECIPE._replace(steps=4), schedule=Schedule(validate=2))
    said, seen = [], []
    output = tmp_path / "m.safetensors"

    def report(progress):
        seen.append(progress)
        assert not output.exists()  # before it is complete
        assert output.with_name("m.safetensors.checkpoint").exists() == (progress.step > 1)

    about = gene_trainer.from_files(fasta, gff, output, plan, ["two"], say=said.append, report=report)
    assert {path.name for path in tmp_path.iterdir()} == {fasta.name, gff.name, output.name}
    assert [p.step for p in seen] == [1, 2, 3, 4]
    assert [p.validated is not None for p in seen] == [False, True, False, True]
    assert set(about["validation"]) >= {"nucleotide", "exon", "gene"}
    assert any("genes to validate on" in line for line in said)
    kept = output.with_name("m.safetensors.checkpoint")
    kept.write_text("what another run kept")
    with pytest.raises(SemisegError, match=r"m\.safetensors\.checkpoint is there: --resume continues it, or delete it"):
        gene_trainer.from_files(fasta, gff, output, plan, ["two"])
    assert kept.read_text() == "what another run kept"
    with pytest.raises(SemisegError, match="not a semiseg model, or damaged: delete it to begin anew"):
        gene_trainer.from_files(fasta, gff, output, plan, ["two"], resume=True)
    assert max(p.validated["gene"] for p in seen if p.validated) == seen[-1].best == about["validation"]["gene"]
    assert "ece" not in about["validation"]
    found = finder.load(output)
    assert found.calibration is None
    assert found.model.config.labels == 37
    assert config_of(found.model.config.as_json()) == found.model.config
    made = found.about
    assert (made["genome"], made["annotation"], made["validated_on"]) == (fasta.name, gff.name, ["two"])
    assert made["sha256"] == {"genome": bundled.digest(fasta), "annotation": bundled.digest(gff)}
    assert (made["semiseg"], made["seed"], made["recipe"]["training"]) == (__version__, 0, plan.training._asdict())
    assert date.fromisoformat(made["date"]) <= date.today()


def test_figures_of_a_part_are_told_as_such(tiny, tmp_path):  # noqa: F811
    files = write_files(tmp_path, planted(6000, 1, "one"), planted(4000, 2, "two"))
    plan = recipe.Plan(37, "tiny", training=RECIPE._replace(steps=1), schedule=Schedule(bases=3000))
    said = []
    gene_trainer.from_files(*files, tmp_path / "m", plan, ["two"], say=said.append)
    assert (
        said[-1] == "F1 on the way is that of the first 3,000 of 4,000 bases to validate on; the model's is that of all"
    )


def test_two_processes_train_as_one(tmp_path):
    """Their mean gradient moves both alike; each draws windows of its own."""
    script = Path(__file__).with_name("ranks.py")
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29541", script]
    done = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    first, second = ((tmp_path / f"rank{r}.txt").read_text().split() for r in (0, 1))
    assert first[0] == second[0]  # weights
    assert first[1] != second[1]  # windows


def test_a_run_killed_outright_ends_with_the_same_model(tmp_path):
    codes = []
    for folder, kill in (("whole", 0), ("killed", 5), ("killed", 0)):
        (tmp_path / folder).mkdir(exist_ok=True)
        codes.append(exit_code(start(train, tmp_path / folder, kill)))
    assert codes == [0, -9, 0]
    assert [path.name for path in tmp_path.glob("*/*")] == ["m", "m"]  # no checkpoint is left
    assert (tmp_path / "whole" / "m").read_bytes() == (tmp_path / "killed" / "m").read_bytes()
