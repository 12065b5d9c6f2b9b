# `make figures` and `make test` set everything up by themselves in .venv.
# The interpreter to make it from:  make figures PYTHON=python3.12
PYTHON ?= python3
BIN := .venv/bin
# What `make report` shows:  make report CONFIG=config/smoke.yaml
CONFIG ?= config/config.yaml
SNAKEMAKE := $(BIN)/snakemake --cores all
RESULTS = $(or $(shell sed -n 's/^results: *//p' $(1)),results)
NAMED = echo "Figures (PDF and PNG):" && ls $(RESULTS)/figures/*.pdf $(RESULTS)/figures/*.png

.PHONY: help figures best scale smoke report test test-slurm test-report chromium lint docs docs-talk docs-beyond site validation kills many bench clean

help:
	@echo "make figures   set up, compute everything of config/config.yaml, draw the figures"
	@echo "make smoke     the same from config/smoke.yaml, in two minutes"
	@echo "make test      set up, lint, type-check, and run all tests"
	@echo "make test-slurm   the profile slurm, on a local cluster that it installs: as root, on Debian"
	@echo "make test-report  the report in a headless Chromium, which it installs: as root, on Debian"
	@echo "make lint      only the linters and the type checker"
	@echo "make best      the flows of config/best.yaml, beyond the talk"
	@echo "make scale     up to 200 electrons: config/scale.yaml"
	@echo "make report    all figures with captions and numbers as one page to open in a browser;"
	@echo "               of another configuration: make report CONFIG=config/smoke.yaml"
	@echo "make docs      put the numbers and figures of these into README.md and docs/;"
	@echo "               make docs-talk takes those of make figures only"
	@echo "make site      the documentation as a site, with the API: build/site/index.html"
	@echo "make validation   measure the coverage of all error bars again: docs/validation.md"
	@echo "make kills     kill a small pipeline 200 times at random, and see that it always goes on"
	@echo "make many      200 small cells, to see that they all run"
	@echo "make bench     side by side with JAX, blackjax, emcee, zuko and normflows: docs/performance.md"
	@echo "make clean     remove .venv, .venv-bench and the site (results stay)"

figures: .venv/ready
	$(SNAKEMAKE)
	@$(call NAMED,config/config.yaml)

smoke: .venv/ready
	$(SNAKEMAKE) --configfile config/smoke.yaml
	@$(call NAMED,config/smoke.yaml)

best: .venv/ready
	$(SNAKEMAKE) --configfile config/best.yaml
	@$(call NAMED,config/best.yaml)

scale: .venv/ready
	$(SNAKEMAKE) --configfile config/scale.yaml
	@$(call NAMED,config/scale.yaml)

report: .venv/ready
	$(SNAKEMAKE) --configfile $(CONFIG)
	$(SNAKEMAKE) --configfile $(CONFIG) --report $(call RESULTS,$(CONFIG))/report.html
	@echo "Open $(call RESULTS,$(CONFIG))/report.html in a browser."

docs: docs-talk docs-beyond

docs-talk: figures
	$(BIN)/python workflow/scripts/docs.py $(call RESULTS,config/config.yaml) README.md docs/slides.md \
	docs/validation.md
	$(BIN)/python workflow/scripts/gallery.py config/config.yaml docs/gallery

docs-beyond: best scale
	$(BIN)/python workflow/scripts/docs.py $(call RESULTS,config/best.yaml) \
	$(call RESULTS,config/scale.yaml) docs/beyond.md
	$(BIN)/python workflow/scripts/gallery.py config/best.yaml config/scale.yaml docs/gallery

# In an environment of its own, so that nothing that computes shares its pins.
SITE := build/site-venv
site: $(SITE)/ready
	NO_MKDOCS_2_WARNING=1 $(SITE)/bin/python -m mkdocs build --strict
	@echo "The site: build/site/index.html"

$(SITE)/ready: envs/site.txt
	$(PYTHON) -m venv $(SITE)
	$(SITE)/bin/python -m pip install --quiet --disable-pip-version-check -r envs/site.txt
	@touch $@

validation: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/python workflow/scripts/validation.py docs/validation.md

# Takes half an hour; other numbers of kills and seeds: make kills KILLS="50 1"
kills: .venv/ready
	$(BIN)/python tests/kill_at_random.py $(KILLS)

# The pipeline's tests take longest: they start first, on a worker of their own.
LONGEST := tests/test_workflow.py
# These wait for its run, and so come last.
WAITING := tests/test_report.py tests/test_gallery.py
test: lint
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder \
	$(LONGEST) $(filter-out $(LONGEST) $(WAITING),$(wildcard tests/test_*.py)) $(WAITING)

test-slurm: .venv/ready
	QDFLOW_TEST_SLURM=1 $(BIN)/pytest -rs tests/slurm

# The report in a browser, which the tests of `make test` do as well if QDFLOW_TEST_CHROMIUM is set.
test-report: .venv/ready chromium
	QDFLOW_TEST_CHROMIUM=1 QDFLOW_SCREENSHOTS=results/screenshots $(BIN)/pytest -rs tests/test_report.py
	@echo "Look at results/screenshots/*.png."

chromium:
	tests/chromium.sh

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/snakefmt --check Snakefile
	$(BIN)/snakemake --lint
	$(BIN)/snakemake --lint --configfile config/smoke.yaml

# Remade when the pins change. Exact versions: requirements.txt.
.venv/ready: pyproject.toml requirements.txt
	@command -v $(PYTHON) > /dev/null || { echo "there is no $(PYTHON) here; install Python 3.11 or\
 newer, or name one: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version.split()[0]; sys.exit(sys.version_info < (3, 11) and \
	f"qdflow needs Python 3.11 or newer, and $(PYTHON) is {v}; try: make PYTHON=python3.12")'
	@$(PYTHON) -c 'import venv, ensurepip' || { echo "$(PYTHON) cannot make virtual environments;\
	 install its venv package (Debian: apt install python3-venv)"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --use-pep517 -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

many: .venv/ready
	$(BIN)/python tests/many.py 200 results/many-200.yaml
	$(SNAKEMAKE) --configfile results/many-200.yaml

# An environment of its own, with what qdflow is held against. Some only: make bench BENCH="train_step"
bench: .venv-bench/ready
	.venv-bench/bin/python -m benchmarks $(BENCH)

.venv-bench/ready: pyproject.toml requirements.txt benchmarks/requirements.txt
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check \
	-r requirements.txt -r benchmarks/requirements.txt
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

clean:
	rm -rf .venv .venv-bench build
