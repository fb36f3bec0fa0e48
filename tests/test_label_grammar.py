"""Grammars from text: what they allow, what the layer makes of them, and what is wrong with a text."""

from itertools import pairwise

import pytest
import torch
from enumeration import enumerate_segmentations, from_potentials

from semiseg import LabelGrammar, SemiCRF, SemisegError

CODING = """
period = 3
[labels.outside]
then = { exon = { boundary = "start" } }
[labels.exon]
then = { outside = { boundary = "stop", phases = [0] }, intron = { boundary = "donor", phases = [1, 2] } }
shortest = 2
first = false
[labels.intron]
then = { exon = "acceptor" }
duration = 2
"""


def test_a_text_says_all():
    g = LabelGrammar.parse(CODING)
    assert g.labels == ("outside", "exon", "intron")
    assert g.allowed[0].tolist() == [[False, True, False], [True, False, False], [False, True, False]]
    assert g.allowed[1].tolist() == [[False, True, False], [False, False, True], [False, True, False]]
    assert g.boundaries == ("start", "stop", "donor", "acceptor")
    assert g.types.tolist() == [[-1, 0, -1], [1, -1, 2], [-1, 3, -1]]
    assert (g.shortest, g.longest) == ((1, 2, 2), (None, None, 2))
    assert g.first.tolist() == [True, False, True]


@pytest.mark.parametrize("origin", [0, 2])
def test_segmentations_keep_to_it(origin):
    """Every segmentation that the layer allows is one that the text allows, and the other way round."""
    crf = SemiCRF(grammar=LabelGrammar.parse(CODING), max_duration=3, hidden=4)
    with torch.no_grad():
        for x in crf.parameters():
            x += torch.randn_like(x)
        p = crf.potentials(torch.randn(1, 8, 4), origin=origin)
    assert [b.scores.shape[-1] for b in p.boundaries] == [4]
    paths = enumerate_segmentations(from_potentials(p)).paths

    def allowed(path):
        sizes = all(t - s == 2 if c == 2 else t - s >= (1, 2)[c] for s, t, c in path)
        changes = all(
            (a[2], b[2]) in ((0, 1), (2, 1))
            or ((a[2], b[2]) == (1, 0) and (b[0] + origin) % 3 == 0)
            or ((a[2], b[2]) == (1, 2) and (b[0] + origin) % 3)
            for a, b in pairwise(path)
        )
        return sizes and changes and path[0][2] != 1

    def tilings(start, last):
        yield from (
            [()]
            if start == 8
            else (
                ((start, end, c), *rest)
                for c in range(3)
                if c != last
                for end in range(start + 1, 9)
                for rest in tilings(end, c)
            )
        )

    assert sorted(paths) == sorted(path for path in tilings(0, None) if allowed(path))


def test_a_file(tmp_path):
    (tmp_path / "labels.toml").write_text(CODING)
    assert LabelGrammar.read(tmp_path / "labels.toml").labels == ("outside", "exon", "intron")
    (tmp_path / "bytes.toml").write_bytes(b"\xff")
    for name, message in (("none.toml", "cannot read: No such file"), ("bytes.toml", "not TOML"), (".", "cannot read")):
        with pytest.raises(SemisegError, match=message):
            LabelGrammar.read(tmp_path / name)


def test_a_label_alone():
    crf = SemiCRF(grammar=LabelGrammar.parse("[labels.all]"), hidden=2)
    assert crf.decode(torch.zeros(1, 500, 2)).per_item() == [[(0, 500, 0)]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("labels = [", "^grammar: not TOML"),
        ("", r"^grammar: labels: expected a table \[labels.NAME\] for each label, got none"),
        ("labels = 3", "labels: expected a table, got 3"),
        ("label = 3", "unknown 'label'; there are period, labels"),
        ("period = 0\n[labels.a]", "period: expected an integer >= 1, got 0"),
        (
            "[labels.a]\nshort = 3",
            "labels.a: unknown 'short'; there are then, first, last, shortest, longest, duration",
        ),
        ("[labels.a]\nthen = ['b']", "labels.a.then: expected any of a, got 'b'"),
        ("[labels.a]\nthen = 3", "labels.a.then: expected a list of labels or a table, got 3"),
        ("[labels.a]\nthen = { a = 3 }", "labels.a.then.a: expected a table, got 3"),
        ("[labels.a]\nthen = { a = { phases = [1] } }", r"labels.a.then.a.phases: expected integers in 0\.\.0, got 1"),
        (
            "[labels.a]\nthen = { a = { phases = [] } }",
            r"labels.a.then.a.phases: expected a list of integers, got \[\]",
        ),
        ("[labels.a]\nthen = { a = '' }", "labels.a.then.a.boundary: expected a name, got ''"),
        ("[labels.a]\nshortest = 0", "labels.a.shortest: expected an integer >= 1, got 0"),
        ("[labels.a]\nlongest = 2.5", r"labels.a.longest: expected an integer >= 1, got 2\.5"),
        ("[labels.a]\nshortest = 4\nlongest = 3", "labels.a: no length is possible: shortest is 4, longest 3"),
        ("[labels.a]\nduration = 4\nlongest = 3", "labels.a: expected duration, or shortest and longest, got both"),
        ("[labels.a]\nfirst = 1", "labels.a.first: expected true or false, got 1"),
        ("[labels.a]\nfirst = false", "no label may open a sequence"),
        ("[labels.a]\nlast = false", "no label may close a sequence"),
        (
            "[labels.a]\nthen = ['b']\n[labels.b]\nthen = ['a']\n[labels.c]\nfirst = false",
            "labels.c: unreachable: noth",
        ),
        ("[labels.a]\nthen = ['b']\n[labels.b]\nthen = []\nlast = false", "labels.b: no way out"),
        (
            (
                "period = 3\n[labels.a]\nduration = 3\nthen = { b = { phases = [0] } }\n"
                "[labels.b]\nfirst = false\nlast = false\nduration = 4\nthen = { a = { phases = [0] } }"
            ),
            "labels.b: impossible lengths: none of 4 leads from where it may start to where it may end, modulo 3",
        ),
        (
            (
                "period = 2\n[labels.a]\nduration = 2\nthen = { b = { phases = [0] } }\n"
                "[labels.b]\nfirst = false\nduration = 2\nthen = { c = { phases = [1] } }\n[labels.c]\nfirst = false"
            ),
            "labels.c: unreachable: nothing that may open a sequence leads to it with these lengths and phases",
        ),
    ],
)
def test_what_is_no_grammar(text, message):
    with pytest.raises(SemisegError, match=message):
        LabelGrammar.parse(text)
