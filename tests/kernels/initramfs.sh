#!/usr/bin/env bash
# Builds the initramfs that a guest runs from: busybox, our init, the binaries, nothing to install.
#
#   initramfs.sh [--add FILE[:GUESTPATH]]… OUTPUT.gz
#
# FILE goes to GUESTPATH, by default to /bin under its own name; a dynamic binary brings its
# libraries and loader along. Debug information stays behind: it would be most of the archive.
# BUSYBOX and CC replace the static busybox and the compiler of drop.c (for another architecture).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
busybox=${BUSYBOX:-$(command -v busybox || true)}

die() { printf 'initramfs.sh: %s\n' "$*" >&2; exit 1; }

# Lines of ldd: 'libc.so.6 => /lib/…/libc.so.6 (0x…)' and '/lib64/ld-linux-x86-64.so.2 (0x…)'.
# It fails on static binaries and on scripts, which need nothing.
libraries_of() {
    { ldd "$1" 2>/dev/null || true; } | awk '$2 == "=>" { print $3 } $1 ~ /^\// { print $1 }'
}

add_binary() {
    local from=$1 to=$root$2 library
    [ -f "$from" ] || die "$from is not there"
    mkdir -p "$(dirname "$to")"
    cp -L "$from" "$to"
    chmod 755 "$to"
    strip --strip-debug "$to" 2>/dev/null || true # a script, or another architecture's
    for library in $(libraries_of "$from"); do
        [ ! -e "$library" ] || install -D -m 755 "$library" "$root$library"
    done
}

# Users for the tests without privilege, and what name look-ups want.
add_etc() {
    mkdir -p "$root/etc"
    printf '%s\n' 'root:x:0:0:root:/root:/bin/sh' 'tester:x:1000:1000::/tmp:/bin/sh' \
        'nobody:x:65534:65534::/:/bin/sh' >"$root/etc/passwd"
    printf '%s\n' 'root:x:0:' 'tester:x:1000:' 'nogroup:x:65534:' >"$root/etc/group"
    echo '127.0.0.1 localhost' >"$root/etc/hosts"
}

add_base() {
    mkdir -p "$root"/{bin,sbin,usr/bin,usr/sbin,proc,sys,dev,run,tmp,root,tests,scenarios}
    add_binary "$busybox" /bin/busybox
    install -m 755 "$here/init" "$root/init"
    install -m 755 "$here"/scenarios/*.sh "$root/scenarios/"
    "${CC:-cc}" -static -O1 -Wall -Wextra -Werror -o "$root/bin/drop" "$here/drop.c"
    strip "$root/bin/drop" 2>/dev/null || true
    add_etc
}

# An unprivileged user must be able to pass the root folder, and mktemp made it for us alone.
pack() {
    chmod 755 "$root"
    (cd "$root" && find . -print0 | LC_ALL=C sort -z | cpio --quiet --null -o -H newc -R 0:0) |
        gzip -1 >"$1.part"
    mv "$1.part" "$1"
}

main() {
    local adds=() add output guest
    while [ $# -gt 1 ]; do
        [ "$1" = --add ] || die "unknown option $1"
        adds+=("$2")
        shift 2
    done
    output=${1:?initramfs.sh: where to?}
    [ -n "$busybox" ] || die "busybox is not there: install busybox-static"
    [ -z "$(libraries_of "$busybox")" ] || die "$busybox is not static: install busybox-static"
    command -v cpio >/dev/null || die "cpio is not there: install it"
    root=$(mktemp -d)
    trap 'rm -rf "$root"' EXIT
    add_base
    for add in ${adds[@]+"${adds[@]}"}; do
        guest=/bin/$(basename "${add%%:*}")
        case $add in *:*) guest=${add#*:} ;; esac
        add_binary "${add%%:*}" "$guest"
    done
    pack "$output"
}

main "$@"
