# The two commands that count: `make up` runs the platform, `make test` proves it. Each does its own set-up.
#
#   make up ARGS="--until-close --speed max --json"
#   make test PYTEST_ARGS="-k ledger"

SHELL := /bin/sh
ARGS ?=
PYTEST_ARGS ?=

PY := .venv/bin/python
LOCKED := pyproject.toml uv.lock infra/setup.sh
SOURCES := $(addprefix quant_platform/,domain ports protocol indicators services)
KERNELS := quant_platform/kernel.py $(shell find $(SOURCES) -name '*.py')

# A .venv that was copied along with the checkout still points to the old place.
ifneq ($(wildcard .venv/.checkout),)
ifneq ($(shell cat .venv/.checkout),$(shell pwd -P))
LOCKED += moved
endif
endif

# The stamps below build on one another.
.NOTPARALLEL:
.DEFAULT_GOAL := help
.PHONY: help up test lint format bench moved

help:
	@echo "make up      run the platform: a whole trading day without keys   (ARGS=\"…\" go to quant up)"
	@echo "make test    run all tests                                        (PYTEST_ARGS=\"…\" go to pytest)"
	@echo "make bench   measure the figures of docs/performance.md           (ARGS=\"--quick\": small inputs)"
	@echo "make lint    check style, types and the house rules"
	@echo "make format  put the code into its format"

up: .venv/.run .venv/.warm
	@.venv/bin/quant up $(ARGS)

test: .venv/.dev .venv/.warm
	@$(PY) -m pytest $(PYTEST_ARGS)

bench: .venv/.dev .venv/.warm
	@$(PY) -m benchmarks $(ARGS)

lint: .venv/.dev
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy --strict
	.venv/bin/lint-imports

format: .venv/.dev
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

# What is installed, by the age of a stamp: for use, and with the test tools as well.
.venv/.run: $(LOCKED)
	@sh infra/setup.sh run
	@touch $@

.venv/.dev: $(LOCKED)
	@sh infra/setup.sh dev
	@touch .venv/.run $@

# Numba's machine code, anew when a kernel may have changed. Runs once one of the stamps above stands.
.venv/.warm: $(KERNELS) | .venv/.run
	@echo "compiling the kernels" >&2
	@$(PY) -m quant_platform.hosts.warm >&2
	@touch $@
