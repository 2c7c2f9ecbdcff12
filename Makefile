# Two commands do everything: `make book` and `make test`. They set up what they need first.
PYTHON  ?= python3
VENV    ?= .venv
BIN     := $(VENV)/bin
PROFILE ?= smoke
CORES   ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu 2>/dev/null || echo 2)
# TORCH=cpu installs the CPU build of torch (4 GB less) where its index can be reached.
TORCH   ?=
# One GPU: notebooks that use it take turns.
SNAKEFLAGS := --cores $(CORES) --resources gpu=1 --config profile=$(PROFILE) at_once=2 --rerun-incomplete --show-failed-logs --quiet host reason
export PATH := $(abspath $(BIN)):$(PATH)
# A child process a core: threads inside each would only get in each other's way.
export OMP_NUM_THREADS ?= 1

.PHONY: book runs graph test test-unit test-book bench check-slow lint setup lock clean

book: setup  ## run every notebook of the profile and publish the book
	@$(BIN)/snakemake book $(SNAKEFLAGS)
	@echo "The book is ready. Open $(abspath _build/html/index.html)"

runs: setup  ## run the notebooks of the profile only
	@$(BIN)/snakemake runs $(SNAKEFLAGS)

graph: setup  ## draw the order of work again, after a change of the Snakefile
	@$(BIN)/snakemake book --dag --forceall --cores 1 --config profile=smoke --quiet | $(BIN)/gftlib workflow > book/_static/workflow.svg

test: test-unit test-book  ## everything that continuous integration runs

test-unit: setup  ## the library on its own
	@$(BIN)/pytest tests/unit -m "not slow" -n $(CORES)

test-book: setup  ## notebooks, workflow and book
	@$(BIN)/pytest tests/book -m "not slow" -n $(CORES) --dist loadfile

bench: setup  ## speed beside well-kept peers, in one interleaved run
	@$(BIN)/python -m benchmarks

check-slow: setup  ## what is too long for continuous integration
	@$(BIN)/pytest tests -m slow

lint: setup
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/codespell && $(BIN)/snakefmt --check Snakefile

setup: $(VENV)/.ready

$(VENV)/.ready: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=python3.11")'
	@echo "Setting up $(VENV): about 230 packages, several GB of downloads the first time"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep '^uv==' requirements.txt)"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python $(if $(TORCH),--torch-backend $(TORCH)) -r requirements.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable . "jupyter-server-mathjax==0.2.6"
	@echo "Compiling kernels"
	@$(BIN)/python -m gftlib.cli precompile
	@touch $@

lock: setup  ## renew requirements.txt from pyproject.toml
	@$(BIN)/uv pip compile --quiet --upgrade pyproject.toml --extra book --extra dev -o requirements.txt

clean:  ## remove what the commands above made, the environment excepted
	@rm -rf runs logs _stage _build .snakemake
