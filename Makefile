# `make quickstart` and `make test` each work as the first command on a fresh machine with
# Python 3.11 or newer.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help install quickstart test check schema lock clean

help: ## Show what can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "make %-11s %s\n", $$1, $$2}'

install: $(VENV)/installed ## Install into .venv, from requirements.lock

# A venv needs ensurepip, which Debian packs apart; pip itself can stand in for it.
$(VENV)/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "paredown needs Python 3.11 or newer: make $(MAKECMDGOALS) PYTHON=python3.11" >&2; exit 1; }
	@rm -rf $(VENV)
	@if $(PYTHON) -c 'import ensurepip' 2>/dev/null; then \
	  $(PYTHON) -m venv $(VENV); \
	elif $(PYTHON) -m pip --version >/dev/null 2>&1; then \
	  $(PYTHON) -m venv --without-pip $(VENV) && \
	  $(PYTHON) -m pip --python $(BIN)/python install --quiet pip; \
	else \
	  echo "Python can't make a virtual environment. On Debian: apt-get install python3-venv" >&2; exit 1; \
	fi
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

quickstart: install ## Run the quickstart: an MNIST model, 14 times smaller
	$(BIN)/paredown run manifests/quickstart/quickstart.json

test: install ## Run the tests
	$(BIN)/python -m pytest

check: install ## ruff, mypy, import-linter, schema drift
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy --no-error-summary
	$(BIN)/lint-imports --no-show-logo 2>/dev/null || $(BIN)/lint-imports
	@$(BIN)/paredown schema | diff -u manifests/manifest.schema.json - || \
	  { echo "manifest.schema.json has drifted: run make schema" >&2; exit 1; }

schema: install ## Write manifests/manifest.schema.json
	$(BIN)/paredown schema > manifests/manifest.schema.json

lock: ## Write requirements.lock anew (needs uv)
	uv pip compile pyproject.toml --all-extras --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-header --upgrade --output-file requirements.lock

clean: ## Remove what was made here
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
