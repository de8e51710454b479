# `make sweep` and `make test` do all the set-up that they need; everything lives in .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
BENCH_STAMP := $(VENV)/bench-installed
BROWSER_STAMP := $(VENV)/browser-installed
SITE_STAMP := $(VENV)/site-installed
SITE := build/site
PIN := $(BIN)/uv pip compile --universal --generate-hashes --no-emit-index-url --no-header --no-annotate

.PHONY: help install sweep check test test-all test-full test-wheel test-notebook test-exactness test-gp test-compose test-browser dist browser-install chaos bench bench-install bench-samplers docs site site-install format lock clean

help:
	@echo "make sweep    set up, then run sweeps/digits.yaml to the end"
	@echo "make test     set up, then run all tests"
	@echo "make test-all  every test there is (two hours); SKIP=\"compose browser\" leaves parts out"
	@echo "make test-full  all tests of make test, with all examples that Hypothesis draws"
	@echo "make test-wheel  build sdist and wheel, install the wheel elsewhere and use it"
	@echo "make test-notebook  run docs/notebook.ipynb and the code of docs/notebook.md as a notebook does"
	@echo "make test-exactness  hold arrays and fit to double precision, over 20 configurations from 5 seeds each"
	@echo "make test-gp  install PyTorch into .venv, then test the sampler gp with it"
	@echo "make test-compose  docker compose up, workers killed, servers restarted, with the engine that DOCKER_HOST names"
	@echo "make test-browser  look at a sweep in the MLflow UI and at the documentation site, with the system's Chromium"
	@echo "make .env     passwords for docker compose"
	@echo "make chaos    kill processes, set clocks, lose requests and more at random, and count what is left (an hour)"
	@echo "make bench    measure against what others offer, into docs/performance.md (an hour)"
	@echo "make bench-samplers  compare samplers on recorded tables, into docs/sampling.md (half an hour)"
	@echo "make dist     build sdist and wheel into dist/"
	@echo "make docs     write docs/cli.md"
	@echo "make site     build the documentation site, into build/site/index.html"
	@echo "make check    lint, types, import directions, house rules"
	@echo "make install  the set-up alone"
	@echo "make format   format the code"
	@echo "make lock     pin the dependencies anew"
	@echo "make clean    remove what the set-up made"

install: $(STAMP)

# uv comes from the lock like everything else: pip checks its hash, then uv installs the rest, byte-compiled.
# The version comes first: an installation into another Python fails late and says something else.
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; (3, 11) <= v < (3, 14) or sys.exit("dnnsweep needs Python 3.11 to 3.13, this is %d.%d; name another one with PYTHON=..." % v[:2])'
	$(PYTHON) -m venv --clear $(VENV)
	sed -n '/^uv==/,/[^\\]$$/p' requirements.lock > $(VENV)/uv.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(VENV)/uv.txt
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes --compile-bytecode requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	$(BIN)/python -m compileall -q dnnsweep
	touch $@

sweep: install
	$(BIN)/dnnsweep run sweeps/digits.yaml

check: install
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/house.py

# Twice as many processes as a small machine has cores: half of them begin with tests that wait (tests/shares.py).
test: install
	$(BIN)/python -m pytest --numprocesses 4 --dist worksteal

test-all: install
	$(BIN)/python tools/test_all.py --skip "$(SKIP)"

test-full: install
	HYPOTHESIS_PROFILE=full $(BIN)/python -m pytest --numprocesses 3 --dist worksteal

test-wheel: install
	$(BIN)/python -m pytest tests/packaging

test-notebook: install
	$(BIN)/python -m pytest tests/notebook

# With the full profile XLA compiles as it does for users; what is measured is its rounding.
test-exactness: install
	HYPOTHESIS_PROFILE=full $(BIN)/python -m pytest tests/exactness -s

# No lock pins PyTorch: its builds differ by platform. TORCH_BACKEND=cpu has uv fetch the build without CUDA, which is a
# tenth of the size on Linux; TORCH=torch==2.13.0 has pip take that version, from wherever it is set up to look.
test-gp: install
	$(if $(TORCH_BACKEND),$(BIN)/uv pip install --quiet --python $(BIN)/python --torch-backend $(TORCH_BACKEND) torch)
	sed -n 's/^\([^ ]*==.*\) \\$$/\1/p' requirements.lock > $(VENV)/constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint $(VENV)/constraints.txt \
		--no-build-isolation --editable '.[gp]' $(TORCH)
	$(BIN)/python -c 'import torch'
	$(BIN)/python -m pytest tests/test_study.py -k gaussian

test-compose: install
	$(BIN)/python -m pytest tests/compose -s

test-browser: browser-install site
	$(BIN)/python -m pytest tests/browser

browser-install: $(BROWSER_STAMP)

$(BROWSER_STAMP): $(STAMP) requirements-browser.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --compile-bytecode -r requirements-browser.lock
	touch $@

# Never made anew: the database keeps the password that it was started with.
.env:
	(umask 077 && $(PYTHON) tools/passwords.py > $@)

chaos: install
	cd tests && ../$(BIN)/python -m chaos

bench-install: $(BENCH_STAMP)

# Beside what the project is tested with, at versions that fit; whatever renews the environment takes both away.
$(BENCH_STAMP): $(STAMP) requirements-bench.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --compile-bytecode -r requirements-bench.lock
	touch $@

bench: bench-install
	$(BIN)/python -m bench

bench-samplers: bench-install
	$(BIN)/python -m bench.samplers

dist: install
	rm -rf dist
	$(BIN)/python -m build --no-isolation

docs: install
	$(BIN)/python tools/commands.py

# Read anew each time: Sphinx warns of a page only when it reads it.
site: site-install
	rm -rf $(SITE)
	$(BIN)/python -m sphinx -c docs/site -d build/site-pages --fresh-env --fail-on-warning --keep-going --quiet . $(SITE)
	$(BIN)/python -m pytest tests/site

site-install: $(SITE_STAMP)

$(SITE_STAMP): $(STAMP) requirements-site.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --compile-bytecode -r requirements-site.lock
	touch $@

format: install
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

lock: install
	$(PIN) pyproject.toml --extra auth --extra plots --extra postgres --extra service --group dev --output-file requirements.lock
	$(PIN) --group bench --constraints requirements.lock --output-file requirements-bench.lock
	$(PIN) --group browser --constraints requirements.lock --output-file requirements-browser.lock
	$(PIN) --group site --constraints requirements.lock --output-file requirements-site.lock

clean:
	rm -rf $(VENV)
