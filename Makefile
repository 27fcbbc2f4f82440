# A fresh machine needs Python 3.11, gcc, git and make. `make help` lists the targets.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.lexorder-installed

# Installed on its own, without its dependencies: they name cvxpy-base, which would overwrite
# the files of the cvxpy that is already there. Everything else it needs is in the lock.
SKFOLIO := skfolio==1.12.2

# Every script in benchmarks/ that can be run on its own.
BENCHMARKS := $(basename $(notdir $(shell grep -ls '^if __name__ == "__main__"' benchmarks/*.py)))

WORKERS ?= auto
PYTEST_ARGS ?=
LOCK_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint format bench lock lowest clean

help:
	@echo 'make setup   create $(VENV)/ with everything pinned in requirements.lock'
	@echo 'make demo    a guided tour of lexorder'
	@echo 'make test    run the tests (PYTEST_ARGS="-m slow" for the long ones)'
	@echo 'make lint    style, format and types'
	@echo 'make format  put the code into the agreed format'
	@echo 'make bench   measure lexorder and its peers'
	@echo 'make lock    pin anew (LOCK_ARGS=--upgrade for the newest versions)'
	@echo 'make lowest  run the tests on the oldest versions that pyproject.toml allows'
	@echo 'make clean   remove $(VENV)/ and all that was built'

setup: $(STAMP)

$(STAMP): pyproject.toml requirements.lock Makefile
	@command -v $(PYTHON) >/dev/null || { \
		echo 'lexorder: `$(PYTHON)` is not installed; install Python 3.11,' \
			'or name it: make setup PYTHON=/path/to/python3.11' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { \
		echo 'lexorder: `$(PYTHON)` is' "$$($(PYTHON) --version 2>&1)," \
			'but requirements.lock is for Python 3.11' >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { \
		echo 'lexorder: could not create $(VENV)/;' \
			'on Debian and Ubuntu install python3.11-venv first' >&2; \
		rm -rf $(VENV); exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps $(SKFOLIO)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps \
		--no-build-isolation --editable .
	@touch $@

demo: setup
	$(BIN)/lexorder demo

test: setup
	$(BIN)/python -m pytest -n $(WORKERS) $(PYTEST_ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .typing/lexorder tests $(wildcard benchmarks)

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup
	@test -n '$(BENCHMARKS)' || { \
		echo 'lexorder: there is nothing to run in benchmarks/' >&2; exit 1; }
	@set -e; for name in $(BENCHMARKS); do \
		echo "== $$name"; $(BIN)/python -m benchmarks.$$name; done

lock:
	@test -x $(BIN)/uv || { echo 'lexorder: run `make setup` first' >&2; exit 1; }
	UV_CUSTOM_COMPILE_COMMAND='make lock' $(BIN)/uv pip compile --quiet $(LOCK_ARGS) \
		--python-version 3.11 --python-platform x86_64-manylinux_2_28 --all-extras \
		--no-emit-index-url --no-emit-find-links pyproject.toml --output-file requirements.lock

lowest:
	@test -x $(BIN)/uv || { echo 'lexorder: run `make setup` first' >&2; exit 1; }
	rm -rf $(VENV)-lowest && mkdir -p $(VENV)-lowest
	$(BIN)/uv pip compile --quiet --resolution lowest-direct \
		--python-version 3.11 --python-platform x86_64-manylinux_2_28 --all-extras \
		--no-emit-index-url --no-emit-find-links --no-annotate \
		pyproject.toml --output-file $(VENV)-lowest/requirements.txt
	$(PYTHON) -m venv $(VENV)-lowest
	$(BIN)/uv pip install --quiet --python $(VENV)-lowest/bin/python \
		-r $(VENV)-lowest/requirements.txt
	$(BIN)/uv pip install --quiet --python $(VENV)-lowest/bin/python --no-deps \
		--no-build-isolation --editable .
	$(VENV)-lowest/bin/python -m pytest -n $(WORKERS) $(PYTEST_ARGS)

clean:
	rm -rf $(VENV) $(VENV)-lowest build dist *.egg-info demo-output out htmlcov .coverage \
		.mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
