# The ways to use a clone. Each target makes what it needs, in .venv of this clone and nowhere else, and can be
# repeated; after the first time it needs no network until pyproject.toml or constraints.txt change.

PYTHON ?= python3
VENV ?= .venv
JOBS ?= 2
ARGS ?=
PIP_FLAGS ?= --quiet --quiet

# Where this is set, each of the hundreds of commands that the tests run would compile the whole package anew.
unexport PYTHONDONTWRITEBYTECODE

BIN := $(VENV)/bin
STAMPS := $(VENV)/.ensue-train $(VENV)/.ensue-dev

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test check fix bench docs docs-check clean

# A virtual environment knows its own place: after a clone was moved or copied, or when another Python is asked
# for, the old one must not be used.
ifneq ($(origin PYTHON),file)
WANTED := $(shell '$(PYTHON)' -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
endif
$(shell cd '$(VENV)' 2>/dev/null && test -f .ensue-place && \
    { test "$$(cat .ensue-place)" = "$$(pwd)" && { test -z '$(WANTED)' || test -e 'bin/python$(WANTED)'; } \
      || rm -rf bin/python .ensue-place $(notdir $(STAMPS)); })

help: ## what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-6s  %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo "  PYTHON=python3.12  the interpreter to make $(VENV) with (3.11 or later)"
	@echo "  ARGS='...'         options for the command that demo, test or bench runs, such as ARGS='-k markov'"
	@echo "  PIP_FLAGS=         shows what pip does while it installs"

demo: $(VENV)/.ensue-train ## the main job on real data (MovieLens-100K), from the log to recommendations
	$(BIN)/ensue demo $(ARGS)

test: $(VENV)/.ensue-dev ## the whole suite; ENSUE_DATA=folder adds the tests on public data sets
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(ARGS)

check: $(VENV)/.ensue-dev ## style, types, layers and generated pages, as continuous integration sees them
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/lint-imports --no-logo
	@$(MAKE) --no-print-directory docs-check

fix: $(VENV)/.ensue-dev ## what can be mended by itself: format, order of imports
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.ensue-train ## the gates of docs/decisions and what else is in benchmarks/, on ENSUE_DATA
	@for script in benchmarks/*.py; do \
	    echo "== $$script"; \
	    $(BIN)/python "$$script" $(ARGS) || exit 1; \
	done

docs: $(VENV)/.ensue-train ## the pages that are generated: docs/cli.md
	$(BIN)/python -m ensue.cli.reference

docs-check: $(VENV)/.ensue-train
	$(BIN)/python -m ensue.cli.reference --check

clean: ## removes the environment, builds and caches; keeps data and runs
	rm -rf '$(VENV)' build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# -------------------------------------------------------------------------------------------- environment

define environment
	@'$(PYTHON)' -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "ensue needs Python 3.11 or later, and '$(PYTHON)' is not: name one with make PYTHON=..." >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { \
	    echo "Making $(VENV) with $$('$(PYTHON)' --version)"; '$(PYTHON)' -m venv --clear '$(VENV)'; }
	@(cd '$(VENV)' && pwd > .ensue-place)
	@echo "Installing ensue with [$(1)] into $(VENV): a minute or so where the packages are near"
	@$(BIN)/python -m pip install $(PIP_FLAGS) --disable-pip-version-check -c constraints.txt -e '.[$(1)]' || { \
	    echo "The installation failed: it needs a package index that can be reached, see above." >&2; exit 1; }
endef

$(VENV)/.ensue-train: pyproject.toml constraints.txt
	$(call environment,train)
	@touch $@

$(VENV)/.ensue-dev: pyproject.toml constraints.txt
	$(call environment,train$(comma)dev)
	@touch $(STAMPS)

comma := ,
