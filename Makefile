# Every target does its own set-up: Python 3.11+, make and a package index are all it takes.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
JOBS ?= 4

# Without bytecode on disk each start of a program compiles all that it imports, and the suite starts
# hundreds of programs: they write it, even where the environment forbids that.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test lint types pytest bench bench-quick faults fleet footprint fuzz soak clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.has-demo  ## a supervised worker that is broken on purpose (ARGS="--url redis://...")
	@$(BIN)/python -m examples.demo $(ARGS)

test: lint types pytest  ## linters, types and the whole suite

lint: $(VENV)/.has-dev  ## ruff and the import contracts
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet . || { echo "run: $(BIN)/ruff format ."; exit 1; }
	@$(BIN)/lint-imports --no-cache > $(VENV)/lint-imports.log || { cat $(VENV)/lint-imports.log; exit 1; }

types: $(VENV)/.has-dev  ## mypy
	@$(BIN)/mypy

pytest: $(VENV)/.has-dev  ## the suite alone (ARGS="-k pubsub --servers=embedded,path,container")
ifeq ($(strip $(ARGS)),)
	@# Most tests wait most of their time: twice as many processes as cores keep those busy. Then
	@# come the faults, on two servers at once, and what measures time and has to be alone.
	@failed=0; \
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder \
		-m "not alone and not staged" || failed=1; \
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m staged tests/faults || failed=1; \
	$(BIN)/python -m pytest -m alone || failed=1; \
	exit $$failed
else
	@$(BIN)/python -m pytest $(ARGS)
endif

bench: $(VENV)/.has-bench  ## throughput and latency against other clients and runtimes
	@$(BIN)/python -m tests.benchmarks $(ARGS)

bench-quick: $(VENV)/.has-bench  ## the same, in under two minutes
	@$(BIN)/python -m tests.benchmarks --quick $(ARGS)

faults: $(VENV)/.has-dev  ## what is lost when servers, nodes and connections break, a row for each fault
	@$(BIN)/python -m tests.faults $(ARGS)

fleet: $(VENV)/.has-dev  ## what is lost and what comes twice when members of a fleet come, go and die (ARGS="--on server kill-one-of-three")
	@$(BIN)/python -m tests.fleet $(ARGS)

footprint: $(VENV)/.has-bench  ## what one consumer costs its servers and itself, beside other clients
	@$(BIN)/python -m tests.footprint $(ARGS)

fuzz: $(VENV)/.has-dev  ## hostile servers and clusters, calls cancelled at every moment: four minutes
	@$(BIN)/python -m tests.fuzz $(ARGS)

soak: $(VENV)/.has-dev  ## two workers under random faults for ten minutes (ARGS="--seconds 60")
	@$(BIN)/python -m tests.soak $(ARGS)

clean:  ## everything that the other targets made
	rm -rf $(VENV) build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- set-up: one virtual environment; each stamp says which extras it has -------------------------

EXTRAS_demo := cli,embedded
EXTRAS_dev := dev
EXTRAS_bench := bench

$(VENV)/.has-%: pyproject.toml | $(VENV)/.made
	@echo "installing mailslot[$(EXTRAS_$*)] into $(VENV) ..."
	@$(BIN)/python -m pip install -qq --no-compile --disable-pip-version-check \
		--editable ".[$(EXTRAS_$*)]"
	@touch $@

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "mailslot needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1)." \
	       "Name another one: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
	  echo "could not make $(VENV); on Debian: apt-get install python3-venv"; exit 1; }
	@touch $@
