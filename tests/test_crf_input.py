"""What the layer cannot use: one line that names the argument, the item, the segment and the rule."""

import re

import pytest
import torch

from semiseg import LabelGrammar, PotentialsError, SemiCRF, SemisegError
from semiseg.kernels import Segments

GRAMMAR = """
period = 3
[labels.gene]
then = { gap = { phases = [0] } }
shortest = 3
last = false
[labels.gap]
then = ["gene"]
first = false
longest = 4
"""
WHOLE = [[(0, 3, "gene"), (3, 6, "gap")]]


def layer(**options):
    return SemiCRF(**{"labels": 3, "max_duration": 5, "hidden": 4, **options})


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (torch.tensor([[0, 1, 3, 0, 0, 0]]), r"labels in 0\.\.2 or -1 for unknown, got 3 at item 0, position 2"),
        (torch.tensor([[0, 1, -2, 0, 0, 0]]), "got -2 at item 0, position 2"),
        (torch.zeros(1, 7).long(), r"target: expected labels \(1, 6\), got \(1, 7\)"),
        (torch.zeros(1, 6), r"target: expected integer labels, got torch.float32"),
        ([[(0, 2, 0), (2, 6, 3)]], r"target: item 0, segment 1: expected a label in 0\.\.2, got 3"),
        ([[(0, 2, 0), (2, 6, "beat")]], "target: item 0, segment 1: expected a label of 0, 1, 2, got 'beat'"),
        ([[(0, 3, 0), (2, 6, 1)]], "target: item 0: segments 0 and 1 overlap, 2 to 3"),
        ([[(0, 2, 0), (4, 6, 1)]], "target: item 0: segments 0 and 1 leave a gap, 2 to 4"),
        ([[(1, 6, 0)]], "target: item 0, segment 0: expected to start at 0, got 1"),
        ([[(0, 5, 0)]], "target: item 0, segment 0: expected to end at 6, its length, got 5"),
        ([[(0, 7, 0)]], "target: item 0, segment 0: expected to end at 6, its length, got 7"),
        ([[(0, 3, 0), (3, 3, 1), (3, 6, 0)]], "target: item 0, segment 1: expected start < end, got 3 and 3"),
        ([[]], "target: item 0: expected segments from 0 to 6, got none"),
        ([[(0, 6, 0)], [(0, 6, 0)]], "target: expected segments of 1 items, got 2"),
        ([[(0, 6)]], r"target: item 0, segment 0: expected \(start, end, label\), got \(0, 6\)"),
        ([0], "target: item 0: expected a list of segments, got 0"),
        (None, "target: expected labels .* or a list of .* for each item, got NoneType"),
        ([[(0, 6, 0.5)]], r"target: item 0, segment 0: expected \(start, end, label\), got \(0, 6, 0.5\)"),
        ([[(0, 6.0, 1)]], r"target: item 0, segment 0: expected \(start, end, label\), got \(0, 6.0, 1\)"),
        (
            Segments(*(torch.zeros(n).long() for n in (1, 2, 1, 1))),
            r"of four equally long columns of integers, got \(1,\)",
        ),
        (
            Segments(*torch.tensor([[0.0, 0.0, 6.0, 1.0]]).T),
            "four equally long columns of integers, got .* torch.float32",
        ),
        (Segments(*torch.tensor([[0, 0, 6, 5]]).T), r"segment 0: expected a label in 0\.\.2, got 5"),
        (Segments(*torch.tensor([[1, 0, 6, 0]]).T), r"target: expected items 0\.\.0, got 1"),
        (Segments(*torch.tensor([[0, 3, 6, 0], [0, 0, 3, 1]]).T), "target: item 0, segment 0: expected to start at 0"),
        ([[(0, 3, 1), (3, 6, 1)]], r"item 0, segment 1, \(3, 6, '1'\): '1' may not follow '1'$"),
    ],
)
def test_targets(target, message):
    with pytest.raises(SemisegError, match=message):
        layer().loss(torch.zeros(1, 6, 4), target)


@pytest.mark.parametrize(
    ("target", "origin", "message"),
    [
        ([[(0, 2, 0), (2, 6, 1)]], 0, "'gene'.: 2 positions, but the shortest 'gene' has 3$"),
        ([[(0, 1, 0), (1, 6, 1)]], 2, "'gene'.: 1 positions, but the shortest 'gene' has 3$"),
        ([[(0, 6, 1)]], 0, "'gap'.: 6 positions, but the longest 'gap' has 4 by the grammar$"),
        ([[(0, 2, 1), (2, 6, 0)]], 0, "'gap'.: 'gap' may not open a sequence$"),
        ([[(0, 6, 0)]], 0, "'gene'.: 'gene' may not close a sequence$"),
        ([[(0, 4, 0), (4, 6, 1)]], 0, "'gap' may not follow 'gene' at 4, which is 1 modulo 3: only at 0$"),
        ([[(0, 3, 0), (3, 6, 1)]], 1, "'gap' may not follow 'gene' at 4, which is 1 modulo 3: only at 0$"),
    ],
)
def test_rules(target, origin, message):
    crf = layer(labels=None, grammar=LabelGrammar.parse(GRAMMAR), max_duration=10)
    crf.loss(torch.zeros(1, 6, 4), WHOLE)
    with pytest.raises(SemisegError, match=message):
        crf.loss(torch.zeros(1, 6, 4), target, origin=origin)


@pytest.mark.parametrize(
    ("target", "origin", "message"),
    [
        ([-1, 1, 1, 0, 1, -1], 0, "segment 2, (3, 4, 'gene'): 1 positions, but the shortest 'gene' has 3"),
        ([1, 1, -1, -1, 1, -1], 0, "segment 0, (0, 2, 'gap'): 'gap' may not open a sequence"),
        ([-1, -1, 1, 1, 0, 0], 0, "segment 2, (4, 6, 'gene'): 2 positions, but the shortest 'gene' has 3"),
        ([-1, -1, -1, 0, 0, 0], 0, "segment 1, (3, 6, 'gene'): 'gene' may not close a sequence"),
        ([-1, 1, 1, 1, 1, 1], 0, "segment 1, (1, 6, 'gap'): 5 positions, but the longest 'gap' has 4 by the grammar"),
        (
            [-1, -1, 0, 0, 1, 1],
            0,
            "segment 2, (4, 6, 'gap'): 'gap' may not follow 'gene' at 4, which is 1 modulo 3: only at 0",
        ),
        ([-1, -1, 0, 0, 1, 1], 2, None),
        ([-1, -1, 0, -1, 1, -1], 0, None),  # the gene may be longer
        ([(0, 2, 0), (2, 6, None)], 0, "segment 0, (0, 2, 'gene'): 2 positions, but the shortest 'gene' has 3"),
        (
            [(0, 1, None), (1, 6, 1)],
            0,
            "segment 1, (1, 6, 'gap'): 5 positions, but the longest 'gap' has 4 by the grammar",
        ),
        (
            [(0, 4, 0), (4, 5, 1), (5, 6, None)],
            0,
            "segment 1, (4, 5, 'gap'): 'gap' may not follow 'gene' at 4, which is 1 modulo 3: only at 0",
        ),
        ([(0, 3, None), (3, 6, 1)], 0, None),
    ],
)
def test_rules_that_the_known_part_breaks(target, origin, message):
    crf, hidden = layer(labels=None, grammar=LabelGrammar.parse(GRAMMAR), max_duration=10), torch.zeros(2, 6, 4)
    whole = isinstance(target[0], tuple)
    both = [[(0, 6, None)], target] if whole else torch.tensor([[-1] * 6, target])
    if message is None:
        assert bool(crf.loss(hidden, both, origin=origin).isfinite())
        return
    with pytest.raises(SemisegError, match=f"^{re.escape(f'target: item 1, {message}')}$"):
        crf.loss(hidden, both, origin=origin)


def test_runs_of_labels_that_may_follow_themselves():
    """A run may be several segments, each no longer than the longest."""
    crf, hidden = layer(repeats=True, tail=False), torch.zeros(1, 9, 4)
    assert bool(crf.loss(hidden, torch.tensor([[0] * 8 + [1]])).isfinite())
    crf = layer(labels=None, grammar=LabelGrammar.parse("[labels.a]\nthen = ['a']\n[labels.b]"))
    with pytest.raises(SemisegError, match=r"item 0, segment 1, \(2, 5, 'b'\): 'b' may not follow 'a'$"):
        crf.loss(hidden, torch.tensor([[0, 0, 1, 1, 1, -1, -1, 0, 0]]))


def test_partial_labels_that_nothing_fits():
    """What is known keeps to the rules, and nothing that may be unknown goes between."""
    crf = layer(labels=None, grammar=LabelGrammar.parse(GRAMMAR), max_duration=10)
    with pytest.raises(SemisegError, match="target: item 1: no segmentation that the rules allow agrees with it"):
        crf.loss(torch.zeros(2, 6, 4), [[(0, 6, None)], [(0, 3, 0), (3, 4, 1), (4, 6, None)]])


def test_segments_that_score_nothing_at_all():
    """Which the rules cannot tell: scores of a mask, say."""
    crf, hidden = layer(labels=["a", "b"], hidden=None), torch.zeros(2, 9, 2)
    hidden[1, 4, 1] = -torch.inf
    known = [(0, 3, "a"), (3, 6, "b"), (6, 9, "a")]
    assert bool(crf.loss(hidden[:1], [known]).isfinite())
    with pytest.raises(SemisegError, match=r"item 1, segment 1, \(3, 6, 'b'\): scores -inf, and the loss is infinite$"):
        crf.loss(hidden, [known, known])


def test_durations_over_the_longest():
    crf, hidden = layer(tail=False), torch.zeros(1, 20, 4)
    with pytest.raises(
        SemisegError, match=r"7 positions, but the longest '1' has 5: choose a larger max_duration, or tail"
    ):
        crf.loss(hidden, [[(0, 4, 0), (4, 11, 1), (11, 16, 2), (16, 20, 0)]])
    with pytest.raises(SemisegError, match=r"item 0, segment 0, \(0, 10, '0'\): 10 positions"):
        crf.loss(hidden, torch.arange(20)[None] // 10)
    assert bool(layer().loss(hidden, torch.arange(20)[None] // 10).isfinite())
    # cut by the ends of a sequence, segments may look shorter than they are
    crf = layer(labels=None, grammar=LabelGrammar.parse("[labels.a]\nshortest = 4\n[labels.b]"), edges="censored")
    assert bool(crf.loss(torch.zeros(1, 6, 4), [[(0, 1, 0), (1, 3, 1), (3, 6, 0)]]).isfinite())
    with pytest.raises(SemisegError, match=r"segment 1, .*: 2 positions, but the shortest 'a' has 4"):
        crf.loss(torch.zeros(1, 6, 4), [[(0, 1, 1), (1, 3, 0), (3, 6, 1)]])


@pytest.mark.parametrize(
    ("hidden", "lengths", "message"),
    [
        (torch.zeros(2, 6, 5), None, r"hidden: expected states \(B, T, 4\), got \(2, 6, 5\)"),
        (torch.zeros(6, 4), None, r"hidden: expected states \(B, T, 4\), got \(6, 4\)"),
        (torch.zeros(2, 0, 4), None, r"hidden: expected states \(B, T, 4\), got \(2, 0, 4\)"),
        (torch.zeros(2, 6, 4).long(), None, "hidden: expected a floating dtype, got torch.int64"),
        (torch.zeros(2, 6, 4), torch.tensor([6]), r"lengths: expected 2 integers, one an item, got \(1,\)"),
        (torch.zeros(2, 6, 4), torch.tensor([6.0, 5.0]), "lengths: expected 2 integers, one an item"),
        (torch.zeros(2, 6, 4).tolist(), None, r"hidden: expected a tensor \(B, T, 4\), got list"),
        (torch.zeros(2, 6, 4), "66", "lengths: expected 2 integers, one an item, got '66'"),
        (torch.zeros(2, 6, 4), [6, None], r"lengths: expected 2 integers, one an item, got \[6, None\]"),
        (torch.zeros(2, 6, 4), torch.tensor([6, 7]), r"lengths: expected 1\.\.6, got 7 for item 1"),
        (torch.zeros(2, 6, 4), torch.tensor([0, 6]), r"lengths: expected 1\.\.6, got 0 for item 0"),
    ],
)
def test_states(hidden, lengths, message):
    for call in (layer().decode, layer().marginals):
        with pytest.raises(SemisegError, match=message):
            call(hidden, lengths)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_what_the_encoder_gives_is_no_number(value):
    hidden = torch.zeros(2, 6, 4)
    hidden[1, 3, 2] = value
    with pytest.raises(SemisegError, match=f"hidden: expected finite states, got {value} at item 1, position 3"):
        layer().loss(hidden, torch.zeros(2, 6).long())
    layer().loss(hidden, torch.zeros(2, 6).long(), torch.tensor([6, 3]))  # behind an end it is padding


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": 0}, "labels: expected a number >= 1 or different names, got 0"),
        ({"labels": ["a", "a"]}, "labels: expected a number >= 1 or different names, got"),
        ({"labels": None}, "labels: expected a number >= 1 or different names, got None"),
        ({"durations": "weibull"}, "durations: expected one of lognormal, .*, got 'weibull'"),
        ({"durations": 3}, "durations: expected a family or a function of lengths, got int"),
        ({"durations": ["free", "gamma"]}, "durations: expected one value or 3, one a label, got 2"),
        ({"max_duration": [3, 4]}, "max_duration: expected one value or 3, one a label, got 2"),
        ({"max_duration": 1}, "max_duration: expected at least 2 for '0' with a tail, 1 with tail=False, got 1$"),
        ({"max_duration": [5, 0, 5], "tail": False}, "max_duration: expected at least 1 for '1', got 0$"),
        (
            {"labels": None, "grammar": LabelGrammar.parse(GRAMMAR), "max_duration": 3},
            "max_duration: expected at least 4 for 'gene' with a tail, 3 with tail=False, got 3$",
        ),
        ({"max_duration": 5.5}, "max_duration: expected integers, got 5.5"),
        ({"max_duration": [5, "9", 5]}, "max_duration: expected integers, got '9'"),
        ({"hidden": 0}, "hidden: expected a width >= 1, or None, got 0"),
        ({"focus": -1.0}, "focus: expected a number >= 0, got -1.0"),
        ({"penalty": float("nan")}, "penalty: expected a number >= 0, got nan"),
        ({"centring": "mean"}, "centring: expected None or 'per-sequence' or 'running', got 'mean'"),
        ({"edges": "open"}, "edges: expected 'exact' or 'censored', got 'open'"),
        ({"reduction": "token"}, "reduction: expected 'sequence' or .*, got 'token'"),
        ({"hidden": None, "boundaries": True}, "boundaries: expected hidden, the width of the states"),
        (
            {"edges": "censored", "transitions_by_duration": True},
            "edges: expected 'exact' with transitions_by_duration",
        ),
        ({"grammar": LabelGrammar.parse(GRAMMAR)}, "labels: expected those of the grammar, gene, gap, got 3"),
        (
            {"labels": None, "grammar": LabelGrammar.parse(GRAMMAR), "transitions_by_duration": True},
            "transitions_by_duration: expected a grammar without a period",
        ),
    ],
)
def test_layers(options, message):
    with pytest.raises(SemisegError, match=message):
        layer(**options)


def test_weights_that_are_no_numbers():
    """What a training that went wrong leaves."""
    for name in ("transitions", "projection.weight", "laws.0.mean"):
        crf = layer()
        with torch.no_grad():
            dict(crf.named_parameters())[name].fill_(torch.nan)
        with pytest.raises(PotentialsError, match="expected finite values or -inf, got nan at"):
            crf.loss(torch.ones(1, 6, 4), torch.zeros(1, 6).long())


@pytest.mark.parametrize("stored", [torch.zeros(3, dtype=torch.uint8), torch.tensor(list(b"[1]")), "x", None])
def test_a_checkpoint_of_something_else(stored):
    state = {**layer().state_dict(), "_extra_state": stored}
    with pytest.raises(SemisegError, match="checkpoint: what it says of its layer cannot be read"):
        layer().load_state_dict(state)


def test_a_checkpoint_of_another_grammar():
    text = '[labels.a]\nthen = ["b", "c"]\n[labels.b]\nthen = ["a"]\n[labels.c]\nthen = ["a", "b"]\n'
    others = {
        "what may follow what": text.replace('then = ["a"]\n', 'then = ["a", "c"]\n'),
        "what may open a sequence": text.replace("[labels.c]", "[labels.c]\nfirst = false"),
    }
    one = SemiCRF(grammar=LabelGrammar.parse(text), max_duration=5)
    for name, changed in others.items():
        other = SemiCRF(grammar=LabelGrammar.parse(changed), max_duration=5)
        with pytest.raises(SemisegError, match=f"checkpoint: its grammar is not this layer's: {name} differs"):
            one.load_state_dict(other.state_dict())
    one.load_state_dict(SemiCRF(grammar=LabelGrammar.parse(text), max_duration=5).state_dict())


def test_a_grammar_that_was_not_read():
    with pytest.raises(SemisegError, match="grammar: expected a LabelGrammar"):
        SemiCRF(grammar="[labels.a]")
