# Everything from a fresh clone: `make run` starts the page on port 8000, `make test` tests it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
SOURCES := pyproject.toml hatch_build.py package.json package-lock.json

.PHONY: install run test lint bench demo lock words picture clean tools

install: $(VENV)/installed

run: install
	$(BIN)/echodeck serve

test: tools
	$(BIN)/pytest

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/installed-dev
	$(BIN)/python -m tests.bench

# The same as `docker compose up`, without Docker.
demo: install
	$(BIN)/echodeck demo

# New versions of what is locked, within the bounds of pyproject.toml.
lock: LOCKING = $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet
lock: $(VENV)/installed-dev
	$(LOCKING) --upgrade pyproject.toml --output-file requirements.txt
	$(LOCKING) --upgrade --group build --constraint requirements.txt --output-file requirements-build.txt
	$(LOCKING) --upgrade pyproject.toml --group build --group dev --constraint requirements.txt \
		--constraint requirements-build.txt --output-file requirements-dev.txt

# The catalogues of the interface's languages and README's tables, brought up to date with the code.
words: $(VENV)/installed-dev
	$(BIN)/python -m tests.catalogue
	$(BIN)/python -m tests.readme_tables

# README's picture of the page.
picture: tools
	$(BIN)/python -m tests.picture

clean:
	rm -rf $(VENV) node_modules static/vendor build dist

# Debian keeps the module that makes environments in a package of its own.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "echodeck needs Python 3.11 or later"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "installing python3-venv"; \
		$(call APT,python3-venv) || { echo "cannot install python3-venv; ask whoever may: apt-get install python3-venv"; exit 1; }; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: requirements.txt requirements-build.txt $(SOURCES) | $(BIN)/python
	$(PIP) install --require-hashes --requirement requirements.txt --requirement requirements-build.txt
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/installed-dev: requirements-dev.txt $(VENV)/installed
	$(PIP) install --require-hashes --requirement requirements-dev.txt
	@touch $@

# What the tests drive besides Python: a real Chromium, and the programs of README's commands.
tools: $(VENV)/installed-dev
	@missing=; \
	command -v chromium >/dev/null || missing="$$missing chromium"; \
	command -v curl >/dev/null || missing="$$missing curl"; \
	command -v nc >/dev/null || missing="$$missing netcat-openbsd"; \
	$(BIN)/playwright --version >/dev/null 2>&1 || missing="$$missing libatomic1"; \
	[ -z "$$missing" ] || { \
		echo "installing$$missing"; \
		$(call APT,$$missing) || { echo "cannot; ask whoever may: apt-get install$$missing"; exit 1; }; }

SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo -n)
APT = { $(SUDO) apt-get update -qq && DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq $(1) >/dev/null; }
