#!/usr/bin/env bash
# Puts stock Debian kernels into a cache outside the tree and says where they are.
#
#   fetch.sh [--arch ARCH] PATTERN…   6.12, 6.12.94, or 7.x for the newest of every 7 series
#   fetch.sh [--arch ARCH] --index    the newest of every series in the machine's own package index
#   fetch.sh [--arch ARCH] --all      the series that this project is tested with
#
# stdout: one line per kernel, 'version<TAB>path'; the path is '-' where it cannot be had, and
# stderr says why. Exit status: 0, also when kernels were skipped; 1 if fetching cannot work at all.
#
# Kernels come as packages because those are what users run. Packages come and go within weeks, so
# nothing here names a version more exactly than its series: the newest one is chosen when it runs.
set -euo pipefail

readonly ALL_PATTERNS=(5.10 6.1 6.12 6.16 6.18 7.x)
readonly KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg
# The suites of the main archive; together they hold every series above, in no particular order.
readonly SUITES=(bullseye bookworm trixie trixie-backports forky sid experimental)
readonly SECURITY_SUITES=(bullseye-security bookworm-security trixie-security)
# An index may name a package that the mirror has dropped meanwhile: then the next newest is tried.
readonly TRIES=6

arch=$(dpkg --print-architecture)
cache=${EXECLAT_KERNEL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/execlat/kernels}

say() { printf 'fetch.sh: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# own: the machine's apt as it is; private: our own lists and cache, so that suites which the
# machine does not use never become visible to it.
apt_of() {
    local where=$1 tool=$2
    shift 2
    if [ "$where" = own ]; then "$tool" "$@"; else "$tool" -c "$state/apt.conf" "$@"; fi
}

# Base addresses of Debian's main or security archive, as the machine's own sources name them.
# The dollars are apt's own field names.
# shellcheck disable=SC2016
mirror_of() {
    apt-get indextargets --format '$(ORIGIN) $(LABEL) $(REPO_URI)' 'Created-By: Packages' |
        awk -v label="$1" '$1 == "Debian" && $2 == label { print $3; exit }'
}

sources() {
    local main security signed=''
    main=$(mirror_of Debian)
    security=$(mirror_of Debian-Security)
    [ -n "$main" ] || return 1
    [ ! -e "$KEYRING" ] || signed="[signed-by=$KEYRING] "
    printf "deb $signed$main %s main\n" "${SUITES[@]}"
    [ -z "$security" ] || printf "deb $signed$security %s main\n" "${SECURITY_SUITES[@]}"
}

# A newer file would make apt parse all lists again, so the same text is not written twice.
write_sources() {
    sources >"$state/sources.new" || return 1
    cmp -s "$state/sources.new" "$state/sources.list" && return
    mv "$state/sources.new" "$state/sources.list"
    rm -f "$state/updated"
}

# The hook that containers put at update's end would empty the machine's cache, which is not ours.
# Without a package cache of its own, every query would parse all lists again. The user _apt, whom
# apt would download as, cannot write below a home folder.
write_config() {
    cat >"$state/apt.conf" <<CONF
#clear APT::Architectures;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
APT::Architecture "$arch";
APT::Architectures { "$arch"; };
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Dir::Etc::sourcelist "$state/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::State::lists "$state/lists";
Dir::Cache "$state/cache";
Dir::Cache::pkgcache "pkgcache.bin";
Dir::Cache::srcpkgcache "srcpkgcache.bin";
CONF
}

# A suite that is gone makes apt-get fail although it has read all the others, and offline the lists
# of last time still serve: so a failure is told, and what there is gets used. Reading them takes
# seconds, so those of the last twelve hours will do.
prepare_private() {
    mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
    write_sources || { say "the package index names no Debian mirror: run 'apt-get update'"; return 1; }
    write_config
    [ -z "$(find "$state/updated" -mmin -720 2>/dev/null)" ] || return 0
    if apt_of private apt-get -qq update 2>"$state/update.err"; then
        touch "$state/updated"
    else
        sed -n 's/^[EW]: /fetch.sh: package lists: /p' "$state/update.err" >&2
    fi
}

# Kernel versions that an index offers, newest first, each as `uname -r` has it.
versions_in() {
    apt_of "$1" apt-cache search --names-only "^linux-image-[0-9].*-cloud-$arch\$" |
        sed -n '/meta-package/d; s/^linux-image-\([^ ]*\) - .*/\1/p' | sort -Vr
}

# The private lists are read once, and only when the machine's own index does not suffice.
private_read=''
private_versions=''
read_private() {
    [ -z "$private_read" ] || return 0
    private_read=yes
    ! prepare_private || private_versions=$(versions_in private)
}

series_of() { sed -nE 's/^([0-9]+\.[0-9]+).*/\1/p' | sort -Vu; }

# Versions among $1 (a list) that pattern $2 means: equal, or going on with something but a digit.
matching() {
    local version
    for version in $1; do
        [[ $version != "$2" && $version != "$2"[!0-9]* ]] || printf '%s\n' "$version"
    done
}

# vmlinuz lies in /boot of the image, and from 7.2 on below /usr/lib/modules of linux-binary.
unpack_vmlinuz() {
    local deb=$1 to=$2
    dpkg-deb --fsys-tarfile "$deb" |
        tar -xO --wildcards './boot/vmlinuz-*' './usr/lib/modules/*/vmlinuz' >"$to" 2>/dev/null || true
    [ -s "$to" ]
}

# Leaves $cache/vmlinuz-VERSION, whole or not at all.
download() {
    local where=$1 version=$2 package scratch
    scratch=$(mktemp -d "$cache/.download.XXXXXX")
    for package in "linux-image-$version" "linux-binary-$version"; do
        (cd "$scratch" && apt_of "$where" apt-get -qq download "$package") 2>>"$scratch/err" || continue
        if unpack_vmlinuz "$scratch/$package"_*.deb "$scratch/vmlinuz"; then
            mv "$scratch/vmlinuz" "$cache/vmlinuz-$version"
            break
        fi
    done
    [ -e "$cache/vmlinuz-$version" ] || sed -n "s/^E: /fetch.sh: $version: /p" "$scratch/err" >&2
    rm -rf "$scratch"
    [ -e "$cache/vmlinuz-$version" ]
}

had() { printf '%s\t%s\n' "$1" "$cache/vmlinuz-$1"; }

fetch_from() {
    local where=$1 versions=$2 version
    for version in $(head -n "$TRIES" <<<"$versions"); do
        if [ -e "$cache/vmlinuz-$version" ] || download "$where" "$version"; then
            had "$version"
            return 0
        fi
    done
    return 1
}

# The last resort, above all offline: what an earlier run has left.
fetch_cached() {
    local version
    version=$(find "$cache" -maxdepth 1 -name "vmlinuz-*-$arch" -printf '%f\n' | sed 's/^vmlinuz-//' | sort -Vr)
    version=$(matching "$version" "$1" | sed -n 1p)
    [ -n "$version" ] || return 1
    say "$1: no index offers it; taking $version from the cache"
    had "$version"
}

fetch_one() {
    fetch_from own "$(matching "$own_versions" "$1")" && return
    read_private
    fetch_from private "$(matching "$private_versions" "$1")" && return
    fetch_cached "$1" && return
    say "$1: cannot be had (no suite has it, or its download failed); skipped"
    printf '%s\t-\n' "$1"
}

# N.x: every series of N that is offered anywhere.
fetch_all_series() {
    local series found
    read_private
    found=$(printf '%s\n' "$own_versions" "$private_versions" | series_of | grep "^${1%.x}\.") || true
    for series in ${found:-$1}; do fetch_one "$series"; done
}

parse_arguments() {
    patterns=()
    index_only=''
    while [ $# -gt 0 ]; do
        case $1 in
        --arch) arch=${2:?--arch needs an architecture}; shift ;;
        --all) patterns+=("${ALL_PATTERNS[@]}") ;;
        --index) index_only=yes ;;
        -*) die "unknown option $1" ;;
        *) patterns+=("$1") ;;
        esac
        shift
    done
}

main() {
    local pattern
    parse_arguments "$@"
    mkdir -p "$cache"
    state=$cache/.apt-$arch
    exec 9>"$cache/.lock"
    flock 9 # apt's own lock would make a second run fail, not wait
    own_versions=$(versions_in own)
    if [ -n "$index_only" ]; then
        # A fresh image comes without lists.
        if [ -z "$own_versions" ] && [ "$(id -u)" -eq 0 ]; then
            apt-get -qq update >&2 || say 'apt-get update failed, at least in part'
            own_versions=$(versions_in own)
        fi
        if [ -z "$own_versions" ]; then
            say "the package index holds no cloud kernel: is it Debian's, and up to date (apt-get update)?"
            printf 'index\t-\n'
        fi
        mapfile -t -O "${#patterns[@]}" patterns < <(series_of <<<"$own_versions" | grep . || true)
    fi
    [ -n "$index_only" ] || [ ${#patterns[@]} -gt 0 ] || die "no kernel asked for; see the head of this file"
    for pattern in "${patterns[@]}"; do
        case $pattern in
        *.x) fetch_all_series "$pattern" ;;
        *) fetch_one "$pattern" ;;
        esac
    done
}

main "$@"
