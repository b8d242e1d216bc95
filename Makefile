# Everything a fresh machine needs: Python 3.11 or newer, make, and the package registries.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	"$$p" -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$p"; break; }; done)
BIN := .venv/bin
UV := $(BIN)/uv
PACKAGES := services gateway consumers simulators ops

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

$(UV): requirements-uv.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-uv.txt
	@touch $@

.venv/.run: $(UV) requirements.txt pyproject.toml
	$(UV) pip install --quiet --python $(BIN)/python --compile-bytecode --require-hashes -r requirements.txt
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

.venv/.dev: .venv/.run requirements-dev.txt
	$(UV) pip install --quiet --python $(BIN)/python --compile-bytecode --require-hashes -r requirements-dev.txt
	@touch $@

gen/.stamp: .venv/.run $(shell find protos -name '*.proto') ops/protos.py
	$(BIN)/python -m ops.protos
	@touch $@

protos: gen/.stamp  ## Generate gen/ from protos/

install: .venv/.dev gen/.stamp  ## Make .venv with everything, tools for developers included

lock: $(UV)  ## Choose versions anew and write requirements*.txt with their hashes
	$(UV) pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --group local pyproject.toml -o requirements.txt
	$(UV) pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --group pyproject.toml:dev -c requirements.txt -o requirements-dev.txt
	echo uv | $(UV) pip compile --quiet --upgrade --universal --generate-hashes --no-header - -o requirements-uv.txt

.PHONY: help install lock protos
