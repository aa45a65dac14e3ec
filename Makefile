# Everything from a fresh clone: `make run` starts the page on port 8000, `make test` tests it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
SOURCES := pyproject.toml hatch_build.py package.json package-lock.json

.PHONY: install run test test-all test-slow lint bench bench-compare report demo fleet soak advisories lock words picture clean tools

install: $(VENV)/installed

run: install
	$(BIN)/echodeck serve

# Every behaviour once.
PYTEST = $(BIN)/pytest --numprocesses 3 --dist worksteal --durations 20 --durations-min 1
test: tools
	$(PYTEST) -m "not slow"

# ... and what needs many repetitions or long waits.
test-all: test test-slow

test-slow: tools
	$(PYTEST) -m slow

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/installed-dev
	$(BIN)/python -m tests.bench

# This tree against a revision, in turns: `make bench-compare REV=HEAD~5` says what got worse beyond noise.
bench-compare: $(VENV)/installed-dev
	@[ -n "$(REV)" ] || { echo "which revision? make bench-compare REV=HEAD~5"; exit 2; }
	$(BIN)/python -m tests.bench.compare $(REV)

# README's figures and plots, out of three experiments of the lab.
report: $(VENV)/installed-dev
	$(BIN)/python -m tests.report

# What is locked, held against the advisories that are known here.
advisories: $(VENV)/installed-dev
	$(BIN)/python -m tests.advisories

# Ten minutes of everything at once: what the app holds at the end must be what it held before.
soak: tools
	$(BIN)/python -m tests.soak

# The same as `docker compose up`, without Docker.
demo: install
	$(BIN)/echodeck demo

# Three nodes of a fleet and its etcd on this machine, with visitors.
fleet: install $(BIN)/etcd
	$(BIN)/echodeck fleet

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
	$(BIN)/python -m compileall -q app servers echodeck.py pytest_echodeck.py
	$(BIN)/python -m app.program.warm
	@touch $@

$(VENV)/installed-dev: requirements-dev.txt $(VENV)/installed
	$(PIP) install --require-hashes --requirement requirements-dev.txt
	@touch $@

# What the tests drive besides Python: real browsers, and the programs of README's commands.
tools: $(VENV)/installed-dev $(BIN)/etcd node_modules/installed
	@missing=; \
	command -v chromium-headless-shell >/dev/null || command -v chromium >/dev/null || missing="$$missing chromium-headless-shell"; \
	command -v firefox-esr >/dev/null || missing="$$missing firefox-esr"; \
	command -v java >/dev/null || missing="$$missing default-jre-headless"; \
	command -v curl >/dev/null || missing="$$missing curl"; \
	command -v nc >/dev/null || missing="$$missing netcat-openbsd"; \
	command -v strace >/dev/null || missing="$$missing strace"; \
	[ -x /usr/sbin/nginx ] || missing="$$missing nginx-light"; \
	command -v openssl >/dev/null || missing="$$missing openssl"; \
	$(BIN)/playwright --version >/dev/null 2>&1 || missing="$$missing libatomic1"; \
	[ -z "$$missing" ] || { \
		echo "installing$$missing"; \
		$(call APT,$$missing) || { echo "cannot; ask whoever may: apt-get install$$missing"; exit 1; }; }

# What the page is checked with; the page's own packages are there since the installation, which takes all others away.
node_modules/installed: package-lock.json | $(VENV)/installed
	$(BIN)/npm ci --silent
	@touch $@

# The fleet's engine: out of Debian's package, which would start a service of its own if it were installed.
$(BIN)/etcd: | $(BIN)/python
	@command -v etcd >/dev/null && ln -sf "$$(command -v etcd)" $@ || { \
		echo "fetching etcd"; \
		rm -rf $(VENV)/etcd; mkdir -p $(VENV)/etcd && cd $(VENV)/etcd && \
		{ apt-get download -qq etcd-server || { $(SUDO) apt-get update -qq && apt-get download -qq etcd-server; }; } && \
		dpkg-deb -x etcd-server_*.deb . && ln -sf ../etcd/usr/bin/etcd ../bin/etcd; } || \
		{ echo "cannot fetch etcd; ask whoever may: apt-get install etcd-server"; exit 1; }

SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo -n)
APT = { $(SUDO) apt-get update -qq && DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq $(1) >/dev/null; }
