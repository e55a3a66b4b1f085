# `make demo` and `make test` are all a newcomer needs; both set up .venv first.
PYTHON ?= python3
BIN := .venv/bin
export HF_HUB_DISABLE_TELEMETRY := 1
export GRADIO_ANALYTICS_ENABLED := False
# Where it is set, each of the tests' many processes would compile torch and Gradio anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup demo test check docs notebooks bench release clean

setup: .venv/installed

# uv is fetched by pip where it is missing, into .uv and never into the system.
.venv/installed: pyproject.toml constraints.txt
	@command -v uv >/dev/null || test -x .uv/bin/uv || \
	  $(PYTHON) -m pip install --quiet --target .uv uv
	@UV=$$(command -v uv || echo .uv/bin/uv); \
	  $$UV venv --quiet --seed --allow-existing --python ">=3.11" .venv && \
	  $$UV pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable ".[dev]"
	@touch $@

# make demo APP=1 opens the app at the end.
demo: setup
	$(BIN)/foodvision demo $(if $(APP),--app)

# One process per core, each with one thread.
test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal $(ARGS)

check: setup
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

# The site in site/: every warning is an error, every block of every page runs, every link leads on.
docs: .venv/docs
	rm -rf site
	$(BIN)/python -m sphinx -b html -q -W --keep-going -c docs/builder docs site
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest docs/checks -n auto --maxprocesses 2 --dist worksteal $(ARGS)

# Both notebooks, from top to bottom, each in a folder of its own.
notebooks: .venv/notebooks
	OMP_NUM_THREADS=1 $(BIN)/python notebooks/run.py $(ARGS)

# Wheel, sdist, SBOM and licences in dist/; uses the wheel with the lowest and the highest versions.
release: .venv/release
	$(BIN)/python -m release

# The extra of the same name.
.venv/docs .venv/notebooks .venv/release: .venv/installed
	@UV=$$(command -v uv || echo .uv/bin/uv); \
	  $$UV pip install --quiet --python $(BIN)/python --constraint constraints.txt \
	  --editable ".[dev,$(@F)]"
	@touch $@

bench: setup
	$(BIN)/python benchmarks/training_speed.py
	$(BIN)/python benchmarks/predict_speed.py

clean:
	rm -rf .venv .uv site
