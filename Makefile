# Needs make and Python 3.11 or newer. Everything is installed into .venv beside this file, except by make setup.
#
#   make run      opens the explorer on the demo model, which the first start downloads
#                 options go into ARGS: make run ARGS="--prune magnitude:0.6 --follow free"
#   make test     runs all tests on all cores, or those in TESTS: make test TESTS="tests/probes -k spaces"
#   make quick    runs the fast tests, without the demo model and without a terminal
#   make setup    as root: installs tmux and chromium, without which some tests are skipped
#   make check    checks types, lint, formatting, and which folder imports which
#   make pictures draws the pictures of docs/explain.md with the demo model, in some minutes
#   make screens  draws the pictures of docs/screens, and the recording of the tutorial, in some minutes
#   make verdicts makes the verdicts of docs/verdict.md with the demo model, in some minutes
#   make sweeps   makes the figures of docs/sweep.md with the demo model, in some hours
#   make performance measures docs/performance.md on a quiet machine, in some minutes
#   make site     builds the site of the documents into build/site
#   make dist     builds what is released into dist, and checks it
#   make matrix   says which versions each Python would get at the least and at the most; installs nothing
#   make test-lowest runs tests with the lowest versions that are allowed
#   make clean    removes .venv and the files of tools; models in the cache folder stay

PYTHON ?= python3
ARGS ?=
TESTS ?=
# harness needs packages that are only there as source
EXTRAS := --extra cluster --extra compressed --extra docs --extra figures --extra serve --extra tables

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install

.PHONY: help run test quick setup check pictures screens verdicts sweeps performance site dist matrix test-lowest clean
.DELETE_ON_ERROR:

help:
	@sed -n 's/^#   \(make.*\)/\1/p' Makefile

run: .venv/installed
	@$(BIN)/phier-tui $(ARGS)

test: .venv/installed-for-tests
	@tests/run.sh $(BIN)/python $(TESTS)

quick: .venv/installed-for-tests
	@QUICK=1 tests/run.sh $(BIN)/python $(TESTS)

setup:
	@tests/setup.sh

check: .venv/installed-for-tests
	$(BIN)/python -m mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

pictures: .venv/installed
	$(BIN)/python docs/pictures.py

screens: .venv/installed
	$(BIN)/python docs/screens.py
	$(BIN)/python docs/film.py

verdicts: .venv/installed
	$(PIP) --editable '.[figures]'
	$(BIN)/python docs/verdicts.py

sweeps: .venv/installed
	$(PIP) --editable '.[figures]'
	$(BIN)/python docs/sweeps.py

performance: .venv/installed
	$(BIN)/python docs/performance.py

site: .venv/installed-for-tests
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo 'Read it with: $(BIN)/python -m http.server --bind 127.0.0.1 --directory build/site'

dist: .venv/installed-for-tests
	rm -rf dist
	$(PIP) --quiet build
	$(BIN)/python -m build
	tests/run.sh $(BIN)/python tests/test_release.py tests/journeys/test_installed.py

matrix: .venv/installed-for-tests
	$(PIP) --quiet uv
	@mkdir -p build
	@for python in 3.11 3.12 3.13; do for which in lowest-direct highest; do \
		$(BIN)/python -m uv pip compile --quiet --python-version $$python --resolution $$which --only-binary :all: $(EXTRAS) \
			--no-annotate --no-header pyproject.toml --output-file build/$$which-$$python.txt || exit 1; \
		echo "Python $$python, $$which: $$(grep -c == build/$$which-$$python.txt) packages (build/$$which-$$python.txt)"; \
	done; done

test-lowest: .venv/installed-for-tests
	$(PIP) --quiet uv
	tests/lowest.sh $(BIN)/python $(TESTS)

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find explorer probes tests -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is written last, so that an interrupted installation is repeated.

.venv/installed: pyproject.toml | .venv/made
	$(PIP) --editable .
	@touch $@

.venv/installed-for-tests: pyproject.toml | .venv/made
	$(PIP) --quiet --upgrade pip # an older one takes twice as long to find versions that fit together
	$(PIP) --no-compile --editable '.[test]' # of most modules nothing is ever imported
	@touch $@ .venv/installed

.venv/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo 'phier needs Python 3.11 or newer, and $(PYTHON) is: '"$$($(PYTHON) --version 2>&1)" >&2; \
		echo 'Name another one: make PYTHON=python3.12 $(MAKECMDGOALS)' >&2; exit 1; }
	@$(PYTHON) -m venv .venv || { \
		echo 'Where Python comes without venv (on Debian: apt install python3-venv), install that first.' >&2; exit 1; }
	@touch $@
