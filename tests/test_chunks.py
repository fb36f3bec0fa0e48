"""Cutting a sequence to pieces changes nothing: the same bits for Viterbi, 1e-5 for posteriors, on models that forget
quickly, slowly and never. What the report says is checked where it is known."""

import numpy as np
import pytest
import torch
from models import CHARACTERS as MODELS
from tolerances import CHUNKED

from semiseg import kernels

PARTS = (2, 7, 64, 1000)

CACHE: dict = {}


def model(name):
    """Return a model with its best path and posteriors in one piece."""
    if name not in CACHE:
        p = MODELS[name]()
        CACHE[name] = p, kernels.viterbi(p, chunks=1, threads=1), kernels.marginals(p, chunks=1, threads=1)
    return CACHE[name]


@pytest.mark.parametrize("chunks", PARTS)
@pytest.mark.parametrize("name", MODELS)
def test_viterbi_is_the_same_bit_for_bit(name, chunks):
    p, whole, _ = model(name)
    for threads in (1, 2):
        got = kernels.viterbi(p, chunks=chunks, threads=threads)
        assert got.score.item() == whole.score.item()
        for mine, want in zip(got.segments, whole.segments, strict=True):
            assert torch.equal(mine, want)
        assert got.report.chunks == chunks
        assert got.report.gap == 0


@pytest.mark.parametrize("chunks", PARTS)
@pytest.mark.parametrize("name", MODELS)
def test_posteriors_agree(name, chunks):
    p, _, whole = model(name)
    got = kernels.marginals(p, chunks=chunks, threads=2)
    T = len(p.emissions)
    assert got.log_partition.item() == pytest.approx(whole.log_partition.item(), abs=1e-5, rel=1e-10)
    for field in ("start", "end", "position"):
        np.testing.assert_allclose(getattr(got, field), getattr(whole, field), atol=CHUNKED, err_msg=field)
    assert got.report.certificate <= 1e-6
    assert got.report.closing <= CHUNKED
    # what sequential scans would compute, both ways: three eager rounds, then one chunk after the other
    assert got.report.repaired <= 2 * 4 * T


def test_reports_of_models_that_forget_at_once():
    p, *_ = model("informative")
    for run in (kernels.viterbi, kernels.marginals):
        report = run(p, chunks=7, threads=2).report
        assert (report.chunks, report.rounds, report.repaired) == (7, 0, 0)


def test_reports_of_a_model_that_never_forgets():
    """Phases of a forced cycle cannot meet: three rounds settle a chunk each, the fourth scans through the rest."""
    p, *_ = model("forced cycle")
    report = kernels.viterbi(p, chunks=7, threads=2).report
    assert report.rounds == 4
    part = len(p.emissions) / 7
    assert report.repaired == pytest.approx(part * (6 + 5 + 4 + 3), rel=0.01)


def test_a_warm_up_that_is_too_short_is_repaired():
    p, whole, _ = model("informative")
    got = kernels.viterbi(p, chunks=7, threads=2, warm_up=1)
    assert got.report.rounds >= 1
    assert 0 < got.report.repaired < len(p.emissions)  # chunks join what they had computed as soon as states agree
    assert torch.equal(got.segments.start, whole.segments.start)
    assert got.score.item() == whole.score.item()


def test_one_segment_spans_five_chunks_through_its_tail():
    p, whole, _ = model("one long segment")
    lengths = whole.segments.end - whole.segments.start
    assert lengths.max() > 5 * len(p.emissions) / 7
    assert lengths.max() > 100 * (p.durations.shape[0] - 1)
