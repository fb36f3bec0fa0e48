"""Constrained models against the enumeration of the plain model, filtered segmentation by segmentation."""

import numpy as np
import pytest
import torch
from enumeration import enumerate_segmentations, from_potentials
from test_crf import LAYERS, layer, states
from tolerances import EXACT

from semiseg import Constraints, SemisegError, constrained, kernels

T, B = 6, 2
LENGTHS = torch.tensor([6, 5])


def holds(rule, path) -> bool:
    """Whether a segmentation keeps to a rule, from what the rule says."""
    kind, start, end, labels = rule
    chosen = {0, 1, 2} if labels is None else {labels} if isinstance(labels, int) else set(labels)
    covering = {c for s, t, c in path if s < end and t > start}
    begun = any(start <= s < end for s, _, _ in path[1:])
    there = any((s, t) == (start, end) and c in chosen for s, t, c in path)
    return {
        "label": covering <= chosen,
        "no_label": not covering & chosen,
        "boundary": begun,
        "no_boundary": not begun,
        "segment": there,
        "no_segment": not there,
    }[kind]


def drawn(seed: int) -> Constraints:
    """Return up to four rules of any kind; ranges of boundaries overlap, lie inside each other, or are apart."""
    rng = np.random.default_rng(seed)
    out = Constraints()
    for _ in range(rng.integers(1, 5)):
        kind = str(rng.choice(["label", "no_label", "boundary", "boundary", "no_boundary", "segment", "no_segment"]))
        start, end = sorted(rng.choice(np.arange(int(kind.endswith("boundary")), 6), 2, replace=False).tolist())
        labels = [None, 1, [0, 2]][rng.integers(3)]
        if kind == "label":
            out = out.label(start, end, labels or [0, 1])
        elif kind == "no_label":
            out = out.no_label(start, min(end, start + 2), labels or 0)
        elif kind in ("boundary", "no_boundary"):
            out = getattr(out, kind)(start, end)
        else:
            out = getattr(out, kind)(start, end, labels)
    return out


RULES = {
    "a boundary": Constraints().boundary(2),
    "all boundaries": Constraints().boundary(1).boundary(2).boundary(3).boundary(4),
    "one of a range": Constraints().boundary(2, 5),
    "ranges that overlap": Constraints().boundary(1, 3).boundary(2, 4).boundary(3, 5),
    "a range inside another": Constraints().boundary(1, 5).boundary(2, 3).boundary(1, 3),
    "two segments": Constraints().segment(0, 2, 1).segment(3, 5),
    "no such segments": Constraints().no_segment(0, 2).no_segment(2, 5, 1).no_segment(2, 4, 1).no_segment(1, 2, [0, 2]),
    "none that is all": Constraints().no_segment(0, 5),
    "both": Constraints().boundary(2, 4).no_segment(0, 2, [0, 1]).no_segment(3, 5).no_boundary(1, 2),
    **{f"drawn {seed}": drawn(seed) for seed in range(8)},
}


@pytest.mark.parametrize("name", ["repeats", "censored", "grammar", "chain", "by duration"])
def test_what_is_left_is_what_keeps_to_the_rules(name):
    crf, hidden = layer({**LAYERS[name], "labels": None if name == "grammar" else 3}), states(B)
    p = crf.potentials(hidden, LENGTHS)
    every = [enumerate_segmentations(from_potentials(p, item)) for item in range(B)]
    left = 0
    for constraints in RULES.values():
        # one item is constrained, the other is not: its labels are copied and nothing else changes
        fits = [all(holds(rule, path) for rule in constraints.rules) for path in every[1].paths]
        both = [None, constraints]
        if not any(fits):
            with pytest.raises(SemisegError, match="constraints: item 1: no segmentation that the model allows keeps"):
                crf.decode(hidden, LENGTHS, constraints=both)
            continue
        left += 1
        kept = [path for path, fit in zip(every[1].paths, fits, strict=True) if fit]
        scores = torch.from_numpy(every[1].scores[fits])
        model = constrained(p, both, crf.names)
        z = kernels.log_partition(model.potentials)
        assert float(z[0].detach()) == pytest.approx(every[0].log_partition, abs=EXACT * 10)
        assert float(z[1].detach()) == pytest.approx(float(scores.logsumexp(0)), abs=EXACT * 10)
        best = crf.decode(hidden, LENGTHS, constraints=both)
        # where a label may follow itself, its segments may change places
        likely = {path for path, x in zip(kept, scores, strict=True) if x > scores.max() - 1e-3}
        assert tuple(best.per_item()[1]) in likely
        assert float(best.score[1]) == pytest.approx(float(scores.max()), abs=1e-3)
        own = best.segments.item == 1
        assert float(best.segment_score[own].sum()) == pytest.approx(float(scores.max()), abs=1e-3)
        shares = scores.softmax(0)
        for segment, found in zip(best.per_item()[1], best.calls.segment[own].tolist(), strict=True):
            want = sum(float(x) for path, x in zip(kept, shares, strict=True) if segment in path)
            assert found == pytest.approx(want, abs=1e-5)
        post = crf.marginals(hidden, LENGTHS, constraints=both)
        start, position = torch.zeros(T + 1, 3).double(), torch.zeros(T, 3).double()
        for path, share in zip(kept, shares, strict=True):
            for s, t, c in path:
                start[s, c] += share
                position[s:t, c] += share
        torch.testing.assert_close(post.position[1].double(), position, rtol=0, atol=1e-5)
        torch.testing.assert_close(post.start[1, 1:].double(), start[1:], rtol=0, atol=1e-5)
        entropy = float(-(shares * shares.clamp(min=1e-300).log()).sum())
        assert float(post.entropy[1]) == pytest.approx(entropy, abs=1e-6)
        top = kernels.k_best(model.potentials, 2)
        order = scores.sort(descending=True).values[:2]
        assert top.score[1, : len(order)].tolist() == pytest.approx(order.tolist(), abs=1e-3)
    assert left >= 5


def test_samples_keep_to_the_rules():
    crf, hidden = layer(LAYERS["repeats"]), states(1)
    rules = Constraints().boundary(2, 4).segment(4, 6, 1).no_segment(0, 2)
    model = constrained(crf.potentials(hidden), rules)
    for found in kernels.sample(model.potentials, 30):
        path = list(zip(found.start.tolist(), found.end.tolist(), model.label[found.label].tolist(), strict=True))
        assert all(holds(rule, path) for rule in rules.rules)


def test_a_long_sequence_in_chunks():
    """Forced and forbidden boundaries where seams are; the path around them is as without constraints."""
    crf, hidden = layer(max_duration=50), states(1, 6_000)
    plain = crf.decode(hidden)
    s, t, c = plain.per_item()[0][100]
    same = crf.decode(hidden, constraints=Constraints().segment(s, t, c))
    assert same.per_item() == plain.per_item()
    other = crf.decode(hidden, constraints=Constraints().no_segment(s, t, c).boundary(3_000))
    path = other.per_item()[0]
    assert (s, t, c) not in path
    assert any(begin == 3_000 for begin, _, _ in path)
    assert set(plain.per_item()[0][150:200]) <= set(path)


@pytest.mark.parametrize(
    ("constraints", "message"),
    [
        (Constraints().label(0, 7, 1), "item 0, rule 0, label: expected 0 <= start < end <= 6, positions of the item,"),
        (Constraints().label(3, 3, 1), "expected 0 <= start < end <= 6, positions of the item, got 3 and 3"),
        (Constraints().boundary(0), "rule 0, boundary: expected 1 <= start < end <= 6, boundaries inside the item"),
        (Constraints().boundary(1).no_boundary(4, 7), "rule 1, no_boundary: expected 1 <= start < end <= 6"),
        (Constraints().label(0, 2.5, 1), "rule 0, label: expected integers, got 0 and 2.5"),
        (Constraints().segment(0, 2, 3), "rule 0, segment: expected labels of 0, 1, 2, got 3"),
        (Constraints().no_label(0, 2, ["1", "beat"]), "rule 0, no_label: expected labels of 0, 1, 2, got 'beat'"),
        ([Constraints()], "constraints: expected those of 2 items, got 1"),
        ([None, (0, 1)], "constraints: item 1: expected Constraints, got tuple"),
    ],
)
def test_what_makes_no_sense(constraints, message):
    with pytest.raises(SemisegError, match=message):
        layer().decode(states(2), constraints=constraints)
