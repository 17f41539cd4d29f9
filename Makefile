# `make` lists the commands.

PYTHON ?= python3
BIN := .venv/bin
TORCH := torch==2.13.0

# What PyTorch brings by platform: it is installed with torch, not from the lock file.
ACCELERATOR := torch triton cuda-bindings cuda-pathfinder cuda-toolkit nvidia-cublas nvidia-cuda-cupti \
  nvidia-cuda-nvrtc nvidia-cuda-runtime nvidia-cudnn-cu13 nvidia-cufft nvidia-cufile nvidia-curand nvidia-cusolver \
  nvidia-cusparse nvidia-cusparselt-cu13 nvidia-nccl-cu13 nvidia-nvjitlink nvidia-nvshmem-cu13 nvidia-nvtx

export PATH := $(CURDIR)/$(BIN):$(PATH)
export DO_NOT_TRACK := true
export DVC_NO_ANALYTICS := 1

.PHONY: help run up down test check format real lock clean

help:  ## list the commands
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):[^#]*## ?/  make \1\t/' | expand -t 16

run: $(BIN)/.installed  ## run the whole pipeline: only what is stale; RECIPE=name for a ready parameter file
	@python -m flows.pipeline $(if $(RECIPE),--recipe $(RECIPE))

up: $(BIN)/.installed  ## start Prefect's UI, the deployments and MLflow's UI, in the background
	@python -m flows.up

down: $(BIN)/.installed  ## stop them
	@python -m flows.up down

test: $(BIN)/.installed check  ## every check and test that runs on a CPU; installs strace and chromium if it may
	@{ command -v strace && command -v chromium; } >/dev/null || test "$$(id -u)" != 0 || \
	  { apt-get update -q; apt-get install -qy strace chromium; } >/dev/null 2>&1 || true
	@OMP_NUM_THREADS=1 python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder  # two files at once, a thread each

check: $(BIN)/.installed  ## format, lint, types and import rules
	@ruff format --check -q . && ruff check -q . && mypy -p plumbline -p tasks -p flows && lint-imports --no-logo

format: $(BIN)/.installed  ## put the code into its format
	@ruff format -q . && ruff check -q --fix .

real: $(BIN)/.installed  ## the recipes on real rows, whole (needs ../shared/data)
	@python -m pytest -q -m "real or slow" tests/real

lock:  ## make requirements.lock anew from pyproject.toml
	@test -x .tools/bin/uv || { $(PYTHON) -m venv .tools && .tools/bin/pip install -q uv; }
	.tools/bin/uv pip compile pyproject.toml --extra dev --extra s3 --universal --python-version 3.11 --generate-hashes \
	  --no-header --upgrade -q -o requirements.lock $(addprefix --no-emit-package ,$(ACCELERATOR))

clean:  ## remove the environment and every result that can be made again
	rm -rf .venv .tools .prefect .runs .checkpoints .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find artifacts -mindepth 1 -maxdepth 1 ! -name pretrain -exec rm -rf {} +

$(BIN)/.installed: requirements.lock
	@echo "Setting up .venv (a few minutes, once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/pip install -q --no-compile --disable-pip-version-check $(TORCH)
	@$(BIN)/pip install -q --no-compile --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	@$(BIN)/python -W ignore -m compileall -q -j 0 .venv/lib >/dev/null 2>&1 || true  # with all cores; some files are templates
	@test -e .git || $(BIN)/dvc config --local core.no_scm true
	@touch $@
