# Each target does its own set-up: a fresh clone needs Python 3.11 or later and make, nothing else.
# `make` prints the targets.  VENV=dir puts the environment elsewhere; PYTHON=... picks the
# interpreter it is made from; ARGS=... is passed on; uv is used where present, never required.

VENV ?= .venv
PYTHON ?=
ARGS ?=
# What the tests use beyond the base.  The frameworks weigh a gigabyte and serve the adapters only:
# TEST_EXTRAS=console,dev,json,numba,postgres,proofs,report,tlc,tokens leaves them out, and with them
# the adapters' tests; `browser` is for tests that look at pages.
TEST_EXTRAS ?= browser,console,dev,frameworks,json,numba,postgres,proofs,report,tlc,tokens

# An environment that happens to be active, or its variables, must not leak into ours.
unexport PYTHONHOME PYTHONPATH PYTHONDONTWRITEBYTECODE VIRTUAL_ENV CONDA_PREFIX
export PIP_DISABLE_PIP_VERSION_CHECK = 1

PY := $(VENV)/bin/python
# The site is built in an environment of its own: zensical and CrewAI accept no common tomli.
DOCS := $(VENV)-docs
BENCHES := $(sort $(wildcard bench/bench_*.py))

.DEFAULT_GOAL := help
.PHONY: help simulate studies test test-slow prove check lint types imports format bench docs docs-pages docs-serve vendor clean servers browser

help: ## print this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 12

simulate: $(VENV)/.base ## the main job: what coherence saves on the canonical scenarios
	@$(PY) -m coherence.simulate $(ARGS)

studies: $(VENV)/.dev ## the studies again, into simulations/results and README: the same bytes
	@$(PY) -m coherence.simulate study simulations/studies --into simulations/results $(ARGS)
	@$(PY) docs/headlines.py

test: $(VENV)/.dev servers browser ## the fast tests
	@$(PY) -m pytest -n auto --dist worksteal $(ARGS)

test-slow: $(VENV)/.dev $(DOCS)/.docs servers browser ## the tests marked slow: minutes of proof
	@$(PY) -m pytest -m slow -n auto --maxprocesses 2 $(ARGS) || { code=$$?; test $$code -eq 5; }

prove: $(VENV)/.dev servers ## every model, all of TLC, every comparison: one table at the end
	@$(PY) -m specs prove --slow $(ARGS)

check: lint types imports ## lint, format, types, import contracts

lint: $(VENV)/.dev
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .

types: $(VENV)/.dev
	@$(PY) -m mypy

imports: $(VENV)/.dev
	@$(VENV)/bin/lint-imports --no-logo

format: $(VENV)/.dev ## mend what ruff can mend
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

bench: $(VENV)/.dev ## speeds, as ratios within one run
	@for file in $(BENCHES); do echo "== $$file"; $(PY) $$file $(ARGS) || exit 1; done

docs: docs-pages ## the documentation site, into site/
	@PATH=$(DOCS)/bin:$$PATH zensical build --strict --clean

docs-serve: docs-pages ## the site at localhost:8000; `make docs-pages` beside it takes edits over
	@PATH=$(DOCS)/bin:$$PATH zensical serve

docs-pages: $(DOCS)/.docs
	@$(DOCS)/bin/python docs/stage.py build/docs

vendor: ## the console's vendored files, from npm by its lock file: the same bytes
	@cd vendor && npm ci --ignore-scripts --no-audit --no-fund && node make.mjs

clean: ## remove caches and builds; the environment stays
	@rm -rf dist build site .cache .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache .coverage
	@find . -path './.?*' -prune -o -name __pycache__ -prune -exec rm -rf {} +

# Stamps: an environment is set up again when what it holds has changed, and only then.

$(VENV)/.base: pyproject.toml | $(PY)
	@$(call install,.)

$(VENV)/.dev: pyproject.toml Makefile | $(PY)
	@$(call install,.[$(TEST_EXTRAS)])
	@touch $(VENV)/.base

$(VENV)/.docs: pyproject.toml | $(PY)
	@$(call install,.[docs])

$(DOCS)/.docs: pyproject.toml
	@$(MAKE) --no-print-directory VENV=$(DOCS) $@

# The server that tests start for themselves.  Without it they are skipped, or fail under CI.
servers:
	@PATH=$$PATH:$$(echo /usr/lib/postgresql/*/bin | tr ' ' :); \
	$(call system,postgres,postgresql,the PostgreSQL store) ; \
	$(call system,java,default-jre-headless,TLC)

# What tests look at pages with, and the rules of accessibility, where npm is.
browser:
	@$(call system,chromium,chromium,pages in a browser)
	@test -d vendor/node_modules || ! command -v npm >/dev/null \
	|| { cd vendor && npm ci --silent --ignore-scripts --no-audit --no-fund; } \
	|| echo "npm cannot fetch axe-core: accessibility is not tested." >&2

# Installs Debian's package $(2) where the program $(1) is missing and that may be done, or says so.
define system
command -v $(1) >/dev/null || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null \
  && echo "Installing $(2) for the tests of $(3) ..." \
  && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qqy $(2); } >&2 \
|| echo "No $(1): the tests of $(3) need it (apt install $(2))." >&2
endef

# Installs the checkout, editable, with the extras of $(1); pip steps in where uv cannot.
define install
echo "Installing $(1) into $(VENV) (the first time takes a minute) ..." >&2; \
{ command -v uv >/dev/null && uv pip install -q --python $(PY) -e '$(1)'; } \
|| $(PY) -m pip install -qq -e '$(1)' && touch $@
endef

$(PY):
	@python=$$(for name in $(or $(PYTHON),python3 python3.13 python3.12 python3.11 python); do \
	  "$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	  && echo "$$name" && break; done); \
	test -n "$$python" || { echo "No Python 3.11 or later found; set PYTHON=..." >&2; exit 1; }; \
	echo "Creating $(VENV) with $$($$python --version) ..." >&2; \
	{ command -v uv >/dev/null && uv venv -q --seed --python "$$python" $(VENV); } \
	|| "$$python" -m venv $(VENV) \
	|| { rm -rf $(VENV); \
	     echo "No venv module (Debian: apt install python3-venv), and no uv either." >&2; exit 1; }
