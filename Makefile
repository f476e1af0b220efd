# What a developer runs. Tools, nodes and the native module are made when missing or older than their sources.

PYTHON ?= python3
BIN := .venv/bin
TOOLS := .venv/.tools
BUILT := .venv/.built
NODES := tests/node/node_modules/.installed
BENCH := .venv-bench
PEERS := $(BENCH)/.installed
WEB3_7 := .venvs/web3-7
DENY := target/tools/bin/cargo-deny
# A distribution's Python is built with PGO, which makes a difference; the report names what it was.
BENCH_PYTHON = $(shell /usr/bin/python3 -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' \
	2>/dev/null && echo /usr/bin/python3 || echo $(PYTHON))
# The engine alone, with the memory that the package uses.
ENGINE_BENCH := --locked --package genesis-engine-bench --features mimalloc
SOURCES := Cargo.toml Cargo.lock pyproject.toml $(shell find src -name '*.rs')

export VIRTUAL_ENV := $(CURDIR)/.venv
export PYO3_PYTHON := $(CURDIR)/$(BIN)/python

# How long each parser is fed with made-up input.
FUZZ_SECONDS ?= 10

.PHONY: demo test check fuzz bench bench-engine instructions wheel wheel-check fmt bench-limiters bench-web3 \
	test-all test-web3-7 soak storm
.DELETE_ON_ERROR:

# npm's own `anvil` is a script around the program, and ending a script would leave the program behind.
demo: $(BUILT) $(NODES)
	GENESIS_ANVIL="$$(ls -d tests/node/node_modules/@foundry-rs/anvil-*/bin/anvil 2>/dev/null | head -n 1)" \
		$(BIN)/python -m genesis_replicator demo

test: $(BUILT) $(NODES)
	cargo test --locked --no-default-features
	cargo test --locked --package genesis-loom
	$(BIN)/pytest

test-all: wheel $(NODES)
	$(BIN)/python tools/test_all.py

# The provider for web3.py with the version before the one that the tools have.
test-web3-7: $(BUILT) $(NODES) $(WEB3_7)/.installed
	PYTHONPATH=python $(WEB3_7)/bin/python -m pytest tests/over_web3

check: $(BUILT) $(DENY)
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked --all-targets --no-default-features -- -D warnings
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/stubtest genesis_replicator
	$(BIN)/python tools/audit.py
	$(MAKE) test

# What is found lies in target/fuzz, with all input that led somewhere new. It needs a C++ compiler. The crates are those
# of the package, and what only the fuzzer has.
fuzz:
	cp Cargo.lock fuzz/Cargo.lock
	for parser in answers endpoint credentials refusals; do \
		mkdir -p target/fuzz/$$parser && (cd fuzz && cargo run --release --bin $$parser -- \
			-max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=512 -verbosity=0 -print_final_stats=1 \
			-artifact_prefix=../target/fuzz/$$parser- ../target/fuzz/$$parser seeds/$$parser) || exit 1; \
	done
# For example `make soak SOAK='--seconds 600'`, or `SOAK='--help'`.
soak: $(BUILT)
	PYTHONPATH=tests $(BIN)/python -m soak $(SOAK)

bench: $(BUILT) $(PEERS)
	$(BENCH)/bin/python benches/run.py --save

bench-limiters: $(BUILT) $(PEERS)
	$(BENCH)/bin/python benches/limiters.py

bench-web3: $(BUILT) $(PEERS)
	$(BENCH)/bin/python benches/over_web3.py

storm: $(BUILT) $(PEERS)
	$(BENCH)/bin/python benches/storm.py --save

bench-engine:
	cargo bench $(ENGINE_BENCH) --bench engine

instructions: $(TOOLS)
	cargo build --release $(ENGINE_BENCH)
	$(BIN)/python tools/instructions.py $(if $(SAVE),--save)

wheel: $(TOOLS)
	rm -rf dist
	$(BIN)/maturin build --release --out dist

wheel-check: wheel
	$(BIN)/python tools/wheel_check.py

fmt: $(TOOLS)
	cargo fmt --all
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

$(TOOLS): requirements-dev.txt
	@$(PYTHON) -c 'import ensurepip' || { echo 'Python cannot make environments: apt-get install python3-venv'; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --requirement requirements-dev.txt
	touch $@

# One after the other: a client that cannot be installed is left out of the comparison, and the report says so.
$(PEERS): benches/requirements.txt
	$(BENCH_PYTHON) -m venv $(BENCH)
	grep -v '^#' $< | xargs -n 1 $(BENCH)/bin/pip install --quiet || echo '!!! not all clients can be compared'
	touch $@

$(WEB3_7)/.installed: requirements-dev.txt
	$(PYTHON) -m venv $(WEB3_7)
	sed 's/^web3==.*/web3==7.16.0/' $< | $(WEB3_7)/bin/pip install --quiet --requirement /dev/stdin
	touch $@

$(BUILT): $(TOOLS) $(SOURCES)
	$(BIN)/maturin develop --release
	touch $@

# The script that npm's package wants to run is not needed: the program comes as a package of its own.
$(NODES): tests/node/package-lock.json
	@if command -v npm >/dev/null; then \
		cd tests/node && npm ci --ignore-scripts --no-audit --no-fund && touch node_modules/.installed; \
	else \
		echo '!!! npm is missing: without anvil its tests are skipped, and the demo uses a scripted node'; \
	fi

$(DENY):
	cargo install --locked --root target/tools --version 0.20.2 cargo-deny
