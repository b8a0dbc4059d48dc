# `make demo` and `make test` are all that a fresh machine with Python (3.10 or later) and make needs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# A process per core, a thread each: the suite is many short runs. Whole files in the order of the folders: integration
# comes first, so that no long file runs alone at the end.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder --durations 20

.PHONY: demo test test-all test-fast lint perf gpu docs clean

demo: $(READY)
	$(BIN)/bench run quickstart --out demo

test: lint
	$(PYTEST)

# With the tests that show of many cases what others show of one: half as long again.
test-all: lint
	$(PYTEST) -m ""

test-fast: $(READY)
	$(PYTEST) -m "not slow and not thorough"

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Runs every script in perf/ and writes docs/performance.md; on a machine that does nothing else.
perf: $(READY)
	$(BIN)/python perf/page.py

# Ten minutes on a GPU, turned into docs/gpu.md; DEVICE=cpu TINY=1 is a dry run. It installs nothing: GPU_PYTHON is a
# python that has a torch. DATA: an image folder of 32 px; OUT: of results; PACKAGES: of packages that are not installed.
GPU_PYTHON ?= $(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON))
gpu:
	$(GPU_PYTHON) perf/gpu.py $(if $(DEVICE),--device $(DEVICE)) $(if $(TINY),--tiny) $(if $(DATA),--data $(DATA)) \
		$(if $(OUT),--out $(OUT)) $(if $(PACKAGES),--packages $(PACKAGES)) $(if $(ONLY),--only $(ONLY))

# Makes the tables of README and of two pages, and the site from README and docs/: site/index.html opens from disk.
docs: $(READY)
	$(BIN)/python docs/make_configuration.py
	$(BIN)/python docs/make_leaderboard.py
	$(BIN)/python docs/make_methods.py
	$(BIN)/python docs/make_readme.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	# Python compiles what is imported; compiling all that torch brings takes a minute.
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable ".[dev$(EXTRAS:%=,%)]"
	# The oracle of the parity tests; it pins an old torch, so that it comes without what it asks for.
	$(BIN)/python -m pip install --quiet --no-deps solo-learn==1.0.2
	touch $(READY)

clean:
	rm -rf $(VENV) demo site
