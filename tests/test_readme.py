"""What the documentation shows runs: python blocks of the README as they are written, and examples of docstrings."""

import doctest
import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest

import semiseg

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
RECORDS = {"Boundary", "CalledSegment", "KBest", "Marginals", "Potentials", "Segments", "Viterbi"}


def sections() -> dict[str, list[str]]:
    """Headings, and the python blocks under each."""
    found = {}
    for part in re.split(r"^#+ ", README, flags=re.MULTILINE)[1:]:
        blocks = re.findall(r"^```python\n(.*?)^```", part, re.MULTILINE | re.DOTALL)
        if blocks:
            found[part.splitlines()[0]] = blocks
    return found


def examples() -> list[str]:
    """Modules whose docstrings have examples."""
    names = []
    for package, folder in (("semiseg", ROOT / "semiseg"), ("semiseg.kernels", ROOT / "kernels")):
        names += [f"{package}.{path.stem}" for path in sorted(folder.glob("*.py")) if ">>> " in path.read_text()]
    return names


@pytest.mark.parametrize("heading", sections())
def test_the_blocks_of_a_section_run_in_order(heading):
    seen: dict[str, object] = {}
    for number, block in enumerate(sections()[heading]):
        exec(compile(block, f"README.md, {heading}, block {number}", "exec"), seen)


def test_no_block_is_left_out():
    assert sum(map(len, sections().values())) == README.count("```python") >= 4


@pytest.mark.parametrize("module", examples())
def test_examples(module):
    found = doctest.testmod(import_module(module))
    assert found.attempted > 0
    assert found.failed == 0


@pytest.mark.parametrize("name", sorted({*semiseg.__all__} - RECORDS))
def test_public_functions_and_classes_have_examples(name):
    value = semiseg.LabelGrammar.parse if name == "LabelGrammar" else getattr(semiseg, name)
    if not (inspect.isclass(value) and issubclass(value, Exception)):
        assert ">>> " in (inspect.getdoc(value) or "")
