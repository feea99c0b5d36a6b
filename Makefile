# flipslot: `make demo` shows it, `make test` proves it. Both install what they need (Debian or
# Ubuntu, root or sudo).

# What the tests and the demo do needs root: building does not.
ifneq ($(shell id -u),0)
SUDO := sudo -E
export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER := $(SUDO)
endif
CARGO := cargo
# Cargo's own place for it, because of the static target (.cargo/config.toml), and ours.
BUILT := target/x86_64-unknown-linux-gnu/release/flipslot
FLIPSLOT := target/flipslot

.PHONY: help deps build lint doc test test-all bench demo deny clean

help:
	@sed -n 's/^## //p' Makefile

## make deps      install what the other targets need
deps:
	scripts/install.sh

## make build     the program, as target/flipslot
build: deps
	$(CARGO) build --release
	ln -f $(BUILT) $(FLIPSLOT)

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

## make test-all  the same, and what takes long: ten switches, 36 pairs of machines, every table on
##                every firmware with every filesystem
test-all: test
	$(CARGO) test --test vm -- --test-threads=2 --ignored

## make bench     against what people do by hand, an initramfs against dracut's own, a switch
##                against a reboot, and one golden disk to four against bmaptool
bench: build
	$(SUDO) bench/run.py
	$(SUDO) bench/initramfs.py
	$(SUDO) bench/switch.py
	$(SUDO) bench/clone.py

## make demo      a registry, a disk, a server in QEMU that jumps into another slot and back
demo: build
	$(SUDO) demo/run.sh

## make deny      licences, sources and advisories of the crates (needs cargo-deny)
deny:
	$(CARGO) deny check

clean:
	$(CARGO) clean
	rm -rf demo/work vm/logs
