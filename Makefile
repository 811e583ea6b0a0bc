# Needs make and Python 3.11, 3.12 or 3.13; everything else is installed into .venv.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help install demo run test lint types check conformance chaos chaos-short bench compose-test pages-test lock clean

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# The first interpreter that fits; `make install PYTHON=/path/to/python3.12` chooses another.
PYTHON ?= $(shell for p in python3.12 python3.13 python3.11 python3 python; do \
	"$$p" -c 'import sys, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && { echo "$$p"; break; }; done)

# As a folder on Python's path. As the hook that is usual, it would come after a clone's folder named parlex, which Python
# takes for a package of that name in a script that stands above it.
ON_THE_PATH := --config-settings editable_mode=compat

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | awk -F'\t' '{ printf "make %-14s %s\n", $$1, $$2 }'

install: $(STAMP)  ## everything into .venv, with the command .venv/bin/parlex

$(STAMP): requirements.txt constraints.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo 'Parlex needs Python 3.11, 3.12 or 3.13 with venv; none was found. Set PYTHON=/path/to/python.' >&2; exit 1; }
	@test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable . $(ON_THE_PATH)
	@touch $@

demo: install  ## the whole thing, offline, in a temporary folder
	$(BIN)/parlex demo

run: install  ## everything the machine lacks, started and watched; Ctrl-C stops it
	$(BIN)/parlex up

# Four at a time, each with servers of its own: most of a test is waiting. A Redis that is given is emptied between tests,
# so that with one they run one by one. ARGS may say otherwise, as in make test ARGS="-n 0 --pdb".
test: install  ## the tests, on a real PostgreSQL and a real Valkey
	$(BIN)/python -m pytest -n $(if $(PARLEX_TEST_REDIS_URL),0,4) --dist loadgroup $(ARGS)

lint: install
	$(BIN)/ruff check .

types: install
	$(BIN)/mypy

check: lint types test  ## ruff, mypy --strict and the tests

conformance: install  ## against an independent stand-in of both sources, where there is one
	$(BIN)/python -m pytest -m conformance $(ARGS)

# Its table goes into docs/reliability.md, also where something failed: a page that shows only good runs shows nothing.
# PART, a file of tests/chaos, adds to the table of the parts before it; without it all is tried anew.
chaos: install  ## kills and cuts on purpose, 40 minutes; each kill ten times, or make chaos TRIES=50 PART=FILE
	@mkdir -p build && { test -n "$(PART)" || rm -f build/chaos.jsonl; }
	PARLEX_TEST_TRIES=$(or $(TRIES),10) PARLEX_TEST_CHAOS_REPORT=$(CURDIR)/build/chaos.jsonl \
	  $(BIN)/python -m pytest $(or $(PART),tests/chaos) -m "chaos or chaos_short" $(ARGS); \
	  code=$$?; test ! -s build/chaos.jsonl || $(BIN)/python -m tests.chaos.report build/chaos.jsonl docs/reliability.md; \
	  exit $$code

chaos-short: install  ## the quickest faults, about two minutes
	$(BIN)/python -m pytest tests/chaos -m chaos_short $(ARGS)

pages-test: install  ## the pages, in a real browser where there is one
	$(BIN)/python -m pytest tests/web/pages $(ARGS)

bench: install  ## measure, and print the numbers
	$(BIN)/python -m bench $(ARGS)

compose-test: install  ## docker-compose.yml on a real engine
	$(BIN)/python -m pytest -m compose $(ARGS)

lock: install  ## resolve constraints.txt anew; LOCK_PYTHONS names one interpreter for each version
	$(BIN)/python .ci/lock $(LOCK_PYTHONS)

clean:  ## remove what was installed and built, never var/
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
