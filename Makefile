# `make quickstart` and `make test` each work as the first command on a fresh machine with
# Python 3.11 or newer.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Errors only: pip's warnings are about how the machine's own indexes are set up.
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps
ENGINE ?= $(if $(shell command -v podman),podman,docker)
IMAGE ?= paredown
VERSION := $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' job/__init__.py)
REVISION = $(shell git rev-parse HEAD 2>/dev/null || echo unknown)

.DEFAULT_GOAL := help
.PHONY: help install quickstart test test-all check image schema manifests lock clean

help: ## Show what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "make %-11s %s\n", $$1, $$2}'

install: $(VENV)/installed ## Install into .venv, from requirements.lock

# A virtual environment needs ensurepip, which Debian packs apart.
$(VENV)/installed: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "paredown needs Python 3.11 or newer: make PYTHON=python3.11 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "Installing Debian's python3-venv"; \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv >/dev/null; \
	  else \
	    echo "Python lacks venv. On Debian and Ubuntu: sudo apt-get install python3-venv" >&2; exit 1; \
	  fi
	@echo "Installing into $(VENV); TensorFlow is large, this takes a minute or two"
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV)
	$(PIP) --require-hashes -r requirements.lock
	$(PIP) --no-build-isolation --editable .
	@touch $@

# What tests and checks need too.
$(VENV)/developing: $(VENV)/installed tests/requirements.lock
	$(PIP) --require-hashes -r tests/requirements.lock
	@touch $@

quickstart: install ## Run the quickstart: an MNIST model, 14 times smaller
	$(BIN)/paredown run manifests/quickstart/quickstart.json --log text

# Whole files go to one of a few workers: each imports TensorFlow, which takes memory. The image's
# tests come after them, one at a time: containers are stopped at exact moments.
test: $(VENV)/developing ## Run the tests
	$(BIN)/python -m pytest --numprocesses 3 --dist loadfile \
	  --no-loadscope-reorder --ignore tests/container
	$(BIN)/python -m pytest tests/container

test-all: export PAREDOWN_EVERY_TEST = 1
test-all: test ## Run the tests with the rare combinations, too

check: $(VENV)/developing ## ruff, mypy, import-linter, schema drift
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy --no-error-summary
	$(BIN)/lint-imports --no-show-logo 2>/dev/null || $(BIN)/lint-imports
	@$(BIN)/paredown schema | diff -u manifests/manifest.schema.json - || \
	  { echo "manifest.schema.json has drifted: run make schema" >&2; exit 1; }

image: ## Build the container image, with podman or docker
	$(ENGINE) build $(BUILD_OPTIONS) --build-arg VERSION=$(VERSION) --build-arg REVISION=$(REVISION) \
	  --tag $(IMAGE):$(VERSION) --tag $(IMAGE):latest .

schema: install ## Write manifests/manifest.schema.json
	$(BIN)/paredown schema > manifests/manifest.schema.json

manifests: install ## Write manifests/kubernetes/*.yaml
	@for it in quickstart batch; do \
	  $(BIN)/paredown kubernetes manifests/kubernetes/$$it.json --image paredown:$(VERSION) \
	    --secret paredown-s3 > manifests/kubernetes/$$it.yaml || exit 1; \
	done

LOCK := uv pip compile --python-version 3.11 --generate-hashes --no-emit-index-url \
  --no-emit-find-links --no-header $(UPGRADE)

lock: ## Write the locks anew (needs uv; UPGRADE=--upgrade for newer versions)
	$(LOCK) pyproject.toml --extra cpu --output-file requirements.lock
	$(LOCK) pyproject.toml --extra cpu --extra test --extra dev --constraint requirements.lock \
	  --output-file tests/requirements.lock
	$(LOCK) --group sbom --output-file .sbom.lock

clean: ## Remove what was made here
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
