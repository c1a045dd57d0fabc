# SPDX-License-Identifier: Apache-2.0
# Every target sets up what it needs; the commands here are the commands of continuous integration.
#
#   make demo ARGS="--json"     arguments for the program
#   make demo ENGINE=cometbft   on a board of four operators
#   make test TESTS=tests/unit  part of the tests
#   make PYTHON=python3.12 ...  another interpreter

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/sh

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
ARGS   ?=
TESTS  ?=
JOBS   ?= 2

PIP_FLAGS := --quiet --disable-pip-version-check --no-input
WRITTEN_IN := from fieldpost.statemap import writing as w; print('the state map is written in', w.WRITTEN_IN)
SOURCES   := src tests tools vectors benchmarks

.PHONY: help setup deploy-deps deploy-try system-deps cluster-deps witness-deps demo test bench bench-cluster fuzz chaos liars mutants check fmt docs vectors lock dist clean

help: ## this list
	@echo "Fieldpost. Targets:"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-18s %s\n", $$1, $$2}'

setup: $(STAMP) ## the virtual environment .venv with everything locked by hash

$(STAMP): requirements/dev.lock pyproject.toml tools/build_writing.py src/fieldpost/statemap/_writing.c
	@command -v $(PYTHON) >/dev/null || { echo "setup: there is no $(PYTHON) here; name one: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) tools/check_python.py
	@echo "setup: virtual environment in $(VENV)" >&2
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "setup: locked packages (a minute on a first run, then cached)" >&2
	@$(BIN)/python -m pip install $(PIP_FLAGS) --require-hashes -r requirements/dev.lock
	@echo "setup: fieldpost itself, editable" >&2
	@$(BIN)/python -m pip install $(PIP_FLAGS) --no-build-isolation --no-deps -e .
	@$(BIN)/python -c "$(WRITTEN_IN)" >&2
	@touch $@

system-deps: ## Debian packages that tests and benchmarks use (requirements/system.txt)
	@tools/install_system_packages.sh requirements/system.txt system-deps

cluster-deps: ## CometBFT, pinned, by `go install` (requirements/go.txt); for boards of several operators
	@tools/install_go_programs.sh requirements/go.txt cluster-deps

witness-deps: ## litewitness, pinned, by `go install` (requirements/go-tests.txt); a test asks it for cosignatures
	@tools/install_go_programs.sh requirements/go-tests.txt witness-deps

deploy-deps: ## Debian packages that deploy-try boots machines and builds images with
	@tools/install_system_packages.sh requirements/system-deploy.txt deploy-deps

deploy-try: dist ## units under a real systemd, four operators, the container file; needs root (ARGS="units")
	@nice $(BIN)/python -m tests.deploy $(ARGS)

demo: $(STAMP) ## real firmware to 20 devices, lost keys, attacks, the way out (ENGINE=cometbft: 4 operators)
	@$(BIN)/fieldpost demo $(if $(ENGINE),--engine $(ENGINE)) $(ARGS)

test: $(STAMP) ## every test, about a quarter of an hour on 2 cores
	$(BIN)/pytest -n $(JOBS) $(TESTS) $(ARGS)

bench: $(STAMP) ## measure, with ratios side by side (docs/benchmarks.md; ARGS="--only http")
	$(BIN)/python -m benchmarks $(ARGS)

bench-cluster: $(STAMP) ## measure a board of four operators beside CometBFT's own store (make cluster-deps)
	$(BIN)/python -m benchmarks --only cluster $(ARGS)

fuzz: $(STAMP) ## 100,000 mutations for every reader and endpoint (ARGS="guided --seconds 60")
	$(BIN)/python -m tests.fuzz $(ARGS)

chaos: $(STAMP) ## real processes killed at random moments (ARGS="--node 30 --agent 30 --seed 7")
	$(BIN)/python -m tests.crash.chaos $(ARGS)

liars: $(STAMP) ## members of a board that lie, each a real process: who notices (docs/operations/liars.md)
	$(BIN)/python -m tests.liars $(ARGS)

mutants: $(STAMP) ## every fsync of durable left out in turn: which campaign notices
	$(BIN)/python -m tests.crash.mutants $(ARGS)

check: $(STAMP) ## style, types, import contracts, generated docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(SOURCES)
	$(BIN)/python tools/build_writing.py --check
	$(BIN)/lint-imports --no-logo
	$(BIN)/python tools/draw_architecture.py --check
	$(BIN)/python tools/draw_agent_states.py --check
	$(BIN)/python tools/write_reference.py --check
	$(BIN)/python tools/write_config_reference.py --check
	$(BIN)/python tools/write_openapi.py --check
	$(BIN)/python tools/write_limits.py --check
	$(BIN)/python tools/write_operations_reference.py --check
	$(BIN)/python vectors/generate.py --check

fmt: $(STAMP) ## format, and fix what can be fixed by machine
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(STAMP) ## write the generated parts of the docs again
	$(BIN)/python tools/draw_architecture.py
	$(BIN)/python tools/draw_agent_states.py
	$(BIN)/python tools/write_reference.py
	$(BIN)/python tools/write_config_reference.py
	$(BIN)/python tools/write_openapi.py
	$(BIN)/python tools/write_limits.py
	$(BIN)/python tools/write_operations_reference.py
	$(BIN)/python vectors/generate.py

vectors: $(STAMP) ## write the test vectors and the worked example of the spec again
	$(BIN)/python vectors/generate.py

lock: ## resolve the dependencies again into requirements/dev.lock
	@$(PYTHON) tools/check_python.py
	@test -x .cache/uv/bin/uv || { $(PYTHON) -m venv .cache/uv && .cache/uv/bin/python -m pip install $(PIP_FLAGS) uv; }
	UV_CUSTOM_COMPILE_COMMAND="make lock" .cache/uv/bin/uv pip compile --quiet --universal \
	  --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --extra node --extra sbom --extra pkcs11 --extra cometbft --group dev pyproject.toml -o requirements/dev.lock

dist: $(STAMP) ## sdist and wheels in dist/, each wheel tried in a clean environment
	@rm -rf dist .cache/dist && mkdir -p .cache/dist
	@echo "dist: building (a wheel with the state map's writer in C, from the sdist; and one for every system)"
	@{ $(BIN)/python -m build --no-isolation --outdir dist . \
	  && HATCH_BUILD_NO_HOOKS=true $(BIN)/python -m build --no-isolation --wheel --outdir dist . ; } \
	  > .cache/dist/build.log 2>&1 || { cat .cache/dist/build.log; exit 1; }
	@sed -n 's/^\([A-Za-z0-9_.-]*==[^ ;\\]*\).*/\1/p' requirements/dev.lock > .cache/dist/versions.txt
	@echo "dist: installing the wheel for every system, with what a device needs"
	@$(PYTHON) -m venv .cache/dist/venv
	@.cache/dist/venv/bin/python -m pip install $(PIP_FLAGS) -c .cache/dist/versions.txt dist/*-none-any.whl
	@cd .cache/dist && venv/bin/python -c "import fieldpost" && venv/bin/fieldpost --version
	@echo "dist: installing the one that pip takes here"
	@.cache/dist/venv/bin/python -m pip install $(PIP_FLAGS) --no-index --no-deps --force-reinstall --find-links dist fieldpost
	@cd .cache/dist && venv/bin/fieldpost --version && venv/bin/python -c "$(WRITTEN_IN)"
	@ls -l dist

clean: ## remove what the other targets made
	rm -rf $(VENV) .cache dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find src tests tools -name __pycache__ -prune -exec rm -rf {} +
