# pyrovae: `make demo` and `make test` need Python >= 3.10 and make, and nothing else.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help demo test lint format catalogue wheel clean
.DEFAULT_GOAL := help

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 10

$(READY): setup.py pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test,tensorboard]'
	@touch $@

demo: $(READY)  ## train, evaluate and picture a VAE on the embedded digits, in runs/demo
	@rm -rf runs/demo
	$(BIN)/pyrovae train vae --data digits --latent_dim 10 --epochs 100 --patience 10 --out runs/demo
	$(BIN)/pyrovae evaluate runs/demo --num_samples 1000
	$(BIN)/pyrovae sample runs/demo --num 64 --out runs/demo/samples.png
	$(BIN)/pyrovae report runs/demo

test: $(READY) lint  ## tests, doctests and lint, a process for each core
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist worksteal

lint: $(READY)  ## ruff's checks and format, mypy's types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)  ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

catalogue: $(READY)  ## write docs/catalogue.md, docs/data.md, docs/objectives.md and the README's table of families
	$(BIN)/python docs/write_catalogue.py
	$(BIN)/python docs/write_data.py
	$(BIN)/python docs/write_objectives.py

wheel: $(READY)  ## build a wheel into dist/
	rm -rf build
	$(BIN)/python -m pip wheel --no-deps --no-build-isolation --wheel-dir dist .

clean:  ## remove the environment and build products (runs/ stays)
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache
