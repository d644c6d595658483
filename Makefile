# Two commands matter: `make demo` and `make test`. `make help` lists the rest.

export CARGO_TARGET_DIR ?= $(HOME)/.cache/pitviper/target
CACHE := $(HOME)/.cache/pitviper
TOOLS := $(CACHE)/tools/bin
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup build wheels demo test lint test-rust test-python test-suites suites test-ui test-house stress stress-profiler bench-agent bench-instructions bench-flame bench-ingest bench-soak bench-stacks bench-store bench-turns bench-waterfall fuzz audit

help: ## Lists the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 20

setup: ## Installs what builds and tests need
	@bash scripts/setup.sh

build: setup ## Builds the UI, the server and the library for C programs
	@bash scripts/section.sh "UI" npm --prefix ui run --silent build
	@bash scripts/section.sh "Server" cargo build --release --locked -p pitviper-server
	@bash scripts/section.sh "C library" cargo build --release --locked -p pitviper-onesdk-library

wheels: setup ## Builds the agent's wheel for every CPython found
	@bash scripts/section.sh "Wheels" $(TOOLS)/python python/tools/matrix.py build

demo: setup ## Runs Flaskr under the agent and opens the server; ARGS=--once runs a load and exits
	@$(TOOLS)/python scripts/demo.py $(ARGS)

test: setup test-ui lint test-rust test-python test-suites test-house ## Runs every test and check
	@echo "make test: everything passed"

lint: setup ## Formatting, lints, types, and the arrows between rooms
	@bash scripts/section.sh "rustfmt" cargo fmt --all --check
	@bash scripts/section.sh "tidy" cargo xtask tidy
	@bash scripts/section.sh "ruff" $(TOOLS)/ruff check python tests scripts examples bench
	@bash scripts/section.sh "ruff format" $(TOOLS)/ruff format --check python tests scripts examples bench
	@bash scripts/section.sh "pyright" $(TOOLS)/pyright
	@bash scripts/section.sh "generated files" $(TOOLS)/python python/tools/generate.py --check
	@bash scripts/section.sh "API types" npm --prefix ui run --silent types:check
	@bash scripts/section.sh "oxlint" npm --prefix ui run --silent lint
	@bash scripts/section.sh "clippy" cargo clippy --release --locked --workspace --all-targets --quiet -- -D warnings
	@PYO3_CONFIG_FILE=$(CURDIR)/python/tools/free-threaded.config bash scripts/section.sh "free-threaded" \
		cargo check --release --locked --quiet -p pitviper-python --target-dir $(CARGO_TARGET_DIR)/free-threaded

test-rust: setup ## Rust tests
	@bash scripts/section.sh "Rust" cargo nextest run --release --locked --workspace

test-python: setup ## Agent tests on every CPython found, 3.9 to 3.14
	@bash scripts/section.sh "Python" $(TOOLS)/python python/tools/matrix.py test

test-suites: setup ## Flask's, requests' and Django's own tests with the agent, profiled, and with it failing
	@bash scripts/section.sh "Suites" $(TOOLS)/python python/tests/suites/run.py

suites: setup ## The same, whole, on every CPython found, with more faults: hours; ARGS="--library flask 3.9"
	@$(TOOLS)/python python/tests/suites/run.py --whole --seeds 3 $(ARGS)

stress: setup ## Process models again and again on every CPython found; ARGS=rounds
	@PITVIPER_STRESS="$(ARGS)" bash scripts/section.sh "Stress" $(TOOLS)/python python/tools/matrix.py stress

stress-profiler: setup ## Programs that are hard to profile, on every CPython found; ARGS="seconds for each, walks"
	@PITVIPER_STRESS="$(ARGS)" bash scripts/section.sh "Stress of the profiler" $(TOOLS)/python python/tools/matrix.py stress-profiler

test-ui: setup ## UI type check, unit tests, build, size budget
	@bash scripts/section.sh "UI types" npm --prefix ui run --silent check
	@bash scripts/section.sh "UI unit tests" npm --prefix ui test --silent
	@bash scripts/section.sh "UI build" npm --prefix ui run --silent build
	@bash scripts/section.sh "UI size" npm --prefix ui run --silent budget

test-house: build wheels ## Whole-house tests: real server, real Flaskr, real browser
	@bash scripts/section.sh "Whole house" $(TOOLS)/python scripts/steady.py tests

bench-agent: wheels ## What the agent costs, beside ddtrace, OpenTelemetry, New Relic, Elastic and fastotel
	@$(TOOLS)/python bench/agent/run.py $(ARGS)

bench-instructions: wheels ## The same in instructions, which do not vary; needs valgrind
	@$(TOOLS)/python bench/agent/instructions.py $(ARGS)

bench-profiler: wheels ## What profiling costs, and how true profiles are, beside ddtrace, pyroscope-io and py-spy
	@$(TOOLS)/python bench/profiler/run.py $(ARGS)

bench-stacks: wheels ## What looking at stacks costs: our threads, and what it adds to the program's
	@$(TOOLS)/python bench/profiler/stacks.py $(ARGS)

bench-turns: wheels ## What profiling costs a program that goes on, with the profiler off and on in turns
	@$(TOOLS)/python bench/profiler/turns.py $(ARGS)

bench-ingest: build ## What the server takes in: spans a second, CPU and bytes a span
	@cargo build --release --locked --quiet -p pitviper-bench-ingest
	@bash bench/ingest/run.sh $(ARGS)

bench-soak: ## Minutes of load, questions and kill -9, and where every span went; ARGS=minutes
	@cargo build --release --locked --quiet -p pitviper-server -p pitviper-bench-soak
	@$(CARGO_TARGET_DIR)/release/pitviper-bench-soak $(CARGO_TARGET_DIR)/release/pitviper-server $(ARGS) | tee bench/soak/results.md

bench-store: setup ## What the store answers and how fast, beside DuckDB and ClickHouse; ARGS=millions of spans
	@cargo build --release --locked --quiet -p pitviper-bench-store
	@bash bench/store/run.sh $(ARGS)

bench-flame: setup ## Whether the flame graph keeps up with 100,000 nodes, in a real browser
	@bash scripts/section.sh "UI" npm --prefix ui run --silent build
	@$(TOOLS)/python bench/flame/run.py

bench-waterfall: setup ## Whether the waterfall keeps up with 50,000 spans, in a real browser
	@bash scripts/section.sh "UI" npm --prefix ui run --silent build
	@$(TOOLS)/python bench/waterfall/run.py

fuzz: ## Feeds parsers and decoders with ever more random input; ARGS=seconds
	@bash scripts/fuzz.sh $(ARGS)

audit: ## Licences, sources and advisories of the dependencies; needs cargo-deny
	cargo deny check
