PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: run test lint bench clean

run: $(READY)
	$(BIN)/semiseg decode example_data/genome.fa.gz | head -n 20

# pytest, not python -m pytest: that puts the root on the path, and `import kernels` then finds the folder.
test: $(READY)
	$(BIN)/pytest -n auto --dist worksteal $(PYTEST_ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/basedpyright tests/test_types.py

bench: $(READY)
	$(BIN)/semiseg bench --into tests/bench/results $(BENCH_ARGS)

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find cli semiseg kernels tests example_data -name __pycache__ -type d -prune -exec rm -rf {} +

# Without build isolation: setuptools too is the version in constraints.txt.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "semiseg needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt setuptools
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt --no-build-isolation -e '.[test,dev]'
	@touch $@
