# flipslot: `make demo` shows it, `make test` proves it. Both install what they need (Debian or
# Ubuntu, root or sudo).

# What the tests and the demo do needs root: building does not.
ifneq ($(shell id -u),0)
SUDO := sudo -E
export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER := $(SUDO)
endif
CARGO := cargo
FLIPSLOT := target/release/flipslot

.PHONY: help deps build lint doc test test-all bench demo deny clean

help:
	@sed -n 's/^## //p' Makefile

## make deps      install what the other targets need
deps:
	scripts/install.sh

## make build     the program, as target/release/flipslot
build: deps
	$(CARGO) build --release

## make lint      format, clippy and documentation, warnings are errors
lint:
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --no-deps --lib

## make test      lint, then every test: unit, program, machines that boot
test: deps lint
	$(CARGO) test --lib
	$(CARGO) test --test tests
	$(CARGO) test --test vm -- --test-threads=2

## make test-all  the same with the whole of the big matrices (none yet)
test-all: test

## make bench     against what people do by hand, in one run
bench: build
	$(SUDO) bench/run.py

## make demo      two Debian images, a registry, a disk, and both slots booted in QEMU
demo: build
	$(SUDO) demo/run.sh

## make deny      licences, sources and advisories of the crates (needs cargo-deny)
deny:
	$(CARGO) deny check

clean:
	$(CARGO) clean
	rm -rf demo/work vm/logs
