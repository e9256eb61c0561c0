# `make train` and `make test` are all that a new machine needs: Python ≥ 3.10 and a package index.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# One torch thread a test process: the tests' networks are tiny, and two processes share the cores.
TEST_ENV := OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1

# Of the names that it goes by, those that are there.
CHROMIUM := $(foreach name,chromium chromium-browser google-chrome chrome,$(shell command -v $(name)))

.PHONY: train test test-browser check golden figures soak clean

train: $(VENV)/installed
	$(BIN)/python train.py experiment=transfer_feature_extractor

test: $(VENV)/installed-for-tests check
	$(TEST_ENV) $(BIN)/python -m pytest -n 2 -m "not slow$(if $(CHROMIUM),, and not browser)"
	@$(if $(CHROMIUM),,echo "LEFT OUT: the tests in a browser, for want of Chromium (apt-get install chromium).")

test-browser: $(VENV)/installed-for-tests
	$(TEST_ENV) $(BIN)/python -m pytest -m browser

check: $(VENV)/installed-for-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=. $(BIN)/lint-imports --no-logo

# The same bits as digests.json has, or as a commit gives: `make golden AGAINST=HEAD~1`? `--help` says how to renew them.
golden: $(VENV)/installed-for-tests
	$(BIN)/python -m tests.golden.record $(if $(AGAINST),--against $(AGAINST))

# The results in the README and in the experiments' headers, measured again: `make figures ONLY=lenet_nll DATA=DIR`.
figures: $(VENV)/installed
	$(BIN)/python -m docs.figures --data-dir $(or $(DATA),data) $(if $(ONLY),--only $(ONLY))

soak: $(VENV)/installed-for-tests
	$(TEST_ENV) $(BIN)/python -m pytest -n 2 -m slow

# What was tested; `make CONSTRAINTS= …` takes the newest releases that pyproject.toml allows.
CONSTRAINTS ?= -c constraints.txt

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -e . $(CONSTRAINTS)
	touch $@

$(VENV)/installed-for-tests: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -e '.[test]' $(CONSTRAINTS)
	touch $@

clean:
	rm -rf $(VENV) *.egg-info build .pytest_cache .mypy_cache .ruff_cache
