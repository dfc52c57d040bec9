#!/usr/bin/env bash
# Says how to call a QEMU: the machine's own, or Debian's, unpacked beside the cached kernels.
#
#   qemu.sh PROGRAM PACKAGE      qemu-system-x86_64 qemu-system-x86
#
# stdout: the command's path. Exit status 1, and why, where there is none to be had.
#
# Unpacked, not installed: it is at odds with the tools of a newer QEMU that a machine may have for
# its own guests, and no test run may take those away. It needs no root, either.
set -euo pipefail

readonly program=$1 package=$2
cache=${EXECLAT_KERNEL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/execlat/kernels}

say() { printf 'qemu.sh: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# The package, and all that it needs and the machine lacks.
closure() {
    apt-get -s install --no-install-recommends "$package" | awk '$1 == "Inst" { print $2 }'
}

# A fresh image comes without lists.
packages() {
    closure 2>/dev/null && return
    [ "$(id -u)" -ne 0 ] || apt-get -qq update >&2 || say 'apt-get update failed, at least in part'
    closure
}

# Its own libraries are found by the wrapper, all else it looks for relative to itself.
wrapper() {
    cat <<'WRAPPER'
#!/bin/sh
root=$(dirname "$(readlink -f "$0")")
LD_LIBRARY_PATH=$(printf '%s:' "$root"/usr/lib/*-linux-gnu "$root"/lib/*-linux-gnu)
export LD_LIBRARY_PATH="${LD_LIBRARY_PATH%:}"
WRAPPER
    echo "exec \"\$root/usr/bin/$program\" \"\$@\""
}

# Leaves $1, whole or not at all.
unpack() {
    local scratch deb
    scratch=$(mktemp -d "$cache/.qemu.XXXXXX")
    # shellcheck disable=SC2064 # this one
    trap "rm -rf -- '$scratch'" EXIT
    packages >"$scratch/packages" || die "$package is in no package index: run apt-get update"
    [ -s "$scratch/packages" ] || die "$package is installed, but $program is not there"
    say "unpacking $package and what it needs: $(tr '\n' ' ' <"$scratch/packages")"
    mkdir "$scratch/debs" "$scratch/tree"
    # The user _apt, whom apt would download as, cannot write below a home folder.
    (cd "$scratch/debs" && xargs apt-get -qq -o APT::Sandbox::User=root download) \
        <"$scratch/packages" >&2
    for deb in "$scratch"/debs/*.deb; do dpkg-deb -x "$deb" "$scratch/tree"; done
    wrapper >"$scratch/tree/run"
    chmod +x "$scratch/tree/run"
    rm -rf -- "$1"
    mv "$scratch/tree" "$1"
}

works() { [ -x "$1/run" ] && "$1/run" --version >/dev/null 2>&1; }

main() {
    local root=$cache/$package
    if command -v "$program"; then return; fi
    command -v apt-get >/dev/null || die "$program is not there: install it"
    mkdir -p "$cache"
    exec 9>"$cache/.lock"
    flock 9
    # What lies there may miss a library that the machine had then.
    works "$root" || unpack "$root"
    works "$root" || die "$package was unpacked, but does not run: $("$root/run" --version 2>&1 | head -n 1)"
    echo "$root/run"
}

main
