# mee6's commands. `make demo` and `make test` need nothing but Python >= 3.11 and make.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev
SOURCES := mee6 agent proxy runtimes mee6tui samples tests

.DEFAULT_GOAL := help
.PHONY: help demo test check bench readme figures pictures protos format clean vendor

help: ## Say what there is
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t12

demo: $(STAMP) ## Start an agent, add the samples, run workflows, show their traces
	@$(BIN)/mee6 demo

test: $(DEV_STAMP) ## Run every test this machine can run
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

check: $(DEV_STAMP) ## Lint, types, architecture, formatting: what CI checks
	@$(BIN)/ruff check $(SOURCES)
	@$(BIN)/ruff format --check $(SOURCES)
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(DEV_STAMP) ## Measure; prints a table, writes bench-results/
	@$(BIN)/python -m tests.benchmarks $(BENCH_ARGS)

format: $(DEV_STAMP) ## Format the sources
	@$(BIN)/ruff check --fix --quiet $(SOURCES)
	@$(BIN)/ruff format $(SOURCES)

readme: $(DEV_STAMP) ## Put the demo's session, and with FIGURES=FILE.json the benchmarks' table, into README
	@$(BIN)/python -m tests.support.readme demo
	@test -z "$(FIGURES)" || $(BIN)/python -m tests.support.readme figures $(FIGURES)

figures: $(DEV_STAMP) ## Measure all that README's table of promises needs, and put it there; some six minutes
	@$(BIN)/python -m tests.support.readme measure $(FIGURES)

pictures: $(DEV_STAMP) ## Take the console's pictures again, of an agent under load
	@$(BIN)/python -m tests.support.pictures

protos: $(DEV_STAMP) ## Make the generated files again
	@$(BIN)/python -m grpc_tools.protoc -I. --python_out=. --grpc_python_out=. --pyi_out=. mee6/api/v1/*.proto
	@$(BIN)/python -m mee6.lane.schema --write
	@$(BIN)/python -m tests.support.diagrams

vendor: ## Fetch the Node.js runtime's one library again
	@cd "$$(mktemp -d)" && npm pack --silent @msgpack/msgpack@3.1.3 >/dev/null && tar xzf ./*.tgz && \
		cp package/dist.umd/msgpack.js $(CURDIR)/runtimes/nodejs/vendor/ && \
		cp package/LICENSE $(CURDIR)/runtimes/nodejs/vendor/LICENSE.msgpack

clean: ## Remove what was made here
	@rm -rf $(VENV) bench-results .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "mee6 needs Python >= 3.11; say which with: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(STAMP): $(BIN)/python pyproject.toml
	@echo "installing mee6 into $(VENV)" >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(DEV_STAMP): $(STAMP)
	@echo "installing what tests and checks need" >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		$$($(BIN)/python -c 'import tomllib; print(*(d.replace(" ", "") for d in tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"]["dev"]))')
	@touch $@
