# Frazil: `make run` for a broker on this machine, `make test` for everything that can be checked, `make help` for the rest.

SHELL := bash
CARGO ?= cargo
# Servers, clients and tools of the tests; built once, keyed by content (tests/tools/install).
export FRAZIL_CACHE ?= $(CURDIR)/.cache
TARGET_DIR := $(if $(CARGO_TARGET_DIR),$(CARGO_TARGET_DIR),target)
ARGS ?=
# Whom the suites run against, frazil or kafka (the oracle), and which of them; all when none is named.
AGAINST ?= frazil
SUITES ?=
FAST = $(TARGET_DIR)/debug/frazil-suites --fast --each

# For how long the real clients of `make chaos` have bad days, how many requests each class of faults sees in the
# simulation, and which bad things happen: replay a finding with its seed.
CHAOS_SECONDS ?= 600
OPERATIONS ?= 100000
SEED ?= $(shell echo $$RANDOM)

.PHONY: help run run-minio build build-release tools tools-fast tools-suites test chaos suites suites-fast bench fmt lint

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

# All targets build the whole workspace with one feature set: selecting a package would resolve other features and compile
# its dependencies a second time. The dev profile optimises dependencies, so it starts fast and is quick enough to try.
build:
	$(CARGO) build --workspace --bin frazil --locked

run: build ## a broker with data in ./frazil-data and a demo topic (ARGS="--any-port ...")
	$(TARGET_DIR)/debug/frazil dev $(ARGS)

run-minio: build ## the same on an S3 bucket: a MinIO started for it, data in ./frazil-data/minio
	tests/tools/install minio
	tests/tools/with-minio frazil-data/minio $(TARGET_DIR)/debug/frazil dev $(ARGS)

tools: ## what the tests run against: MinIO, kcat, Python clients, Apache Kafka
	tests/tools/install

# The selection runs even when a test failed, so that one run tells of both; either fails the target.
test: tools-fast build ## everything, of the suites the fast selection: unit, crash points, simulation, real clients
	$(CARGO) build --workspace --bin frazil-suites --locked
	status=0; $(CARGO) test --workspace --locked $(ARGS) || status=1; $(FAST) || status=1; exit $$status

tools-fast: tools
	tests/tools/install suites-fast

chaos: SEED := $(SEED)
chaos: tools build ## long histories while all goes wrong: simulated and real (CHAOS_SECONDS=600 OPERATIONS=100000 SEED=7)
	FRAZIL_SEED=$(SEED) FRAZIL_CHAOS_SECONDS=$(CHAOS_SECONDS) FRAZIL_OPERATIONS=$(OPERATIONS) \
	  $(CARGO) test --workspace --locked --test it -- --nocapture chaos:: no_class_of_faults $(ARGS)

tools-suites: tools
	tests/tools/install suites

suites-fast: tools-fast build ## the fast selection of the suites (tests/suites/fast.txt), one line for each case
	$(CARGO) build --workspace --bin frazil-suites --locked
	$(FAST)

suites: tools-suites build ## other projects' own test suites (SUITES="librdkafka java", AGAINST=kafka, ARGS="--case 0081")
	$(CARGO) build --workspace --bin frazil-suites --locked
	$(TARGET_DIR)/debug/frazil-suites --against $(AGAINST) $(ARGS) $(SUITES)

build-release:
	$(CARGO) build --workspace --bins --release --locked

bench: tools build-release ## figures against Kafka and the bare floor (ARGS="--scenario produce-64k --quick")
	$(TARGET_DIR)/release/frazil-bench all --frazil-bin $(TARGET_DIR)/release/frazil $(ARGS)

fmt: ## format the code
	$(CARGO) fmt --all

lint: ## what CI refuses: formatting and clippy warnings
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
