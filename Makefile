# flipslot: `make demo` shows it, `make test` proves it. Both install what they need (Debian or
# Ubuntu, root or sudo).

# What the tests and the demo do needs root: building does not.
ifneq ($(shell id -u),0)
SUDO := sudo -E
export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER := $(SUDO)
endif
# scripts/install.sh may have to install cargo here, which no shell that runs already has in its PATH.
export PATH := $(or $(CARGO_HOME),$(HOME)/.cargo)/bin:$(PATH)
CARGO := cargo
# Cargo's own place for it, because of the static target (.cargo/config.toml), and ours.
BUILT := target/x86_64-unknown-linux-gnu/release/flipslot
FLIPSLOT := target/flipslot
# The /init of an initramfs, which the program carries. It knows none of the program's libraries, so it is built
# without them.
INIT_ONLY := --no-default-features --features init --bin flipslot-init
# The one that fetches its root knows those that reach a server.
INIT_NET := --no-default-features --features net --bin flipslot-init
# At a fixed address it is 60 kB smaller.
INIT_FLAGS := -C target-feature=+crt-static -C relocation-model=static

# DEPS= installs nothing.
DEPS := scripts/install.sh
PREFIX := /usr/local
SHARE = $(DESTDIR)$(PREFIX)/share

# A program test waits for the disk as often as for a core. Its files are in memory where there is plenty.
export TMPDIR := $(or $(TMPDIR),$(shell scripts/test-folder.sh))
TESTS := $(CARGO) test --test tests -- --test-threads=$(shell expr $$(nproc) + 1)
# A machine keeps one core busy but for what it waits for: its disk, a deadline.
VM := $(CARGO) test --test vm -- --test-threads=3
# Measurements and the demo take images as Debian makes them (vm/images/build.sh).
bench demo demo-netboot: export FLIPSLOT_IMAGES := whole

.PHONY: help deps init build install docs lint test test-fast test-all soak fuzz bench demo demo-netboot deny clean

help:
	@sed -n 's/^## //p' Makefile

## make deps      install what the other targets need
deps:
	$(DEPS)

## make build     the program, as target/flipslot
build: deps init
	$(CARGO) build --release
	ln -f $(BUILT) $(FLIPSLOT)

## make init      flipslot-init for disks and for the network, as target/flipslot-init*.zst, which every
##                build of the program needs
init: deps
	set -e; built() { zstd -q -f -19 target/x86_64-unknown-linux-gnu/init/flipslot-init -o "$$1"; }; \
	RUSTFLAGS="$(INIT_FLAGS)" $(CARGO) build --profile init $(INIT_ONLY); built target/flipslot-init.zst; \
	RUSTFLAGS="$(INIT_FLAGS)" $(CARGO) build --profile init $(INIT_NET); built target/flipslot-init-net.zst

## make install   the program, its man pages and completions, below PREFIX=/usr/local (run make build
##                before; sudo make install); DESTDIR=DIR stages them for a package
install:
	@test -x $(FLIPSLOT) || { echo "there is no $(FLIPSLOT): run make build first" >&2; exit 1; }
	install -D -m 755 $(FLIPSLOT) "$(DESTDIR)$(PREFIX)/bin/flipslot"
	install -d "$(SHARE)/man/man1"
	$(FLIPSLOT) reference --man "$(SHARE)/man/man1"
	chmod 644 "$(SHARE)"/man/man1/flipslot*.1
	install -d "$(SHARE)/bash-completion/completions" "$(SHARE)/zsh/site-functions" "$(SHARE)/fish/vendor_completions.d"
	set -e; new=$$(mktemp); trap 'rm -f "$$new"' EXIT; \
	put() { $(FLIPSLOT) completions "$$1" > "$$new"; install -m 644 "$$new" "$(SHARE)/$$2"; }; \
	put bash bash-completion/completions/flipslot; \
	put zsh zsh/site-functions/_flipslot; \
	put fish fish/vendor_completions.d/flipslot.fish

## make docs      docs/cli.md again, from the program's own help, and the rooms in docs/design.md
docs: build
	$(FLIPSLOT) reference --markdown > docs/cli.md
	FLIPSLOT_WRITE_DOCS=1 $(CARGO) test --test tests the_design_page_lists_the_rooms

## make lint      format, clippy, documentation and words, warnings are errors
lint: init
	$(CARGO) fmt --check
	$(CARGO) clippy $(INIT_ONLY) -- -D warnings
	$(CARGO) clippy $(INIT_NET) -- -D warnings
	$(CARGO) clippy --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --no-deps --lib
	scripts/lint-words.sh

## make test-fast unit and program tests: no machine boots
test-fast: deps init
	$(CARGO) test --lib
	$(CARGO) test --doc
	$(TESTS)

## make test      lint, test-fast, and machines that boot
test: deps lint test-fast
	$(VM)

## make test-all  test, and every combination: 36 pairs of machines, every table on every firmware
##                with every filesystem
test-all: test
	$(TESTS) --ignored layers::umoci_random
	$(VM) --ignored --skip soak::

## make soak      endurance: ten switches in a row
soak: deps
	$(VM) --ignored soak::

## make fuzz      mutants of what every reader reads, for SECONDS each (240)
fuzz: deps
	FLIPSLOT_FUZZ_SECONDS=$(or $(SECONDS),240) $(TESTS) fuzz::no_reader --nocapture

## make bench     against what people do by hand, an initramfs against dracut's own, a switch
##                against a reboot, one golden disk to four against bmaptool, and a boot from the
##                network against dracut's livenet
bench: build
	$(SUDO) bench/run.py
	$(SUDO) bench/floor.py
	$(SUDO) bench/initramfs.py
	$(SUDO) bench/two_stage.py
	$(SUDO) bench/switch.py
	$(SUDO) bench/clone.py
	$(SUDO) bench/netboot.py

## make demo      a registry, a disk, a server in QEMU that jumps into another slot and back
demo: build
	$(SUDO) demo/run.sh

## make demo-netboot  a machine without a disk that boots from the network, is broken, and restarts whole
demo-netboot: build
	$(SUDO) demo/netboot.sh

## make deny      licences, sources and advisories of the crates (needs cargo-deny)
deny:
	$(CARGO) deny check

clean:
	$(CARGO) clean
	rm -rf demo/work vm/logs
