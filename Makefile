# Everything a new user or CI calls. On a bare machine (Python 3.11 to 3.13 and make) each target first makes
# .venv and installs the pinned set into it, which takes two minutes once.

PYTHON ?= python3
UV ?= uv
VENV := .venv
READY := $(VENV)/installed

# DVC starts `pipeline` by its name.
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help demo test test-all lint docs bench lock clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*##/  make \1\t/p' $(MAKEFILE_LIST) | expand -t 18

demo: $(READY)  ## simulated data to shards to a trained model, under DVC; a few minutes
	@dvc repro
	@python .ci/summary.py

test: $(READY)  ## the tests but the long ones
	@pytest -m "not slow" --numprocesses auto --maxprocesses 4 --dist loadfile

test-all: $(READY)  ## all tests
	@pytest --numprocesses auto --maxprocesses 4 --dist loadfile

lint: $(READY)  ## style, types, and a lock without addresses
	ruff check .
	ruff format --check .
	mypy
	lint-imports
	@! grep -nE '://|@ |--(extra-)?index-url|--find-links' constraints.txt

docs: $(READY)  ## the documents as a site in site/; a link that leads nowhere is an error
	@NO_MKDOCS_2_WARNING=1 mkdocs build --strict --quiet
	@echo "site/index.html is ready; to search in it: python -m http.server -d site"

bench: $(READY)  ## run every benchmark and render benchmarks/README.md; an hour
	@for name in start steps convert scaling memory tfrecord loader verify train predict silent; do echo "$$name"; \
	  python benchmarks/bench_$$name.py --json benchmarks/results/$$name.json || exit 1; done
	@python benchmarks/render.py

lock: $(READY)  ## pin the newest versions anew in constraints.txt; needs uv
	python .ci/lock.py $(UV)

clean:  ## remove what was made from the data, and caches; not data/, .venv/ or DVC's cache
	rm -rf shards shards.incomplete model model.incomplete evaluation evaluation.incomplete report dvc_plots site build dist .benchmarks
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find pipeline tests benchmarks .ci -name __pycache__ -type d -prune -exec rm -rf {} +

# Installed anew only when the pinned set or the package's own description changes. Without build isolation,
# because what builds the package is in the pinned set too.
$(READY): constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "error: $(PYTHON) is not Python 3.11, 3.12 or 3.13; name one: make PYTHON=python3.12 …" >&2; exit 1; }
	@test -x $(VENV)/bin/pip || $(PYTHON) -m venv $(VENV)
	@echo "installing the pinned set into $(VENV) (about two minutes) …"
	@$(VENV)/bin/python -m pip install -qq --disable-pip-version-check --require-hashes -r constraints.txt
	@$(VENV)/bin/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
