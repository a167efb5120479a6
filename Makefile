# Two commands need nothing but Python >= 3.11 and make: `make demo` and `make test`. Each builds .venv itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# What the benchmarks measure against; apart, so that its pins and licences touch nothing of ours.
COMPARE := .venv-compare
COMPARE_STAMP := $(COMPARE)/.installed

.PHONY: demo test quick check format bench compare crash soak wheel clean

demo: $(STAMP)
	$(BIN)/metriage demo --dir demo-site

test: $(STAMP)
	$(BIN)/python -m pytest

quick: $(STAMP)
	$(BIN)/python -m pytest -m "not slow"

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The smoke run compares with others only where `make compare` was run: that installs for minutes.
bench: $(STAMP) $(if $(SMOKE),,$(COMPARE_STAMP))
	$(BIN)/python -m benchmarks $(if $(SMOKE),--smoke)

compare: $(COMPARE_STAMP)

crash: $(STAMP)
	$(BIN)/python -m tests.crash $(SCENARIOS) --kills $(or $(KILLS),200) --rounds $(or $(ROUNDS),5) --seed $(or $(SEED),1)

soak: $(STAMP)
	$(BIN)/python -m benchmarks.soak --minutes $(or $(MINUTES),30) --seed $(or $(SEED),1) $(if $(RATE),--rate $(RATE)) $(if $(MIXED),--mixed) $(if $(OUT),--out $(OUT))

wheel: $(STAMP)
	$(BIN)/python -m build --wheel --outdir dist .

$(STAMP): constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "metriage needs Python 3.11 or newer; run: make PYTHON=python3.12")'
	@echo "building $(VENV): takes a minute or two the first time"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	@touch $(STAMP)

$(COMPARE_STAMP): benchmarks/requirements-compare.txt
	@echo "building $(COMPARE): what the benchmarks measure against"
	@test -x $(COMPARE)/bin/python || $(PYTHON) -m venv $(COMPARE)
	@$(COMPARE)/bin/python -m pip install --quiet --disable-pip-version-check --requirement benchmarks/requirements-compare.txt
	@touch $(COMPARE_STAMP)

clean:
	rm -rf $(VENV) $(COMPARE) build dist *.egg-info demo-site
