# Everything is done in .venv, which is made when it is first needed.

PYTHON ?= python3
ADDRESS ?= 127.0.0.1:43211
THREADS ?= 2
ARGS ?=
JOBS ?= auto
VENV := .venv
BIN := $(VENV)/bin
BENCH := .venv-bench
PIP := -m pip --disable-pip-version-check --quiet

.PHONY: help serve test check format dev lock bench clean

help:
	@echo "make serve    run the HTTP server on $(ADDRESS)  (ADDRESS=, THREADS=, ARGS=)"
	@echo "make test     run the tests, as many at once as there are cores  (JOBS=, ARGS=)"
	@echo "make check    formatting, lint, types and tests"
	@echo "make format   format the code and mend what ruff can"
	@echo "make bench    measure, and draw a report in bench-results/  (ARGS=\"--short\", ARGS=--list)"
	@echo "make lock     choose the versions in requirements/ anew"
	@echo "make clean    remove what was made"

serve: $(VENV)/.run
	@$(BIN)/yolanda http $(ADDRESS) --threads $(THREADS) $(ARGS)

test: $(VENV)/.dev
	@$(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(ARGS)

check: $(VENV)/.dev
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(ARGS)

format: $(VENV)/.dev
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

dev: $(VENV)/.dev

bench: $(BENCH)/.bench
	@$(BENCH)/bin/yolanda bench $(ARGS)

lock: $(VENV)/.dev
	$(BIN)/python $(PIP) install uv
	for name in run dev bench; do \
	    case $$name in bench) in="requirements/run.in pyproject.toml --extra bench";; \
	                   *) in=requirements/$$name.in;; esac; \
	    $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	        --no-emit-index-url --no-emit-find-links --upgrade --custom-compile-command "make lock" \
	        $$in -o requirements/$$name.txt || exit 1; done

clean:
	rm -rf $(VENV) $(BENCH) dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

# A stamp stands for what was installed, and is older than whatever says what that is.

define install
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	    || { echo "yolanda needs Python 3.11 or newer; say which: make PYTHON=python3.12" >&2; exit 1; }
	@test -x $(1)/bin/python || $(PYTHON) -m venv $(1) \
	    || { rm -rf $(1); echo "python3 cannot make a virtual environment (Debian: python3-venv)" >&2; exit 1; }
	@echo "installing requirements/$(2).txt into $(1)"
	@$(1)/bin/python $(PIP) install --require-hashes -r requirements/$(2).txt
	@$(1)/bin/python $(PIP) install --no-deps --no-build-isolation -e .
	@touch $(1)/.$(2)
endef

$(VENV)/.run: requirements/run.txt pyproject.toml
	$(call install,$(VENV),run)

$(VENV)/.dev: requirements/dev.txt pyproject.toml
	$(call install,$(VENV),dev)
	@touch $(VENV)/.run

$(BENCH)/.bench: requirements/bench.txt pyproject.toml
	$(call install,$(BENCH),bench)
