# LoyalNest's tasks. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.9
READY := $(VENV)/.ready

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z][a-zA-Z_-]*:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  \033[1m%-12s\033[0m %s\n", $$1, $$2}'

$(READY): requirements.lock pyproject.toml
	@echo "Making the Python environment in $(VENV) from requirements.lock"
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "LoyalNest needs Python 3.11 or newer; found " + sys.version)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --compile-bytecode --require-hashes -r requirements.lock
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation -e .
	@touch $(READY)

.PHONY: env
env: $(READY) ## Make the Python environment (pinned by requirements.lock)

.PHONY: lock
lock: $(READY) ## Pin the newest allowed dependencies again
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip compile -q --upgrade pyproject.toml --all-extras --python-version 3.11 --generate-hashes \
		--no-header --no-annotate --no-emit-index-url -o requirements.lock
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip compile -q --upgrade pyproject.toml --extra operator --python-version 3.11 --generate-hashes \
		--no-header --no-annotate --no-emit-index-url --constraint requirements.lock -o requirements-image.lock

.PHONY: proto
proto: $(READY) ## Generate the gRPC code from the services' .proto files
	@$(BIN)/python tools/generate_proto.py

.PHONY: crd
crd: $(READY) ## Generate the CustomResourceDefinition from the program's models
	@$(BIN)/python tools/generate_crd.py

.PHONY: check
check: $(READY) ## Lint and type-check
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy services operator tests tools

.PHONY: format
format: $(READY) ## Format the code
	@$(BIN)/ruff check --fix-only -q . ; $(BIN)/ruff format .

.PHONY: dashboards
dashboards: $(READY) ## Generate the Grafana dashboards from their short sources
	@$(BIN)/python tools/generate_dashboards.py

.PHONY: reference
reference: $(READY) ## Generate docs/reference and the pool's list of services from the services' declarations
	@$(BIN)/python tools/generate_reference.py

DATA ?= data
PORT ?= 8080

.PHONY: run
run: $(READY) ## Run LoyalNest with the demo shops and their purchases (DATA=data PORT=8080)
	@exec $(BIN)/loyalnest up --data $(DATA) --port $(PORT)

.PHONY: unit
unit: $(READY) ## Unit tests: no servers, under a minute
	@$(BIN)/pytest -q -n 2 tests/unit tests/architecture

.PHONY: integration
integration: $(READY) ## Integration tests: real PostgreSQL, Redis and Kafka, started and stopped by the tests
	@$(BIN)/pytest -q -n 2 --dist loadfile tests/integration

.PHONY: e2e
e2e: $(READY) ## End to end: the whole product as real processes, in both packings
	@$(BIN)/pytest -q -n 2 --dist loadfile tests/e2e

.PHONY: operator
operator: $(READY) ## The operator against a real Kubernetes API server, which Go builds at the first run (10 minutes)
	@$(BIN)/pytest -q -n 2 --dist loadfile tests/operator

.PHONY: test
test: $(READY) ## All tests, with coverage. Needs Java 17 and Maven for Kafka, Go for Kubernetes, Helm and Prometheus
	@echo "Runs unit, integration, end-to-end and operator tests. They start PostgreSQL, Redis, Kafka, Prometheus and a"
	@echo "Kubernetes API server of their own in temporary folders on free ports, because what is promised (durability,"
	@echo "isolation, order) is theirs to keep, and stop them. What Go builds from source is built once: some 20 minutes."
	@rm -f .coverage .coverage.*
	@$(BIN)/pytest -q -n 2 --dist loadfile --cov --cov-report= tests/unit tests/architecture tests/integration
	@$(BIN)/pytest -q -n 2 --dist loadfile --cov --cov-append --cov-report= tests/e2e
	@$(BIN)/pytest -q -n 2 --dist loadfile --cov --cov-append --cov-report= tests/operator
	@$(BIN)/coverage report --fail-under=80

.PHONY: bench
bench: $(READY) ## Measure what this machine holds (RATE=300 SECONDS=30 BODY=0 BACKLOG=100000 MERCHANTS=100)
	@PYTHONPATH=tests $(BIN)/python -m load.bench

.PHONY: bench-operator
bench-operator: $(READY) ## Measure what a fleet costs the operator, on an API server without nodes (PROGRAMS=1000)
	@PYTHONPATH=tests $(BIN)/python -m load.bench_operator

.PHONY: bench-products
bench-products: $(READY) ## Measure searches in a large catalogue (PRODUCTS=100000 OTHERS=50 SEARCHES=300 PLAN=0)
	@PYTHONPATH=tests $(BIN)/python -m load.bench_products

# What `docker build` understands is enough: podman build, buildah build.
BUILD ?= docker build
REGISTRY ?= loyalnest
TAG ?= dev
HELM ?= $(shell PYTHONPATH=tests $(BIN)/python -m fixtures.helm)
export REGISTRY TAG

build/kafka: tests/tools/kafka/pom.xml
	@rm -rf $@ && mvn -q -B -f $< dependency:copy-dependencies -DoutputDirectory=$(CURDIR)/$@ && touch $@

.PHONY: images
images: build/kafka ## Build the images (BUILD="docker build" REGISTRY=loyalnest TAG=dev)
	@$(BUILD) . -f images/Dockerfile --build-arg UV_VERSION=$(UV_VERSION) -t $(REGISTRY)/loyalnest:$(TAG)
	@set -e; for store in postgresql redis kafka; do \
		$(BUILD) . -f images/backing/Dockerfile --target $$store -t $(REGISTRY)/$$store:$(TAG); done

.PHONY: charts
charts: $(READY) ## Lint the charts and package them into dist/charts
	@set -e; for chart in loyalnest-operator loyalnest loyalnest-backing; do \
		$(HELM) lint --quiet --strict charts/$$chart -f charts/$$chart/ci/full-values.yaml; $(HELM) package charts/$$chart -d dist/charts; done

.PHONY: cluster
cluster: ## Find or make a cluster: the one that KUBECONFIG names, else kind in Docker
	@clusters/cluster.sh

.PHONY: deploy
deploy: $(READY) ## Install stores, pool and operator there, from the images of `make images`
	@HELM=$(HELM) clusters/deploy.sh

.PHONY: demo
demo: ## Apply the demo's merchants there and wait until they are served
	@clusters/demo.sh

.PHONY: cluster-test
cluster-test: $(READY) ## Tests on the cluster that KUBECONFIG names, from the images of `make images` (NEXT_TAG for the upgrade)
	@$(BIN)/pytest -q tests/cluster

.PHONY: undeploy
undeploy: $(READY) ## Remove what `make deploy` installed there, with all data
	@HELM=$(HELM) clusters/undeploy.sh
