# Two commands for a clean clone: `make demo` and `make test`. They need Python 3.11 or newer, make and git.
# Everything is installed into .venv, at the versions in .ci/requirements-dev.txt.

PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

VERSION := $(if $(PYTHON),$(shell $(PYTHON) -c 'import sys; print(sys.version.split()[0])'))

ROOMS := stormproof engine sim faults properties reports examples
# A strict editable install links file by file: it is made again when the list of files changes.
STATE := $(shell { find $(ROOMS) -name __pycache__ -prune -o -type f -print | LC_ALL=C sort; \
	cat pyproject.toml .ci/requirements-dev.txt; } | git hash-object --stdin)
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint .ci/requirements-dev.txt
EDITABLE := --no-build-isolation --config-settings editable_mode=strict --editable

.DEFAULT_GOAL := help
.PHONY: help demo test test-all lint format types wheel-test bench soak clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-12s%s\n", $$1, $$2 }' Makefile

demo: .venv/runtime-$(STATE) ## the A-B-C story: a naive workflow fails, a correct one holds
	$(BIN)/stormproof demo

test: .venv/dev-$(STATE) ## the fast tests and those against the real Temporal SDK
	$(BIN)/pytest -n auto --ignore=tests/slow $(ARGS)

test-all: .venv/dev-$(STATE) ## all tests, slow ones included
	$(BIN)/pytest -n auto $(ARGS)

lint: .venv/dev-$(STATE) ## formatting and lint rules
	$(BIN)/ruff format --check
	$(BIN)/ruff check

format: .venv/dev-$(STATE) ## put both right where that can be done
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

types: .venv/dev-$(STATE) ## strict mypy and pyright, on the package as installed
	.ci/types $(BIN)

wheel-test: .venv/dev-$(STATE) ## build the wheel in a fresh clone, test it in an empty environment
	.ci/wheel-test $(BIN)

bench: .venv/dev-$(STATE) ## one table of speeds, references measured in the same run
	$(BIN)/python benchmarks/run.py

soak: .venv/dev-$(STATE) ## 5,000 runs of each correct example; writes benchmarks/results/soak-DATE.json
	$(BIN)/python benchmarks/soak.py

clean: ## remove what the other targets made
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage*

.venv/python-$(VERSION): # an empty environment
	@test -n "$(PYTHON)" || { echo "stormproof needs Python 3.11 or newer; none found. Name one: make PYTHON=/path/to/python3" >&2; exit 2; }
	$(PYTHON) -m venv --clear .venv
	$(PIP) setuptools
	@touch $@

.venv/runtime-$(STATE): .venv/python-$(VERSION)
	@rm -rf .venv/runtime-* .venv/dev-* build
	$(PIP) $(EDITABLE) .
	@touch $@

.venv/dev-$(STATE): .venv/python-$(VERSION)
	@rm -rf .venv/runtime-* .venv/dev-* build
	$(PIP) $(EDITABLE) '.[dev]'
	@touch $@ .venv/runtime-$(STATE)
