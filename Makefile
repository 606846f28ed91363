# `make demo` and `make test` set up all they need; run again, they start at once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

export OMP_NUM_THREADS ?= 1

.PHONY: demo test check bench golden pictures clean

demo: $(VENV)/demo.installed
	$(BIN)/aimet-hooks demo

test: $(VENV)/test.installed
	@sh scripts/install_system_packages.sh
	$(MAKE) --no-print-directory check
	$(BIN)/python -m pytest -n 2 --dist loadfile

# Everything but the tests: style, types, who imports whom.
check: $(VENV)/test.installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

bench: $(VENV)/test.installed
	@sh scripts/install_system_packages.sh
	for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

golden: $(VENV)/test.installed
	$(BIN)/python scripts/make_golden_files.py tests/golden

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "Creating $(VENV) ..."
	@$(PYTHON) -m venv $(VENV) || \
		{ rm -rf $(VENV); echo "python3 -m venv failed; on Debian: apt-get install python3-venv" >&2; exit 1; }

$(VENV)/demo.installed: $(BIN)/python pyproject.toml constraints.txt
	@echo "Installing aimet-hooks with onnx and onnxruntime (about half a minute) ..."
	@$(PIP) --editable '.[onnx]'
	@touch $@

$(VENV)/test.installed: $(BIN)/python pyproject.toml constraints.txt
	@echo "Installing what the tests need, PyTorch included (about a minute) ..."
	@$(PIP) --editable '.[test]'
	@touch $@ $(VENV)/demo.installed

pictures: $(VENV)/test.installed
	@sh scripts/install_system_packages.sh
	$(BIN)/python scripts/make_screenshots.py docs/images

clean:
	rm -rf $(VENV) runs .mypy_cache .ruff_cache .pytest_cache .hypothesis
