# The book and its tests. Needs Python 3.11 or newer, make and pip; everything else goes into .venv beside this file.
# PYTHON=python3.12 make book     chooses the Python that .venv is made with
# LAB=--no-browser make lab       hands JupyterLab more options

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TEACH := .venv-teach
SITE := _build/html/index.html
# One thread keeps sums of floats, and so printed numbers, the same.
export OMP_NUM_THREADS := 1
# Kept bytecode saves each of the many processes below some seconds.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help book site test slow nbval soak lab pdf slides assignments figures execute lint clean

help: ## print this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{printf "%-16s %s\n", $$1, $$2}'

# The stamp is newer than both files only if .venv holds what they ask for.
$(VENV)/installed: requirements.txt pyproject.toml
	"$(PYTHON)" -c 'import sys; sys.exit("Python 3.11 or newer is needed, and this is " + sys.version.split()[0] + ": PYTHON=python3.12 make" if sys.version_info < (3, 11) else 0)'
	"$(PYTHON)" -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

# Sphinx warns of a page only when it reads it. After a failure it must read all again, or the next build would be green.
# It copies style sheets and pictures only when it writes a page, so a changed one makes it write all.
site: $(VENV)/installed
	@test -z "$$(find book/_static book/_ext book/_lab -newer $(SITE) 2>/dev/null)" || rm -rf _build/.doctrees
	@$(BIN)/jupyter-book build . -W --keep-going -n -q || { rm -rf _build/.doctrees; exit 1; }

book: site ## build the book from the committed notebooks and print where it is
	@echo "$(CURDIR)/$(SITE)"

# Three files at a time keep two cores busy, since tests often wait for a browser, a signal or a disk; not more,
# since each process has its own copy of PyTorch. Files start in the order given, and the longest, each page in a
# browser, is an early one. Kernels of notebooks are forked (book/conftest.py).
PYTEST := $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

test: site ## build the book, then test every lecture in a browser, the package, its docstrings and every notebook
	@echo "== pages, notebooks and package: 7 to 10 minutes on two cores"
	$(PYTEST) --nbval --doctest-modules --ignore=tests/conftest.py tests book wganlab -m "not mutation and not slow"
	@$(BIN)/python -c 'import sys; sys.path.insert(0, "tests"); import test_browser; sys.exit(not test_browser.chromium())' || printf '%s\n' '' \
	  '########################################################################' \
	  '# NO CHROMIUM: the pages were NOT seen in a browser. All else was run. #' \
	  '# Install chromium, or set CHROMIUM to its path, and run `make test`.  #' \
	  '########################################################################'

slow: site ## the tests that take long: compilers, real commands, each figure and the lab with keys and mouse
	$(PYTEST) tests -m "slow and not mutation and not browser" -rs
	$(BIN)/python -m pytest tests -m "slow and browser" -rs

nbval: $(VENV)/installed
	$(PYTEST) --nbval book/

soak: $(VENV)/installed ## do every fault on purpose, thousands of times, for about an hour: benchmarks/results/soak.md
	$(BIN)/python benchmarks/soak.py

lab: $(VENV)/installed ## open the notebooks in JupyterLab, on this machine only
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[lab]"
	$(BIN)/python -m jupyterlab --ip=127.0.0.1 --notebook-dir=book $(LAB)

pdf: site ## the book for paper, by Chromium, in about three minutes: _build/wganlab.pdf
	$(BIN)/python book/_teach/pdf.py

slides: site ## make one deck of slides a chapter, in _build/slides (needs Chromium)
	@$(BIN)/python book/_teach/slides.py

# nbgrader has a Python of its own, without torch: its kernel python3 is the one of .venv.
$(TEACH)/installed: $(VENV)/installed pyproject.toml
	"$(PYTHON)" -m venv $(TEACH)
	$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["teach"])' \
	  | xargs $(TEACH)/bin/python -m pip install --quiet --disable-pip-version-check
	$(BIN)/python -m ipykernel install --prefix $(TEACH) --name python3 --env OMP_NUM_THREADS 1 2>/dev/null
	@touch $@

assignments: site $(TEACH)/installed ## make assignments from the code exercises, for nbgrader
	$(BIN)/python book/_teach/assignments.py
	$(TEACH)/bin/python book/_teach/nbgrade.py release
	@echo "$(CURDIR)/_build/assignments: see its README.md"

figures: $(VENV)/installed ## draw every figure as PNG and SVG: _build/figures.zip, and links in the gallery
	@$(BIN)/python book/_teach/figures.py
	@$(MAKE) --no-print-directory site

execute: $(VENV)/installed ## run every notebook and write its outputs back
	$(BIN)/python book/_ext/execute.py

lint: $(VENV)/installed ## check the style of all Python files and notebooks
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .

clean: ## delete what the other targets made
	rm -rf _build $(VENV) $(TEACH) .pytest_cache .ruff_cache .hypothesis build *.egg-info
	find . -name .git -prune -o \( -name __pycache__ -o -name .ipynb_checkpoints \) -type d -exec rm -rf {} +
