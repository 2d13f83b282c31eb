# Two commands matter: `make demo` and `make test`. `make help` lists the rest.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
DEMO   ?= demo-data

.DEFAULT_GOAL := help
.PHONY: help demo test test-all check bench docs wheel pins clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-9s %s\n", $$1, $$2}'

demo: $(VENV)/.run ## environment, then the main job on a synthetic cohort: file -> FHIR -> OMOP -> report -> API -> SQL
	@$(BIN)/python -m masterkey_api.demo --data $(DEMO)

test: $(VENV)/.dev ## environment with extras, then the suite; what the machine lacks is skipped by name
	$(BIN)/python -m pytest -q -m "not slow" -n auto --dist loadfile

test-all: $(VENV)/.dev ## the whole suite, slow parts included
	$(BIN)/python -m pytest -q -n auto --dist loadfile

check: $(VENV)/.dev ## ruff, mypy strict, import-linter, public types, generated pages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tests/verify_types.py
	$(BIN)/python docs/generate.py --check

bench: $(VENV)/.dev ## benchmarks as ratios, then docs/performance.md from them
	$(BIN)/python tests/benchmarks/run.py
	$(BIN)/python docs/generate.py

docs: $(VENV)/.dev ## the generated pages of docs/
	$(BIN)/python docs/generate.py

wheel: $(VENV)/.dev ## dist/masterkey-*.whl
	$(BIN)/python -m hatchling build -t wheel

pins: ## hashed requirement files from pyproject.toml (needs uv)
	uv pip compile pyproject.toml --extra dev --extra postgres --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header -q -o requirements-dev.txt
	uv pip compile pyproject.toml -c requirements-dev.txt --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header -q -o requirements.txt

clean: ## everything that can be made again
	rm -rf $(VENV) $(DEMO) dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "masterkey needs Python 3.11 or newer; say which: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "making the environment in $(VENV) (once) ..."
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run: requirements.txt pyproject.toml | $(BIN)/python
	@echo "installing pinned, hashed packages (once, some minutes) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-build.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.run
	@echo "installing what the tests need (once) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@
