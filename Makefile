# Everything a fresh machine needs: Python 3.11 or newer, make, and the package registries.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
unexport PYTHONDONTWRITEBYTECODE PYTHONHOME PYTHONPATH  # without bytecode ten processes start in 6 s, not in 2.5 s

PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	"$$p" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$p"; break; }; done)
BIN := .venv/bin
UV := $(BIN)/uv
PIP := $(UV) pip install --quiet --python $(BIN)/python
COMPILE := $(UV) pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header
OURS := services gateway consumers simulators ops bench
PROTOS := $(shell find protos -name '*.proto')
BREAKING := $(BIN)/buf breaking gen/image.binpb --against protos/baseline.binpb --config protos/buf.yaml
TESTS := unit component conformance model flow
PARALLEL := 4

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

# ---- the two commands ----

demo: .venv/.run gen/.stamp  ## Play a hundred checkouts through everything, and audit them
	@$(BIN)/onefold demo

test: install  ## Run all tests on real PostgreSQL and Kafka
	$(BIN)/pytest -q -n $(PARALLEL) --dist worksteal -m "not serial" $(wildcard $(TESTS:%=tests/%))
	$(BIN)/pytest -q -m serial $(wildcard $(TESTS:%=tests/%) tests/e2e)

# ---- daily work ----

install: .venv/.dev gen/.stamp  ## Make .venv with everything, tools for developers included

up: .venv/.run gen/.stamp  ## Start the local stack and leave it running
	@$(BIN)/onefold up --detach

down:  ## Stop the local stack
	@$(BIN)/onefold down

model: install  ## Walk every interleaving of one order, the larger scenarios too (about 7 minutes)
	$(BIN)/python -m tests.model --deep

test-unit: install  ## Run the unit tests alone
	$(BIN)/pytest -q tests/unit

check: check-style check-imports check-house check-protos check-documents check-types  ## All checks; `make -k check` goes on after a failure

check-style: install  # format and lint
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .

check-imports: install  # who may import whom
	@$(BIN)/lint-imports --no-logo

check-house: install  # lengths, pure domains, nothing of one machine
	$(BIN)/python -m ops.house_rules

check-protos: install  # format, lint, and nothing that breaks a reader
	$(BIN)/buf format --diff --exit-code protos
	$(BIN)/buf lint gen/image.binpb --config protos/buf.yaml
	$(BREAKING)

check-documents: install  # generated ones are up to date
	$(BIN)/onefold docs events --check

check-types: install
	$(BIN)/mypy

format: install  ## Format our code and protos
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/buf format --write protos

protos: gen/.stamp  ## Generate gen/ from protos/

breaks: install  ## Take each guarantee away and see its tests fail (ONLY="R-1.1 S-5" for some)
	@$(BIN)/python -m ops.breaks $(ONLY)

bench: install  ## Measure ours, a rival and the limit in turns (ONLY=hot-sku for one)
	@$(BIN)/onefold bench $(or $(ONLY),all) --json

bench-twice: install  ## Measure all two times, and say whether the runs agree (ONLY=hot-sku for one)
	@$(BIN)/onefold bench $(or $(ONLY),all) --json --twice

bench-growth: install  ## Cost per order after a million orders, at most 20 minutes
	@$(BIN)/onefold bench growth --json

crash-matrix: install  ## Let every process die at every place of the road, and race at every point (long)
	ONEFOLD_FLOW=thorough $(BIN)/pytest -q -n $(PARALLEL) --dist worksteal --timeout 3600 -m "not serial" tests/flow

requirements: install  ## Show which tests prove each requirement and rule
	@$(BIN)/python -m ops.requirements

check-fresh:  ## Clone to an empty place and run the two commands there, as root and as somebody else
	@$(or $(wildcard $(BIN)/python),$(PYTHON)) -m ops.fresh

# ---- seldom ----

lock: $(UV)  ## Choose versions anew; write requirements*.txt and Kafka's sums
	$(COMPILE) --group local pyproject.toml -o requirements.txt
	$(COMPILE) --group pyproject.toml:dev -c requirements.txt -o requirements-dev.txt
	echo uv | $(COMPILE) - -o requirements-uv.txt
	$(BIN)/python -m ops.local.jars

baseline: .venv/.run  ## Accept the present protos as what later ones must not break
	$(BIN)/python -m ops.protos --image protos/baseline.binpb

clean:  ## Remove everything that was made here: .venv, gen, .onefold
	if [ -x $(BIN)/python ]; then $(BIN)/python -m ops down --purge || test $$? -ne 2; fi  # 2: a stack cannot be stopped
	rm -rf .venv gen .onefold .gen.lock dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis

# ---- what the above need ----

$(UV): requirements-uv.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer with venv is needed" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-uv.txt
	@touch $@

.venv/.run: $(UV) requirements.txt pyproject.toml
	$(PIP) --compile-bytecode --require-hashes -r requirements.txt
	$(PIP) --no-deps --no-build-isolation --editable .
	-@$(BIN)/python -m compileall -q $(wildcard $(OURS))
	@touch $@

.venv/.dev: .venv/.run requirements-dev.txt
	$(PIP) --compile-bytecode --require-hashes -r requirements-dev.txt
	@touch $@

gen/.stamp: .venv/.run $(PROTOS) ops/protos.py
	$(BIN)/python -m ops.protos
	@touch $@

.PHONY: help demo test bench bench-twice bench-growth install up down test-unit model format protos breaks crash-matrix requirements lock baseline clean check \
	check-fresh check-style check-imports check-house check-protos check-documents check-types
