# Two commands do everything on a machine that has git, make and Python 3.11:
#   make evolve   install into .venv and run the main job on real weights and real data
#   make test     install what the tests need as well, lint, and run them
#   make quick    run the tests that need no network to be built, in less than a minute
#   make coverage run all tests and say which lines none of them ran
#   make docs     build the documentation into build/site, strictly

PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
RUN    := runs/quickstart

# A CPU build of torch 2.13 where pip offers one; tests only.
export TF_CPP_MIN_LOG_LEVEL ?= 3
# The tests start hundreds of processes. Where this is set, each of them would compile all that it imports again.
unexport PYTHONDONTWRITEBYTECODE
# setuptools warns of every editable installation, which would frighten who installs for the first time.
# Python compiles what it imports; to compile all of 4 GB here would take a minute. What the tests import is
# compiled once, before several processes would each do so (26 s of a processor each).
INSTALL = PYTHONWARNINGS=ignore $(BIN)/python .ci/install.py
# As an entry of sys.path: otherwise Python, run beside the clone, takes the clone's folder for the package.
AS_PATH = --config-settings editable_mode=compat
# Three processes run all tests on two cores: some mostly wait for Ray, a browser, a command or the disk.
# Each file of tests belongs to one process; tests/conftest.py says in which order.
TESTS = $(BIN)/python -m pytest --no-loadscope-reorder

.PHONY: evolve test all-tests quick coverage docs lint format clean

evolve: $(VENV)/.installed-demo
	$(BIN)/python -m efn_compose.evolve $(if $(wildcard $(RUN)/environment.json),--resume) $(ARGS)

test: $(VENV)/.installed-test
	@$(MAKE) --no-print-directory --jobs 3 lint all-tests

# Beside the types' check, which keeps one processor only: what it finds is said at once, and fails in the end.
all-tests: $(VENV)/.compiled-test $(VENV)/.compiled-others
	$(TESTS) --numprocesses 3 $(ARGS)

# Each process imports TensorFlow and more for itself. These tests never wait: two processes are enough.
quick:
	@test -e $(VENV)/.installed-test || { echo "Run make test once: it installs what the tests need."; exit 1; }
	$(TESTS) --numprocesses 2 -m "not slow and not parity" $(ARGS)

# Coverage's own notes do not fit on the full disk of one test.
coverage: $(VENV)/.installed-test
	$(TESTS) --numprocesses 3 --cov --cov-report=term $(ARGS) \
		--deselect tests/jobs/search/test_job.py::test_a_full_disk_keeps_the_journal_and_says_so

docs: $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo build/site/index.html

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist *.egg-info

$(BIN)/python:
	$(PYTHON) -m venv $(VENV) || python3 -m venv $(VENV)

$(VENV)/.installed-demo: $(BIN)/python setup.cfg pyproject.toml
	@echo "Installing into $(VENV): about 3 GB of packages, a few minutes, silent unless something fails."
	$(INSTALL) $(AS_PATH) --editable '.[demo,plots]'
	touch $@

$(VENV)/.installed-test: $(BIN)/python setup.cfg pyproject.toml
	@echo "Installing what the tests compare with into $(VENV): a few minutes more."
	$(INSTALL) $(AS_PATH) --editable '.[demo,plots,docs,test,parity,stacking]'
	touch $@

# Its end says nothing: what cannot be imported is said by the tests themselves.
$(VENV)/.compiled-test: $(VENV)/.installed-test
	@$(BIN)/python -m pytest --collect-only -qq > $(VENV)/collected 2>&1 || true
	@touch $@

# A third of it, which a second process compiles before the first one comes to it.
$(VENV)/.compiled-others: $(VENV)/.installed-test
	@$(BIN)/python -c "import sklearn.linear_model, matplotlib.pyplot, torch, torchvision" 2> $(VENV)/others || true
	@touch $@

$(VENV)/.installed-docs: $(BIN)/python setup.cfg pyproject.toml
	$(INSTALL) $(AS_PATH) --editable '.[docs]'
	touch $@
