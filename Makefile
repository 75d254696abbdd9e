# The commands of this repository; `make` alone lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash

CARGO ?= cargo
# `make -j` must not start two builds that wait for each other's lock.
.NOTPARALLEL:

.PHONY: help
help: ## List the commands
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-20s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: toolchain
toolchain:
	@command -v $(CARGO) >/dev/null || { echo "cargo is missing: install Rust 1.95 or newer from https://rustup.rs"; exit 1; }
	@command -v cc >/dev/null || { echo "a C compiler is missing: install gcc or clang (Debian: apt-get install build-essential)"; exit 1; }

# Everything the launcher starts, in the profile that the tests use too, so that dependencies build once.
.PHONY: build
build: toolchain ## Build the programs (the first time takes some minutes; cargo shows how far it is)
	$(CARGO) build --workspace --bins

TARGET_DIR = $$($(CARGO) metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
BIN = $(TARGET_DIR)/debug

.PHONY: dev-dashboard
dev-dashboard: build ## Show it all live: embedded cluster, operator, workload, neotop (attaches to a running operator)
	@exec $(BIN)/dev dashboard

.PHONY: dev-start
dev-start: build ## Run the operator (selective cache) on an embedded cluster
	@exec $(BIN)/dev start --strategy selective

.PHONY: dev-start-minimal
dev-start-minimal: build ## Run the operator without a cache on an embedded cluster
	@exec $(BIN)/dev start --strategy none

.PHONY: dev-start-fast
dev-start-fast: build ## Run the operator with a cache that fills at first use (lazy) on an embedded cluster
	@exec $(BIN)/dev start --strategy lazy

.PHONY: dev-start-full
dev-start-full: build ## Run the operator with everything cached (full) on an embedded cluster
	@exec $(BIN)/dev start --strategy full

.PHONY: test
test: build ## Run all tests that need only the Rust toolchain
	$(CARGO) test --workspace

.PHONY: test-e2e
test-e2e: build ## Run the suites against a real control plane and a real Neo4j (needs Go, a JDK, Maven; built once)
	@CARGO="$(CARGO)" tests/e2e.sh

.PHONY: lint
lint: toolchain ## Check format, lints, licences of dependencies
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	@if command -v cargo-deny >/dev/null; then $(CARGO) deny --offline check bans licenses sources; \
	else echo "cargo-deny is not installed: dependencies are not checked (cargo install cargo-deny --locked)"; fi

.PHONY: crds
crds: toolchain ## Write what is generated: crds/manifests, daemon/deploy/rbac, the tables in the READMEs
	$(CARGO) run -p neo4j-operator-crds --bin crdgen
	$(CARGO) run -p neo4j-operator --bin generate

.PHONY: campaign
campaign: toolchain ## Change cache strategies under fire (SCOPE=full: 20,000 writes for each of SEEDS=3 seeds from SEED=1; SCOPE=quick)
	SCOPE=$(or $(SCOPE),full) SEED=$(or $(SEED),1) SEEDS=$(or $(SEEDS),3) TARGET= \
	$(CARGO) test --workspace --test switching -- --nocapture nothing_is_lost

.PHONY: bench
bench: toolchain ## Run the benches (about a minute after an optimised build)
	$(CARGO) bench -p neo4j-operator-benches

.PHONY: bench-dashboard
bench-dashboard: toolchain ## Measure what neotop promises to cost (four minutes after an optimised build; ARGUMENTS=--quick: one)
	$(CARGO) bench -p neotop --bench promises -- $(ARGUMENTS)

.PHONY: bench-compare
bench-compare: toolchain ## Measure our operator, and that of OPERATOR='command ...', on a real control plane (needs Go; the optimised build takes up to 20 minutes)
	$(CARGO) build --release -p neo4j-operator
	$(CARGO) build --workspace --bins
	@CONTROLPLANE=$$(tests/controlplane/multicall/build.sh) && export CONTROLPLANE && \
	exec $(BIN)/compare --own $(TARGET_DIR)/release/neo4j-operator $(ARGUMENTS)

.PHONY: bench-tables
bench-tables: toolchain ## Tables of what each cache strategy costs, and what changing it does, on a real control plane (needs Go; the optimised build takes up to 20 minutes)
	$(CARGO) build --release -p neo4j-operator
	$(CARGO) build --workspace --bins
	@CONTROLPLANE=$$(tests/controlplane/multicall/build.sh) && export CONTROLPLANE && \
	exec $(BIN)/tables --own $(TARGET_DIR)/release/neo4j-operator $(ARGUMENTS)

# Where the tools are, a suite that is skipped is a failure.
E2E_TOOLS = $$(command -v go >/dev/null && command -v javac >/dev/null && command -v mvn >/dev/null && echo 1)

.PHONY: ci
ci: lint test ## What CI runs: lint, all tests, those against real components, a short campaign
	@E2E_REQUIRE="$${E2E_REQUIRE:-$(E2E_TOOLS)}" CARGO="$(CARGO)" tests/e2e.sh
	@$(MAKE) --no-print-directory campaign SCOPE=quick SEED=2 SEEDS=2
