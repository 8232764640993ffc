# Everything a fresh machine with git, make and Python 3.11 or newer needs to know.
# The environment lies in .venv; stamps in it say what has been installed from the lock.

SHELL := /bin/sh
BIN := .venv/bin
UV := UV_PROJECT_ENVIRONMENT=.venv UV_PYTHON_DOWNLOADS=never $(BIN)/uv
ARGS ?=
# Half of the time tests wait, for a broker or another process: two at once.
IN_PROCESSES := -n 2 --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help demo dev docs test check format lint mypy pyright layers bench long

help: ## print this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-7s %s\n", $$1, $$2}' Makefile

demo: .venv/.runtime ## a worker is killed in the middle of an order, and finishes it
	@$(BIN)/sayiir-es demo $(ARGS)

test: .venv/.dev ## the whole default suite; ARGS="-k name" and the like go to pytest
	@$(BIN)/pytest $(IN_PROCESSES) $(ARGS)

check: format lint mypy pyright layers ## format, lint, types, layers

format: .venv/.dev
	$(BIN)/ruff format --check .

lint: .venv/.dev
	$(BIN)/ruff check .

mypy: .venv/.dev
	$(BIN)/mypy

pyright: .venv/.dev
	$(BIN)/pyright --pythonpath $(BIN)/python

layers: .venv/.dev
	$(BIN)/lint-imports

dev: .venv/.web ## orders run, on a page: http://127.0.0.1:8080; ARGS="my.module" for your own
	@$(BIN)/sayiir-es dev $(ARGS)

docs: .venv/.dev ## the documentation as a site, in site/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs --quiet build --strict
	@echo "python3 -m http.server --directory site   shows it at http://127.0.0.1:8000"

bench: .venv/.dev ## every program in benchmarks/, one after the other
	@set -e; for program in benchmarks/*.py; do \
	  echo "== $$program"; $(BIN)/python "$$program" $(ARGS); \
	done

long: .venv/.dev ## what takes longer: more seeds, soak, the chart; prints its progress
	@.ci/find-helm && PATH="$$PWD/.sayiir/tools:$$PATH" $(BIN)/pytest tests/deploy
	@SAYIIR_ES_TEST_FRESH=1 $(BIN)/pytest -m long --capture=no --timeout=0 $(ARGS)

# uv is quick and keeps to the lock with its hashes. Where the files that the lock names
# are out of reach (a mirror with other addresses), pip takes what its own index has.
.venv/.runtime: pyproject.toml uv.lock | $(BIN)/uv
	@$(UV) sync --quiet --frozen --inexact --no-dev \
	  || { echo "the lock's files are out of reach; trying pip's index" >&2; \
	       $(BIN)/python -m pip install --quiet --editable .; }
	@touch $@

.venv/.web: pyproject.toml uv.lock | $(BIN)/uv
	@$(UV) sync --quiet --frozen --inexact --no-dev --extra web \
	  || { echo "the lock's files are out of reach; trying pip's index" >&2; \
	       $(BIN)/python -m pip install --quiet --editable '.[web]'; }
	@touch $@

.venv/.dev: pyproject.toml uv.lock | $(BIN)/uv
	@$(UV) sync --quiet --frozen --inexact \
	  || { echo "the lock's files are out of reach; trying pip's index" >&2; \
	       $(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1' \
	       && $(BIN)/python -m pip install --quiet --editable . --group dev; }
	@touch $@

$(BIN)/uv:
	@python=$$(.ci/find-python) && "$$python" -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9'
