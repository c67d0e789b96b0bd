# Everything runs in .venv. `make` alone lists the targets; `make check` is what CI runs.
BIN := .venv/bin
PYTHON ?= python3
LINKS := build/links
PROTOS := protos/palimpsest/v1
OPENAI := tests/server/openai
PROTOC := PATH="$(CURDIR)/.venv/gen/bin:$$PATH" .venv/gen/bin/python -m grpc_tools.protoc -I protos

.PHONY: help setup demo test lint types gen gen-check breaking check web page page-check screenshots openai delivery first-draft trace-cost bench gpu eval recovery loading package image size links clean
.DEFAULT_GOAL := help

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

setup: .venv/stamp ## Install everything into .venv (again only when the pins change)

# The constraints keep pip from choosing another build of torch than the pinned one.
.venv/stamp: pyproject.toml setup.py constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install -q -c constraints.txt setuptools
	$(BIN)/pip install -q -c constraints.txt --no-build-isolation -e '.[serve,eval,dev]'
	touch $@

demo: setup ## Start the server, stream three prompts with live canvases, print latencies
	$(BIN)/palimpsest demo

# In two processes; each takes whole files, whose tests share servers, in the order of their names:
# sorted by how many tests they have, the long ones of few tests would come last.
test: setup $(OPENAI)/node_modules ## Run the tests
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/pytest -q -n 2 --dist loadfile --no-loadscope-reorder

lint: setup links ## Style, import arrows, contract, Dockerfile
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	cd $(LINKS) && $(CURDIR)/$(BIN)/lint-imports --config $(CURDIR)/pyproject.toml --no-cache --no-logo
	$(BIN)/buf lint protos
	$(BIN)/buf format --diff --exit-code protos
	$(BIN)/hadolint Dockerfile

types: setup links ## Check types
	$(BIN)/basedpyright

# Tools that do not follow the editable install see the folders as one package here.
links:
	@rm -rf $(LINKS) && mkdir -p $(LINKS)
	@cp -rs $(CURDIR)/clients/python $(LINKS)/palimpsest
	@cp -rs $(CURDIR)/engine $(CURDIR)/kernels $(CURDIR)/server $(LINKS)/palimpsest/
	@cp -rs $(CURDIR)/$(PROTOS) $(LINKS)/palimpsest/v1

# Generated with the oldest tools whose code we want to support; they need an environment of their
# own, as the runtimes in .venv are newer.
.venv/gen/stamp: protos/requirements.txt | setup
	$(PYTHON) -m venv .venv/gen
	.venv/gen/bin/pip install -q -r protos/requirements.txt
	touch $@

define generate
$(PROTOC) --python_out=$(1) --mypy_out=quiet:$(1) $(PROTOS)/*.proto
$(PROTOC) --grpc_python_out=$(1) --mypy_grpc_out=quiet,generate_concrete_servicer_stubs:$(1) $(PROTOS)/service.proto
endef

gen: .venv/gen/stamp ## Generate the Python code of the contract
	$(call generate,protos)

gen-check: .venv/gen/stamp ## Fail if the committed code is not what `make gen` writes
	rm -rf build/gen && mkdir -p build/gen
	$(call generate,build/gen)
	diff -r -x '*.proto' -x __init__.py -x __pycache__ build/gen/palimpsest protos/palimpsest

breaking: setup ## Compare the contract with the last release
	@tag=$$(git describe --tags --abbrev=0 2>/dev/null) || { echo "no release to compare with"; exit 0; }; \
	$(BIN)/buf breaking protos --against ".git#tag=$$tag,subdir=protos"

check: setup lint types gen-check breaking web page-check test ## All of the above; what CI runs

# The TypeScript client has an environment of its own: Node 20 or newer, and packages of npm.
WEB := clients/web

web: ## Check and test the TypeScript client, where npm is installed
	@command -v npm > /dev/null || { echo "no npm here: the TypeScript client is left out"; exit 0; }; \
	cd $(WEB) && npm ci --no-audit --no-fund && npm run -s lint && npm run -s gen:check && npm run -s typecheck \
		&& npm test -s

# The page holds the client's source, which finds its packages beside itself.
PAGE := clients/page

page: ## Build the page into server/page/built, with npm
	cd $(WEB) && npm ci --no-audit --no-fund
	cd $(PAGE) && npm ci --no-audit --no-fund && npm run -s build

page-check: web ## Check and test the page, where npm is installed; fail if what is committed is not its build
	@command -v npm > /dev/null || { echo "no npm here: the page is left out"; exit 0; }; \
	cd $(PAGE) && npm ci --no-audit --no-fund && npm run -s lint && npm run -s typecheck && npm test -s \
		&& npm run -s build -- --outDir $(CURDIR)/build/page && cd $(CURDIR) \
		&& { diff -rq build/page server/page/built || { echo "the page is not fresh: run 'make page'"; exit 1; }; }

screenshots: setup ## Take pictures of the page in a browser, into build/screenshots
	PYTHONPATH=tests/support$${PYTHONPATH:+:$$PYTHONPATH} $(BIN)/python tests/page/screenshots.py build/screenshots

# OpenAI's client for Node; without npm the tests of it are left out.
$(OPENAI)/node_modules: $(OPENAI)/package-lock.json
	@command -v npm > /dev/null || exit 0; cd $(OPENAI) && npm ci && touch node_modules

openai: setup $(OPENAI)/node_modules ## Print what OpenAI's own clients get of a server, as a table
	@PYTHONPATH=tests/support $(BIN)/python $(OPENAI)/table.py

delivery: setup ## Measure how long drafts are under way to 32 browsers, and what each costs the server
	@PYTHONPATH=tests/support $(BIN)/python tests/server/http/delivery.py

first-draft: setup ## Measure how soon an answer about a picture begins, the first time and again
	@PYTHONPATH=tests/support $(BIN)/python tests/server/media/first_draft.py

trace-cost: setup ## Measure what tracing costs 16 streams, also with a collector that is killed or never answers
	@PYTHONPATH=tests/support $(BIN)/python tests/server/trace_cost.py

bench: setup ## Compare the speed of a denoising step with transformers
	$(BIN)/python -m palimpsest.engine.bench

gpu: links ## Check and time kernels and the whole model on a GPU, into build/gpu (needs no setup)
	mkdir -p build/gpu
	PYTHONPATH=$(LINKS) $(PYTHON) -m palimpsest.kernels.bench > build/gpu/kernels.json; kernels=$$?; \
	PYTHONPATH=$(LINKS) $(PYTHON) -m palimpsest.engine.gpu.full_size --profile build/gpu > build/gpu/full_size.json \
	&& exit $$kernels

eval: setup ## Measure the bundled model on the bundled suite, into build/eval
	$(BIN)/palimpsest eval --out build/eval

# About an hour on two cores; RECOVERY="--items 20 --hard-items 40 --step-items 2" is a quick look.
recovery: setup ## Quantise the bundled model to each format and measure what is kept, into build/recovery
	$(BIN)/python tests/engine/recovery.py $(RECOVERY)

loading: setup ## Load a checkpoint of a tenth of the released size: memory and seconds per GB
	PYTHONPATH=tests/support $(BIN)/python tests/engine/loading.py

package: setup ## Build the wheel and the source archive into dist/
	$(BIN)/python -m build --no-isolation

image: ## Build the container image
	docker build -t palimpsest .

size: ## Print the longest files
	@git ls-files -co --exclude-standard '*.py' | grep -v _pb2 | xargs wc -l | sort -rn | head -16

clean: ## Remove what was built, but not .venv
	rm -rf build dist *.egg-info
