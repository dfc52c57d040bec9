# execlat: `make run` shows it at work, `make test` runs every test.

PREFIX  ?= /usr/local
DESTDIR ?=
ARGS    ?=

# For cargo build and cargo test.
CARGOFLAGS ?=
export CARGOFLAGS

# rustup's place, should the shell not have it.
export PATH := $(PATH):$(HOME)/.cargo/bin

target  := $(or $(CARGO_TARGET_DIR),target)
execlat := $(target)/release/execlat
sudo    := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
c_files := $(shell find src tests benches -name '*.[ch]')
scripts := $(shell find scripts tests -name '*.sh') .ci/run
guests  := $(wildcard tests/kernels/run.sh)

sbin := $(DESTDIR)$(PREFIX)/sbin
man8 := $(DESTDIR)$(PREFIX)/share/man/man8
bash := $(DESTDIR)$(PREFIX)/share/bash-completion/completions
zsh  := $(DESTDIR)$(PREFIX)/share/zsh/site-functions
fish := $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d

.DEFAULT_GOAL := build
.PHONY: build run test bench soak fmt lint check-arm64 install uninstall clean help

build: ## build it (target/release/execlat)
	@scripts/deps.sh -n build
	cargo build --release $(CARGOFLAGS)

# An own make's flags are not for what execlat starts (ARGS='-- make').
run: ## trace a demonstration with runc; ARGS='…': run execlat with these
	@scripts/deps.sh $(if $(ARGS),build,run)
	@$(MAKE) --no-print-directory build
	@$(if $(ARGS),env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL \
		$(sudo) $(execlat) $(ARGS),scripts/demo.sh $(execlat))

test: ## run all tests, here and in QEMU; ARGS='…': those of cargo test
	@scripts/deps.sh test kernels
	@scripts/test.sh $(ARGS)

bench: ## compare what tracing costs, ours and the peers'; ARGS='-o FILE …'
	@scripts/deps.sh bench kernels
	@$(MAKE) --no-print-directory build
	@scripts/bench.sh $(ARGS) $(execlat)

soak: ## run it for an hour under a changing load; ARGS='-d 8h …': for longer
	@scripts/deps.sh build
	@$(MAKE) --no-print-directory build
	@$(sudo) scripts/soak.sh $(ARGS) $(execlat)

ifdef guests
.PHONY: test-guests test-kernels

test-guests: ## run the suite in QEMU alone, as make test does
	@scripts/deps.sh build kernels
	@scripts/test.sh --guests

test-kernels: ## run the suite on every kernel that can be had, in QEMU
	@scripts/deps.sh test kernels
	@scripts/test.sh --guests --all
endif

fmt: ## format Rust and C
	@scripts/deps.sh lint
	cargo fmt
	$(if $(c_files),clang-format -i $(c_files))

lint: ## check format, clippy, shellcheck and the man page
	@scripts/deps.sh build lint
	cargo fmt --check
	cargo clippy --all-targets $(CARGOFLAGS) -- -D warnings
	$(if $(c_files),clang-format --dry-run -Werror $(c_files))
	shellcheck $(scripts)
	! groff -man -Tutf8 -ww -z man/execlat.8 2>&1 | grep .

check-arm64: ## compile for arm64, as far as the tools for it are there
	@scripts/deps.sh build
	@scripts/check-arm64.sh $(CARGOFLAGS)

# Builds nothing: it may be root who calls it, who need not have a cargo.
install: ## install what `make` built: binary, man page, completions
	@[ -x $(execlat) ] || { echo 'install: run make first' >&2; exit 1; }
	install -d $(sbin) $(man8) $(bash) $(zsh) $(fish)
	install -m 755 $(execlat) $(sbin)/execlat
	gzip -9nc man/execlat.8 >$(man8)/execlat.8.gz
	$(execlat) completions bash >$(bash)/execlat
	$(execlat) completions zsh >$(zsh)/_execlat
	$(execlat) completions fish >$(fish)/execlat.fish

uninstall: ## remove what install put there
	rm -f $(sbin)/execlat $(man8)/execlat.8.gz $(bash)/execlat \
		$(zsh)/_execlat $(fish)/execlat.fish

clean: ## remove what was built
	cargo clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-13s %s\n", $$1, $$2 }' Makefile
