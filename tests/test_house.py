"""The layout: what is installed, who imports whom, and what a bare import loads."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import semiseg

ROOT = Path(__file__).resolve().parents[1]
LINKS = {"bench": "../tests/bench", "cli": "../cli", "kernels": "../kernels"}
FOLDERS = {"semiseg": ROOT / "semiseg"} | {f"semiseg.{name}": ROOT / link[3:] for name, link in LINKS.items()}
VAGUE_NAMES = {"utils", "util", "helpers", "common", "misc"}
TAKEN_NAMES = {"io", "types", "inspect", "triton", "numba", "click"}  # of modules that everyone imports


def modules() -> Iterator[tuple[str, Path]]:
    """Installed name and file of every module; the links in semiseg are not followed."""
    for package, folder in FOLDERS.items():
        for path in sorted(folder.rglob("*.py")):
            inside = path.relative_to(folder)
            if not any((folder / parent).is_symlink() for parent in inside.parents):
                yield ".".join([package, *inside.with_suffix("").parts]), path


def imports(name: str, path: Path) -> Iterator[tuple[str, bool]]:
    """Absolute name of everything that a module imports, anywhere in it, and whether it is written relatively."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, False) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = name.split(".")[: -node.level] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((f"{source}.{alias.name}", node.level > 0) for alias in node.names)


def run_python(code: str, folder: Path) -> str:
    """What a fresh interpreter prints; it runs outside the checkout, so only what is installed is found."""
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_packages_are_the_tree() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    assert sorted(listed) == sorted({name.rpartition(".")[0] for name, _ in modules()})


def test_links_are_relative() -> None:
    assert {name: os.readlink(ROOT / "semiseg" / name) for name in LINKS} == LINKS


def test_the_library_imports_no_command_line() -> None:
    found = [
        f"{path.relative_to(ROOT)} imports {target}"
        for name, path in modules()
        if not name.startswith(("semiseg.cli.", "semiseg.kernels."))
        for target, _ in imports(name, path)
        if re.match(r"(click|rich|semiseg\.cli)\b", target)
    ]
    assert found == []


def test_kernels_import_tensors_only() -> None:
    allowed = {*sys.stdlib_module_names, "torch", "numpy", "numba", "triton"}
    found = [
        f"{path.relative_to(ROOT)} imports {target}"
        for name, path in modules()
        if name.startswith("semiseg.kernels.")
        for target, relative in imports(name, path)
        if not (target.startswith("semiseg.kernels.") if relative else target.partition(".")[0] in allowed)
    ]
    assert found == []


def test_module_names_say_something_and_are_free() -> None:
    tests = [path.stem for path in (ROOT / "tests").rglob("*.py")]
    parts = [part for name, _ in modules() for part in name.split(".")]
    assert not VAGUE_NAMES & {*parts, *tests}
    assert not TAKEN_NAMES & {*parts, *tests}


def test_a_bare_import_is_light(tmp_path: Path) -> None:
    heavy = run_python(
        "import sys, semiseg; print(*{'torch', 'numba', 'numpy', 'click', 'rich'} & sys.modules.keys())", tmp_path
    )
    assert heavy == ""


def test_help_is_light(tmp_path: Path) -> None:
    heavy = run_python(
        "import sys\n"
        "from semiseg.cli import console, main\n"
        "sys.stdout = sys.stderr\n"
        "assert console.run(main.group, ['--help']) == 0\n"
        "assert console.run(main.group, ['demo', '--help']) == 0\n"
        "print(*{'torch', 'numba', 'numpy'} & sys.modules.keys(), file=sys.__stdout__)",
        tmp_path,
    )
    assert heavy == ""


@pytest.mark.parametrize("name", semiseg.__all__)
def test_public_names_load(name: str) -> None:
    assert getattr(semiseg, name) is not None
    assert name in dir(semiseg)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = semiseg.no_such_name


def test_make_targets_are_phony() -> None:
    text = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^([a-z][\w-]*):(?!=)", text, re.MULTILINE)
    phony = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    assert phony is not None
    assert sorted(phony[1].split()) == sorted(targets)
    assert {"run", "test", "lint", "bench"} <= set(targets)


@pytest.mark.parametrize("command", ["make run", "make test"])
def test_the_readme_gives_the_command(command: str) -> None:
    assert command in (ROOT / "README.md").read_text()
