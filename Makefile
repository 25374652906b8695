# Every target makes and reuses .venv by itself; `make` alone lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SHARED_DATA := $(or $(DEEPSALT_SHARED_DATA),../shared/data)
# Two processes of one thread each: more threads than cores wait for each other.
PYTEST := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest

.PHONY: help install demo test test-slow test-ops test-k8s test-gpu test-all lint format test-campaign bench bench-quick benchmark-quick faults clean

help: ## list the targets
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

install: $(STAMP) ## make .venv and install deepsalt into it

$(STAMP): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "deepsalt needs Python 3.11 or newer as $(PYTHON)"; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "deepsalt needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V)"; exit 2; }
	@echo "==> making $(VENV) and installing deepsalt (about 3 GB, a few minutes the first time)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[all,dev]'
	@touch $@

demo: $(STAMP) ## simulate scenes and map their salinity into ./demo-output
	@echo "==> deepsalt demo --out demo-output"
	@$(BIN)/deepsalt demo --out demo-output

test: $(STAMP) ## the quick suite (under 10 minutes)
	@echo "==> quick test suite"
	@$(PYTEST) -n 2

test-slow: $(STAMP) ## what takes minutes: the wheel in an empty environment, faults, Prefect, training
	@echo "==> slow tests"
	@$(PYTEST) -n 2 -m slow

test-ops: $(STAMP) ## a service on a real server, worker and PostgreSQL, on loopback (10 minutes)
	@echo "==> tests of the service"
	@bash tests/servers/install.sh
	@OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -m ops tests/ops

test-k8s: $(STAMP) ## runs in pods, on the cluster of KUBECONFIG or on one that this starts (10 minutes)
	@echo "==> tests on a cluster"
	@bash tests/kubernetes/run.sh

test-gpu: $(STAMP) ## what only a CUDA device can show, into build/gpu.md (8 minutes); without one it proves nothing
	@echo "==> tests of the GPU"
	@$(BIN)/python -m tests.gpu --out build/gpu

test-all: test test-slow test-ops ## all three

CAMPAIGNS := tests/store/test_any_order.py tests/versions/test_any_order.py tests/export/test_crashes.py tests/engines/test_losses.py
test-campaign: $(STAMP) ## the tests of chance with hundreds of examples each (hours)
	@echo "==> tests of chance, at length"
	@DEEPSALT_CAMPAIGN=1 $(PYTEST) -n 2 -m slow $(CAMPAIGNS)

lint: $(STAMP) ## ruff and mypy
	@echo "==> ruff"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@echo "==> mypy"
	@$(BIN)/mypy

format: $(STAMP) ## rewrite files the way lint wants them
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(STAMP) ## speed and memory side by side, into build/bench.json
	@echo "==> benchmarks"
	@$(BIN)/python -m tests.benchmarks.run --out build/bench.json

bench-quick: $(STAMP) ## the same on a small scene, in a minute or two
	@echo "==> benchmarks, quick"
	@$(BIN)/python -m tests.benchmarks.run --quick --out build/bench-quick.json

faults: $(STAMP) ## break runs in every way we know and compare, into build/faults.json and docs/faults.md (an hour)
	@echo "==> faults"
	@$(BIN)/python -m tests.faults.campaign --out build/faults.json --table docs/faults.md --jobs 2

benchmark-quick: $(STAMP) ## the quick scientific benchmark, into build/benchmark
	@echo "==> deepsalt benchmark --quick"
	@if [ -d "$(SHARED_DATA)" ]; then $(BIN)/deepsalt benchmark --quick --out build/benchmark; \
	else echo "skipped: the laboratory table of $(SHARED_DATA) is not there"; fi

clean: ## remove what the other targets made
	@echo "==> removing .venv, build, demo-output and caches"
	@rm -rf $(VENV) build dist demo-output *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
