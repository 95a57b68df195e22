# Everything runs in .venv; `make` alone says what there is. Without make: see README, "Without make".
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: help screenshots venv demo test lint unit bench soak mutants docs tools clean

help:
	@echo "make demo    install, and run a real sample application (60 s)"
	@echo "make test    lint and all tests that need nothing but Python"
	@echo "make lint    ruff, mypy --strict, import-linter"
	@echo "make bench   measure, print and save the figures; fails if one falls short"
	@echo "make soak    the long tests"
	@echo "make docs    the documentation as a site, in site/: open site/index.html"
	@echo "make mutants hunt all mutants of the models, and write docs/mutants.md"
	@echo "make screenshots  take the pictures of docs/pictures anew (Chromium)"
	@echo "make tools   install what some tests need besides Python (Debian: browser, kubectl, helm, etcd, Toxiproxy, Docker)"

venv: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("kchaos needs Python 3.11 or newer, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

demo: venv
	@$(BIN)/kchaos run fixtures/applications/guestbook || test $$? -eq 1

lint: venv
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: venv
	$(BIN)/python -X warn_default_encoding -m pytest -n auto -m "not soak"

test: lint unit

bench: venv
	$(BIN)/python -m tests.bench

soak: venv
	$(BIN)/python -X warn_default_encoding -m pytest -n auto -m soak

docs: venv
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet

mutants: venv
	$(BIN)/python -X warn_default_encoding -m tests.mutants

screenshots: venv
	$(BIN)/python tools/screenshots.py

tools: venv
	bash tools/install.sh

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
