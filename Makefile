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

.PHONY: help install sweep check test test-wheel test-compose test-browser dist browser-install chaos bench bench-install bench-samplers docs site-install site format lock clean

help:
	@echo "make sweep    set up, then run sweeps/digits.yaml to the end"
	@echo "make test     set up, then run all tests"
	@echo "make test-wheel  build sdist and wheel, install the wheel elsewhere and use it"
	@echo "make test-compose  docker compose up, workers killed, servers restarted, with the engine that DOCKER_HOST names"
	@echo "make test-browser  look at a sweep in the MLflow UI and at the documentation site, with the system's Chromium"
	@echo "make .env     passwords for docker compose"
	@echo "make chaos    kill processes at random, some two hundred times, and count what is left (half an hour)"
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
$(STAMP): requirements.lock pyproject.toml
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

test: install
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

test-wheel: install
	$(BIN)/python -m pytest tests/packaging

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
	$(BIN)/python tests/chaos.py

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
	$(PIN) pyproject.toml --extra auth --extra postgres --extra service --group dev --output-file requirements.lock
	$(PIN) --group bench --constraints requirements.lock --output-file requirements-bench.lock
	$(PIN) --group browser --constraints requirements.lock --output-file requirements-browser.lock
	$(PIN) --group site --constraints requirements.lock --output-file requirements-site.lock

clean:
	rm -rf $(VENV)
