# What a person types. `make` alone lists it. Everything is installed into .venv, from lock files whose
# every line carries its hashes; stamp files there make the second run a matter of seconds.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

# The interpreter that .venv is made with: make test PYTHON=python3.12
PYTHON ?= python3
# Where to install; not taken from the environment, as a wrong one is removed. Another folder keeps a second
# interpreter apart: make test PYTHON=python3.13 VENV=.venv-3.13
VENV := .venv
# Handed to the command: make run ARGS="--seconds 20 --json", make test ARGS="-k journal", make load ARGS="--shape failover"
ARGS ?=

# Commands that tests start, and the Debian package that brings each.
TEST_COMMANDS := ffmpeg=ffmpeg nginx=nginx varnishd=varnish wrk=wrk

# What writes the lock files; nothing else needs it.
LOCK_TOOL := uv==0.13.9
# How to use it: `make lock` keeps every pin that still fits, `make lock LOCK_ARGS=--upgrade` takes the newest.
LOCK_ARGS ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# Debian keeps daemons where only root looks.
export PATH := $(PATH):/usr/local/sbin:/usr/sbin:/sbin

.PHONY: help run test check format bench crash kills soak load lock clean venv run-tools test-tools debian-packages

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 18

run: run-tools ## start the demo: two encoders, an origin, a page of what happens
	@$(BIN)/live-origin demo $(ARGS)

test: debian-packages check ## check, then every test; the first time, install what they need
	@$(BIN)/python -m tests $(ARGS)

check: test-tools ## format, lint and types, without changing a file
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy

format: test-tools ## put the code in shape, and mend what the linter can mend
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .

bench: debian-packages test-tools ## measure what the server promises: make bench ARGS="--only nginx --record"; --list
	@$(BIN)/python -m tests.benchmarks $(ARGS)

crash: test-tools ## kill an origin under load fifty times, and judge what it kept
	@$(BIN)/python -m tests.faults.crashes $(ARGS)

kills: test-tools ## kill each process of an origin twenty times under live load: nobody may miss a segment
	@$(BIN)/python -m tests.faults.kills $(ARGS)

soak: test-tools ## four hours of an event in two minutes: nothing may grow that should not
	@$(BIN)/python -m tests.faults.soak $(ARGS)

load: test-tools ## load an origin for two minutes, and judge it; the report goes to load-report/
	@$(BIN)/python -m loadtests $(ARGS)

lock: venv ## write the lock files anew, from the bounds in pyproject.toml
	@$(BIN)/python -m venv $(VENV)/lock
	@$(VENV)/lock/bin/python -m pip --disable-pip-version-check install --quiet $(LOCK_TOOL)
	@$(call compile,requirements.lock)
	@$(call compile,requirements-dev.lock,--extra dev --constraints requirements.lock)

clean: ## remove .venv and everything that tools left behind
	@rm -rf $(VENV) .venv .venv-* build dist load-report *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# One lock file for every platform and every Python from 3.11 on. It names no index address.
compile = env UV_CUSTOM_COMPILE_COMMAND="make lock" $(VENV)/lock/bin/uv --quiet --no-config pip compile pyproject.toml \
	--universal --python-version 3.11 --generate-hashes --group build $(2) $(LOCK_ARGS) --output-file $(1)

# -- Installing: everything below speaks on stderr, so that `make run` prints nothing but the demo.

run-tools: venv
	@$(MAKE) --silent $(VENV)/run.stamp 1>&2
test-tools: venv
	@$(MAKE) --silent $(VENV)/test.stamp 1>&2

# test.stamp holds for both: the development lock has all that the other one has.
$(VENV)/run.stamp: requirements.lock pyproject.toml
	@[[ $(VENV)/test.stamp -nt pyproject.toml && $(VENV)/test.stamp -nt $< ]] || { $(call install,$<); }
	@touch $@

$(VENV)/test.stamp: requirements-dev.lock pyproject.toml
	@$(call install,$<)
	@touch $@

install = echo "Installing $(1) into $(VENV); the first time takes a minute." && \
	$(PIP) install --quiet --require-hashes --requirement $(1) && \
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .

# Looks at each run, which takes a blink: .venv must exist, work, and be of the Python that was asked for.
version_of = $(1) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null
venv:
	@{ \
	version="$$($(call version_of,$(PYTHON)))" || { \
	    echo "$(PYTHON) does not start. Install Python 3.11 or newer (Debian: apt-get install python3)," \
	        "or name another interpreter: make PYTHON=python3.12" ; exit 1; }; \
	minor="$${version#*.}"; \
	if [[ "$${version%%.*}" -ne 3 || "$$minor" -lt 11 ]]; then \
	    echo "$(PYTHON) is Python $$version; this needs Python 3.11 or newer." \
	        "Name another interpreter: make PYTHON=python3.12"; exit 1; \
	fi; \
	if [[ ! -x $(BIN)/pip || "$$($(call version_of,$(BIN)/python))" != "$$version" ]]; then \
	    rm -rf $(VENV); \
	    $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { $(call apt_install,python$$version-venv); }; \
	    echo "Making $(VENV) with Python $$version."; \
	    $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }; \
	fi; \
	} 1>&2

debian-packages:
	@missing=(); \
	for pair in $(TEST_COMMANDS); do command -v "$${pair%%=*}" >/dev/null || missing+=("$${pair##*=}"); done; \
	if (( $${#missing[@]} )); then { $(call apt_install,$${missing[*]}); } 1>&2; fi

# Installs Debian packages as root, through sudo when there is a way to, or says what to type.
apt_install = \
	echo "Installing Debian packages: $(1)"; \
	if ! command -v apt-get >/dev/null; then as_root=none; \
	elif [[ "$$(id -u)" -eq 0 ]]; then as_root="env DEBIAN_FRONTEND=noninteractive"; \
	elif command -v sudo >/dev/null && { [[ -t 0 ]] || sudo -n true 2>/dev/null; }; then as_root="sudo env DEBIAN_FRONTEND=noninteractive"; \
	else as_root=none; fi; \
	if [[ "$$as_root" == none ]]; then \
	    echo "They cannot be installed from here. Please type: apt-get install $(1)   (as root), and run make again."; exit 1; \
	fi; \
	{ $$as_root apt-get update -qq && $$as_root apt-get install -y -qq --no-install-recommends $(1); } || { \
	    echo "That failed. Please type: apt-get install $(1)   (as root), and run make again."; exit 1; }
