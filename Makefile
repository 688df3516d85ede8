# Everything sets up what it needs, once, in .venv: python3 (3.10 or newer, with venv) and make are all that must be there.
#
#   make demo        run notebooks/quickstart.ipynb without a browser; its pictures and pages are left in demo/
#   make lab         open the same notebook in JupyterLab
#   make cloud       run notebooks/cloud.ipynb likewise, on stand-ins for RunningHub and Comfy API v2
#   make setup       all that development needs, and the checks that git runs before each commit
#   make check       linters, types, front end, and the tests of the workflow room and of the client: what one runs all day
#   make test        all tests but the slow ones: also clouds, notebook kernels, browsers
#   make slow        the slow tests: every supported kernel, the wheel in a clean environment
#   make all         make test and make slow in one go, as CI does
#   make fuzz        the property tests, with other and many more examples each time, and runs under random faults
#   make test-live   the scenarios of tests/live on the server that COMFYUI_BASE_URL names
#   make bench       what a run costs, beside a bare script and other clients; what the page does with previews and pictures
#   make js          build the front end again after a change in js/src
#   make matrix      the tests of the workflow room and the client on every Python of this machine, with the oldest and newest dependencies
#   make release     check whether this can be released, and build dist/: API, changelog, archives, install line, documentation
#   make docs        build the documentation into site/, and check its links
#   make pictures    make the pictures of the README and the documentation again, in a real JupyterLab
#
# demo and lab start the embedded server, unless COMFYUI_BASE_URL names one. NOTEBOOK=cloud.ipynb make lab opens the other
# notebook, on the same stand-ins, unless RUNNINGHUB_API_KEY has the key of an account.

PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Without compiled modules, each test worker, script and kernel would compile the package and the tests again.
unexport PYTHONDONTWRITEBYTECODE

ON_SERVER := $(if $(COMFYUI_BASE_URL),,$(BIN)/python -m comfykit_jupyter.sandbox --port 0 --dir demo/server --)
ON_V2 := $(if $(COMFYUI_BASE_URL),,$(BIN)/python -m tests.clouds.comfyapi --)
ON_RUNNINGHUB := $(if $(RUNNINGHUB_API_KEY),,$(BIN)/python -m tests.clouds.runninghub --)
NOTEBOOK ?= quickstart.ipynb
AS_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)
STATIC := comfykit_jupyter/notebook/static/widget.js labextension/package.json
LABEXTENSION := .venv/share/jupyter/labextensions/comfykit-jupyter

# Three workers on two cores, since most tests wait: each with servers and kernels of its own. The tests of a file stay together, and so do all browser tests.
WORKERS ?= 3
PYTEST = $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --durations=15
ALL := --doctest-modules comfykit_jupyter tests
OTHERS := chromium .venv/.kernels .venv/.comfykit .venv/.comfy-api

.PHONY: demo cloud lab setup check check-tests test slow all fuzz test-live static lint ruff mypy js js-check chromium bench matrix release docs pictures clean

demo: .venv/.package
	@rm -rf demo && mkdir -p demo && cp -r notebooks/quickstart.ipynb notebooks/workflows demo/
	@echo "Running notebooks/quickstart.ipynb …"
	@$(ON_SERVER) $(BIN)/jupyter nbconvert --log-level WARN --to notebook --execute --inplace \
	  --ExecutePreprocessor.extra_arguments=--log-level=40 --ExecutePreprocessor.store_widget_state=False demo/quickstart.ipynb
	@$(BIN)/jupyter nbconvert --log-level WARN --to html demo/quickstart.ipynb
	@echo
	@echo "Done. What it made:"
	@echo "  $(CURDIR)/demo/quickstart.html     the notebook as a page: open it in a browser"
	@echo "  $(CURDIR)/demo/quickstart.ipynb    the executed notebook"
	@echo "  $(CURDIR)/demo/pictures/           $$(ls demo/pictures | tr '\n' ' ')"
	@echo "The same thing in JupyterLab, with the form alive: make lab"

cloud: .venv/.package .venv/.comfy-api
	@mkdir -p demo && cp -r notebooks/cloud.ipynb notebooks/workflows demo/
	@echo "Running notebooks/cloud.ipynb …"
	@$(BIN)/python -m tests.clouds.comfyapi -- $(BIN)/python -m tests.clouds.runninghub -- \
	  $(BIN)/jupyter nbconvert --log-level WARN --to notebook --execute --inplace \
	  --ExecutePreprocessor.extra_arguments=--log-level=40 --ExecutePreprocessor.store_widget_state=False demo/cloud.ipynb
	@$(BIN)/jupyter nbconvert --log-level WARN --to html demo/cloud.ipynb
	@echo "Done: $(CURDIR)/demo/cloud.html. In JupyterLab, with the form alive: NOTEBOOK=cloud.ipynb make lab"

lab: .venv/.package $(if $(filter cloud.ipynb,$(NOTEBOOK)),.venv/.comfy-api)
	@mkdir -p demo && cp -rn notebooks/*.ipynb notebooks/workflows demo/ || true
	$(if $(filter cloud.ipynb,$(NOTEBOOK)),$(ON_V2) $(ON_RUNNINGHUB),$(ON_SERVER)) \
	  $(BIN)/jupyter lab $(AS_ROOT) $(LAB_OPTIONS) demo/$(NOTEBOOK)

setup: .venv/.tools js/node_modules/.package-lock.json
	@test ! -e .git || $(BIN)/pre-commit install

check: lint
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target js-check check-tests

# What compares with the public comfykit waits for its time-outs, and is left to `make test`. The plus sign shows the output at once.
check-tests: .venv/.tools
	+$(PYTEST) -m "not slow" --doctest-modules comfykit_jupyter tests/unit tests/client --ignore tests/client/defects

test: static $(OTHERS)
	$(PYTEST) -m "not slow" $(ALL)

slow: $(OTHERS)
	$(PYTEST) -m slow tests

all: static $(OTHERS)
	$(PYTEST) $(ALL)

fuzz: .venv/.tools
	$(PYTEST) --dist load -m hypothesis --hypothesis-profile=fuzz tests
	$(BIN)/python -m tests.client.chaos --runs 10000
	$(BIN)/python -m tests.client.chaos --runs 2000 --hard
	$(BIN)/python -m tests.clouds.chaos v2
	$(BIN)/python -m tests.clouds.chaos runninghub

test-live: .venv/.tools
	$(BIN)/python -m pytest tests/live

# Whatever runs no Python test, side by side.
static: .venv/.tools js/node_modules/.package-lock.json
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target mypy ruff js-check

lint: ruff mypy

ruff: .venv/.tools
	$(BIN)/ruff check
	$(BIN)/ruff format --check

mypy: .venv/.tools
	$(BIN)/mypy

js-check: js/node_modules/.package-lock.json
	cd js && npm run --silent lint && npm run --silent typecheck && npm run --silent test

js: $(STATIC)

bench: chromium .venv/.kernels .venv/.comfykit .venv/.comfy-toolkit
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks.exploring
	$(BIN)/python -m benchmarks.page

matrix: $(STATIC)
	$(BIN)/python -m tools.matrix $(if $(ONLY),--only $(ONLY))

release: $(STATIC) .venv/.docs
	$(BIN)/python -m tools.release

docs: .venv/.docs
	$(BIN)/zensical build --clean --strict
	@echo "Done: $(CURDIR)/site/index.html opens without a server, its search too."

pictures: chromium
	$(BIN)/python -m tools.pictures

clean:
	rm -rf .venv .cache site demo dist build js/node_modules comfykit_jupyter/notebook/static labextension

# What the package needs, and what the notebook of the demo does. The front end is built on the way, where it is missing.
.venv/.package: pyproject.toml
	@echo "Setting up .venv (once, about a minute) …"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -q --upgrade "pip>=25.1"
	@$(BIN)/python -m pip install -q --editable ".[sandbox]" --group demo
	@touch $@

.venv/.tools: .venv/.package
	$(BIN)/python -m pip install -q --group test
	@touch $@

.venv/.docs: .venv/.package
	$(BIN)/python -m pip install -q --group docs
	@touch $@

# Older kernels, each in a folder of its own that goes before the others on the path of a kernel.
.venv/.kernels: .venv/.tools tests/kernels.txt
	while read -r version; do \
	  $(BIN)/python -m pip install -q --no-deps --upgrade --target ".venv/kernels/$$version" "ipykernel==$$version" nest-asyncio || exit 1; \
	done < tests/kernels.txt
	@touch $@

# The public package that has the same interface, in an environment of its own: what both do is compared. It is no must.
.venv/.comfykit: .venv/.package
	@$(PYTHON) -m venv .venv/comfykit && .venv/comfykit/bin/python -m pip install -q "comfykit==0.1.12" && touch $@ \
	  || { rm -rf .venv/comfykit; echo "No comfykit 0.1.12: the tests that compare with it will be skipped."; }

# The official proxy that speaks Comfy API v2 in front of a server, and the official client. They are no must either.
.venv/.comfy-api: .venv/.package
	@$(PYTHON) -m venv .venv/comfy-api && .venv/comfy-api/bin/python -m pip install -q "comfy-api-proxy==0.1.6" "comfy-sdk==0.5.0" \
	  && touch $@ || { rm -rf .venv/comfy-api; echo "No comfy-api-proxy 0.1.6 and comfy-sdk 0.5.0: the tests with them will be skipped."; }

# Another client, which is measured beside this one. It is no must either.
.venv/.comfy-toolkit: .venv/.package
	@$(PYTHON) -m venv .venv/comfy-toolkit && .venv/comfy-toolkit/bin/python -m pip install -q "comfy-toolkit[ws]==0.1.0" \
	  && touch $@ || { rm -rf .venv/comfy-toolkit; echo "No comfy-toolkit 0.1.0: it will not be measured."; }

js/node_modules/.package-lock.json: js/package.json js/package-lock.json | .venv/.tools
	cd js && npm ci --silent --no-audit --no-fund

# One build makes both, and JupyterLab finds the extension where pip has installed it.
$(STATIC) &: js/node_modules/.package-lock.json $(wildcard js/*.mjs js/src/* js/src/*/* js/lab/* js/lab/*/*)
	cd js && npm run --silent build
	@rm -rf $(LABEXTENSION) && mkdir -p $(LABEXTENSION) && cp -r labextension/. $(LABEXTENSION)

# A browser for the tests: the machine's own, else Playwright's, else the distribution's; without any they are skipped, visibly.
chromium: .venv/.tools
	@$(BIN)/python tests/browser/chromium.py || $(BIN)/python -m playwright install --with-deps chromium \
	  || (apt-get update -qq && apt-get install -y -qq chromium) || echo "No Chromium: the browser tests will be skipped."
