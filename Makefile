PYTHON ?= .venv/bin/python

.PHONY: check test
check:  ## lint, format, types, layers
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m basedpyright
	PATH="$(dir $(PYTHON)):$$PATH" lint-imports

test:  ## everything that needs no external data and no GPU is run; the rest says why it is skipped
	$(PYTHON) -m pytest
