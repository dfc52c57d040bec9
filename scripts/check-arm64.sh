#!/usr/bin/env bash
# Compiles for arm64: the part that runs in the kernel, and the rest if Rust has the
# target's standard library and a C compiler for it is there; else says what is not.
#
# usage: check-arm64.sh [ARG]...   for cargo check

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

rust=aarch64-unknown-linux-gnu
gcc=aarch64-linux-gnu-gcc
target=${CARGO_TARGET_DIR:-target}

say() { echo "check-arm64: $*" >&2; }

# libbpf's headers, as its crate has unpacked them.
headers() { find "$target" -path '*/libbpf-sys-*/out/include/bpf/bpf_helpers.h' -print -quit; }

[ -n "$(headers)" ] || cargo build "$@"
include=$(dirname "$(dirname "$(headers)")")
object=$(mktemp)
trap 'rm -f -- "$object"' EXIT
clang -target bpf -g -O2 -Wall -Werror -D__TARGET_ARCH_arm64 -Isrc/bpf -I"$include" \
	-c src/bpf/execlat.bpf.c -o "$object"
say 'src/bpf compiles'

if [ ! -d "$(rustc --print target-libdir --target "$rust")" ]; then
	say "the rest is not checked: rustup target add $rust"
elif ! command -v "$gcc" >/dev/null; then
	say "the rest is not checked: there is no $gcc (Debian: gcc-aarch64-linux-gnu)"
else
	# The headers of libelf and zlib are the same for all.
	CC_aarch64_unknown_linux_gnu=$gcc PKG_CONFIG_ALLOW_CROSS=1 \
		cargo check --target "$rust" "$@"
	say 'all compiles'
fi
