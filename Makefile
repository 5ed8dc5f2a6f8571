# The two commands that do everything: `make demo` and `make test`. Both install what is missing.
#
# requirements.txt pins pyproject.toml's dependencies; to refresh it:
#   .venv/bin/uv pip compile --upgrade --all-extras --no-annotate --no-header pyproject.toml -o requirements.txt

BIN := .venv/bin

# Whatever the environment says of it, bytecode is kept: the tests start hundreds of processes of ours.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup setup-test demo test lint bench clean

setup:
	@tools/setup.sh

setup-test:
	@tools/setup.sh test

demo: setup
	@$(BIN)/python -m sample_data.demo

# A folder's files come one after the other, so that the city they share is made once for each worker.
test: setup-test lint
	$(BIN)/pytest -n auto --dist loadfile --no-loadscope-reorder

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup
	$(BIN)/python -m benchmarks

# What setup and the tools have made; no data, and no system package.
clean:
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
