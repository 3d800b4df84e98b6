# `make` or `make help` lists what there is.
# PYTHON   the interpreter to make .venv with (3.11 or newer)
# ARGS     further arguments for `almanac up`, `almanac demo`, tests and benchmarks

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
ARGS   ?=

# Python 3.11 or newer under its own name is enough where python3 is older.
SETUP  := $(PYTHON) hub_ext/embedded/bootstrap.py

.DEFAULT_GOAL := help
.PHONY: help setup setup-test up demo test test-stores bench bench-storage lint format docs lock clean

help: ## Show this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

setup: ## Install everything that `make up` needs into .venv (nothing to do: a moment)
	@$(SETUP)

setup-test:
	@$(SETUP) --test

up: setup ## Set up, start Almanac on this machine, and print its address
	@exec $(BIN)/almanac up $(ARGS)

demo: setup ## Set up, then run the whole path once, headless: notebook to scheduled job
	@$(BIN)/almanac demo $(ARGS)

test: setup-test ## Set up, then run all tests that this machine can run
	@.ci/chromium
	@$(BIN)/pytest -n 2 --dist loadgroup $(ARGS)

test-stores: setup-test ## Build further object stores (needs Go; once), then run the tests against each
	@.ci/stores
	@$(BIN)/pytest -n 1 --dist loadgroup -m stores $(ARGS)

bench: bench-storage ## Run all benchmarks

bench-storage: setup-test ## Measure files in object storage beside s3contents and the disk
	@PEERS=$$(.ci/peers) && $(BIN)/python -m tests.benchmarks.storage --python "$$PEERS" $(ARGS)

lint: setup-test ## Style, types and import directions
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

format: setup-test ## Put the code into shape
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

docs: setup-test ## Build the documentation into docs/_build/html; warnings are errors
	@$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet docs docs/_build/html
	@echo "docs/_build/html/index.html"

lock: setup-test ## Resolve the locked requirements anew
	@.ci/lock

clean: ## Remove what was installed and built (state folders stay)
	rm -rf $(VENV) build docs/_build lab_extension/labextension lab_extension/frontend/lib lab_extension/frontend/node_modules
