# Two commands for a newcomer: make demo, make test. For maintainers: make check.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test check lint types docs test-lowest bench paper paper-quick paper-full clean

demo: $(VENV)/.run
	@$(BIN)/upweight demo

test: $(VENV)/.dev
	@$(BIN)/python -m pytest -n 2

check: lint types test docs test-lowest

lint: $(VENV)/.dev
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(VENV)/.dev
	@$(BIN)/mypy

docs: $(VENV)/.docs
	@$(BIN)/python -m sphinx -q -W -b html docs docs/_build

# the lowest versions that pyproject names, in an environment of its own
test-lowest: $(VENV)-lowest/.dev
	@$(VENV)-lowest/bin/python -m pytest -n 2 tests

bench: $(VENV)/.dev
	@$(BIN)/python benchmarks/run.py all

# every experiment of Koh & Liang (2017): the table's samples; data from packages; the paper's own counts, resumable
paper: $(VENV)/.paper
	@$(BIN)/python experiments/koh_liang_2017/run.py

paper-quick: $(VENV)/.dev
	@$(BIN)/python experiments/koh_liang_2017/run.py --quick

paper-full: $(VENV)/.paper
	@$(BIN)/python experiments/koh_liang_2017/run.py --full

clean:
	@rm -rf $(VENV) $(VENV)-lowest docs/_build

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "upweight needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version). Try: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "This Python cannot make virtual environments. On Debian or Ubuntu: sudo apt-get install python3-venv"; exit 2; }
	@echo "setting up $(VENV) (once; about a minute)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "venv failed. On Debian or Ubuntu: sudo apt-get install python3-venv"; exit 2; }

$(VENV)/.run: pyproject.toml constraints.txt | $(VENV)/bin/python
	@$(PIP) -e . && touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	@$(PIP) -e '.[dev]' && touch $@ $(VENV)/.run

$(VENV)/.docs: $(VENV)/.dev
	@$(PIP) -e '.[dev,docs]' && touch $@

$(VENV)/.paper: $(VENV)/.dev
	@$(PIP) -e '.[dev,paper]' && touch $@

$(VENV)-lowest/.dev: pyproject.toml constraints-lowest.txt
	@$(PYTHON) -m venv $(VENV)-lowest
	@$(VENV)-lowest/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-lowest.txt -e '.[dev]' && touch $@
