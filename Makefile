# Argus. `make demo` sets up and runs the main job; `make test` sets up and passes the tests. Only Python 3.11 and make are needed.
# Both can be repeated and interrupted: what is done is not done again.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.argus-ready
CONFIG ?= config/research_loop.yaml
export DAGSTER_HOME ?= $(CURDIR)/dagster_home

.PHONY: help setup demo test test-slow golden ui lint bench requirements clean

help: ## what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: $(READY) ## make the environment in .venv

# The stamp is written last, so an interrupted set-up starts again where pip left its cache.
$(READY): requirements.txt pyproject.toml
	@"$(PYTHON)" -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] < (3, 14) else "Argus needs Python 3.11 to 3.13; set PYTHON=/path/to/python3.11")'
	@echo "setting up $(VENV) (a few minutes the first time)"
	@test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --progress-bar on -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@$(BIN)/python -m compileall -q argus_core argus_dagster
	@touch $@

demo: $(READY) ## simulate a market and run bars to allocations; prints the ranking and the report's path
	$(BIN)/argus loop --config $(CONFIG) --once

test: $(READY) ## lint, type check and run the tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/ty check argus_core argus_dagster
	$(BIN)/python -m pytest -n 2 --dist loadscope

test-slow: $(READY) ## the slow tests too
	$(BIN)/python -m pytest -n 2 --dist loadscope -m 'slow'

golden: $(READY) ## accept the trade lists of the shipped strategies as they are now; prints what changed
	$(BIN)/python -m tests.golden.accept

ui: $(READY) ## the Dagster UI on http://localhost:3000
	ARGUS_CONFIG=$(CONFIG) $(BIN)/dagster dev --workspace workspace.yaml

lint: $(READY) ## ruff and the type checker
	$(BIN)/ruff check .
	$(BIN)/ty check argus_core argus_dagster

bench: $(READY) ## benchmarks beside what a user would pick
	@for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

requirements: $(READY) ## compile requirements.txt anew from pyproject.toml
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --extra test --extra report --universal --python-version 3.11 --no-emit-index-url --no-emit-find-links --no-annotate --no-header --output-file requirements.txt

clean: ## remove the environment and all data
	rm -rf $(VENV) data dagster_home/storage dagster_home/history dagster_home/schedules dagster_home/logs
