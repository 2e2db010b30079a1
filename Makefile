# Vectrion. `make demo` shows it, `make test` proves it, `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Fetched things live outside the checkout, so that every checkout of a machine shares them.
export VECTRION_CACHE_DIR ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/vectrion
export VECTRION_ASSETS_DIR ?= $(VECTRION_CACHE_DIR)/assets
TARGET := $(or $(CARGO_TARGET_DIR),target)
CARGO ?= cargo

.PHONY: up down
.PHONY: help demo build test test-faults lint assets check-rust fmt test-tools samples bench bench-peers bench-readme clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

demo: ## set up, build, ingest the sample documents, ask a question, stream the cited answer
	@scripts/demo.sh

build: check-rust assets ## leave target/release/vectrion with all that it needs
	@echo "==> building the program (release profile; the first time this takes several minutes)"
	$(CARGO) build --release --locked --workspace --bins --exclude vectrion-qdrant-standin --exclude vectrion-faults
	@scripts/install_assets.sh "$(TARGET)/release"
	@echo "==> ready: $(TARGET)/release/vectrion"

up: build ## start the distributed profile on this machine: two servers, two workers, and the services (by URL, or from packages)
	@scripts/up.sh start

down: ## stop what `make up` started; the data stay
	@scripts/up.sh stop

test: check-rust assets test-tools ## set up what is missing and run all tests
	@echo "==> building the tests (the first time this takes several minutes)"
	$(CARGO) build --locked --workspace --bins --tests --examples
	@echo "==> running the tests, beside PostgreSQL, RabbitMQ, Redis and an S3 server of their own"
	scripts/services/run scripts/test.sh

# make test-faults [FULL=1] [SOAK=MINUTES] [SEED=NUMBER] [ONLY=NUMBER,…]
test-faults: check-rust assets ## inject faults into two servers, two workers and their services, check what must hold
	$(CARGO) build --locked --workspace --bins --tests --examples
	"$(TARGET)/debug/vectrion-faults" $(if $(FULL),--full) $(if $(SOAK),--soak $(SOAK)) $(if $(SEED),--seed $(SEED)) \
		$(if $(ONLY),--only $(ONLY))

lint: check-rust ## formatting, clippy, documentation, contract, dependencies
	@scripts/lint.sh

assets: ## fetch pdfium, ONNX Runtime and the embedding model, pinned by SHA-256
	@python3 scripts/assets.py

test-tools: ## set up what the tests of the example programs need (Python, Node, grpcurl)
	@scripts/test_tools.sh

BENCH_OPTIONS = $(if $(ONLY),--only $(ONLY)) $(if $(DOCUMENTS),--documents $(DOCUMENTS)) $(if $(SKIP_BUILD),--skip-build)

# make bench [DATA="DIRECTORY…"] [FULL=1] [DOCUMENTS=N]
#     [ONLY=extraction,chunking,embedding,ingest,retrieval,answers,scifact,distributed,flat]
bench: check-rust assets ## measure the program, on both profiles; print the figures (DATA=DIRECTORY… names other data)
	@python3 scripts/bench/main.py $(BENCH_OPTIONS) $(if $(FULL),--full) $(DATA)

# make bench-peers [DATA="DIRECTORY…"] [ONLY=haystack,langchain,celery] [DOCUMENTS=N]
bench-peers: check-rust assets ## measure the program beside Haystack, LangChain and a Celery stack (DATA=DIRECTORY…)
	@python3 scripts/bench/peers.py $(BENCH_OPTIONS) $(DATA)

bench-readme: ## put the last figures into README.md (DISTRIBUTED=1: those of the distributed profile)
	@python3 scripts/bench/readme.py $(if $(DISTRIBUTED),distributed)

samples: ## make the sample documents again
	@python3 scripts/make_samples.py

released-proto: ## after a release: write the descriptor image that breaking changes are measured against
	@scripts/lint_tools.sh
	"$$(ls -d $(VECTRION_CACHE_DIR)/tools/buf-*/node_modules/.bin/buf | tail -n 1)" build -o proto/released.binpb --exclude-source-info

fmt: ## format the code
	$(CARGO) fmt --all

check-rust:
	@command -v $(CARGO) >/dev/null || { echo "Rust is missing: install rustup, then run this again" >&2; exit 1; }

clean: ## remove what was built here (fetched things stay in the cache)
	$(CARGO) clean
