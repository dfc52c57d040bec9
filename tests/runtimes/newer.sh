#!/usr/bin/env bash
# Prints the path of a crun, or a runc, newer than that of Debian's stable suite:
# bookworm's crun 1.8.1 fails for root without CAP_SYS_RESOURCE on a bundle with
# rlimits, such as `crun spec` writes, and its runc 1.1.5 executes its init in
# another way than later ones. It comes from a newer suite of the mirror that this
# machine's own apt sources name, through an apt state of its own, with all its
# libraries, the C library included; the system is not touched. It is kept in
# $EXECLAT_CACHE (~/.cache/execlat if that is not set), and is fetched once.
#
# crun wants a pure v2 cgroup tree: pure-v2.sh makes one.
#
# usage: newer.sh crun|runc
#
# Exits with 1 and one line on stderr where that cannot be done.

set -euo pipefail

fail() {
	echo "newer.sh: $*" >&2
	exit 1
}

case ${1:-} in
crun | runc) name=$1 ;;
*) fail 'usage: newer.sh crun|runc' ;;
esac
cache=${EXECLAT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/execlat}/$name

newest() {
	find "$cache" -mindepth 2 -maxdepth 2 -name "$name" -type f 2>/dev/null | sort -V | tail -n 1 || true
}

mkdir -p "$cache"
# Tests ask at the same time: one fetches, the others wait.
exec 9>"$cache/lock"
flock 9
found=$(newest)
if [ -n "$found" ]; then
	echo "$found"
	exit
fi

# shellcheck source=/dev/null
id=$(. /etc/os-release && echo "${ID:-}")
[ "$id" = debian ] || fail "fetches $name from Debian's suites, and this is not Debian"
for tool in apt-get dpkg-deb patchelf; do
	command -v "$tool" >/dev/null || fail "needs $tool: scripts/deps.sh test installs it"
done
# shellcheck disable=SC2016 # the names are apt's
mirror=$(apt-get indextargets --format '$(SITE) $(RELEASE) $(COMPONENT)' 2>/dev/null |
	awk '$3 == "main" && $2 !~ /security|updates|backports/ { print $1; exit }')
[ -n "$mirror" ] || fail "found no Debian mirror in this machine's apt sources"

tmp=$(mktemp -d "$cache/tmp.XXXXXX")
trap 'rm -rf -- "$tmp"' EXIT
trap 'exit 143' INT TERM HUP

# As if nothing were installed, so that every library is fetched too. apt needs
# these directories to be its own, and its sandbox user cannot enter ours.
mkdir -p "$tmp"/{etc,lists/partial,archives/partial}
: >"$tmp/status"
apt=(
	apt-get -qq
	-o Dir::Etc="$tmp/etc"
	-o Dir::Etc::SourceList="$tmp/etc/sources.list"
	-o Dir::Etc::SourceParts=/dev/null
	-o Dir::Etc::TrustedParts=/etc/apt/trusted.gpg.d
	-o Dir::State::Lists="$tmp/lists"
	-o Dir::State::status="$tmp/status"
	-o Dir::Cache="$tmp"
	-o Dir::Cache::Archives="$tmp/archives"
	-o Debug::NoLocking=true
	-o APT::Sandbox::User=
	-o Acquire::Languages=none
	-o APT::Install-Recommends=false
)
why=
for suite in sid forky trixie; do
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" \
		>"$tmp/etc/sources.list"
	if ! "${apt[@]}" update >"$tmp/log" 2>&1; then
		why="no index of $suite"
		continue
	fi
	if ! "${apt[@]}" -y --download-only install "$name" >"$tmp/log" 2>&1; then
		why="no $name in $suite"
		continue
	fi
	rm -rf "$tmp/root"
	for deb in "$tmp"/archives/*.deb; do
		dpkg-deb -x "$deb" "$tmp/root"
	done
	version=$(dpkg-deb -f "$tmp"/archives/"$name"_*.deb Version)
	rm -f "$tmp"/archives/*.deb
	dir=$cache/$version
	rm -rf "$dir" "$tmp/new"
	mkdir "$tmp/new"
	find "$tmp/root" -name '*.so*' ! -path '*/security/*' ! -path '*/gconv/*' \
		-exec cp -L -t "$tmp/new" {} + 2>/dev/null || true
	find "$tmp/root" -path "*bin/$name" -type f -exec cp -t "$tmp/new" {} +
	loader=$(patchelf --print-interpreter "$tmp/new/$name")
	# RPATH, not RUNPATH: it holds for the libraries' own libraries as well.
	patchelf --set-interpreter "$dir/${loader##*/}" --force-rpath --set-rpath "$dir" \
		"$tmp/new/$name"
	mv "$tmp/new" "$dir"
	if "$dir/$name" --version >"$tmp/log" 2>&1; then
		echo "$dir/$name"
		exit
	fi
	why="that of $suite ($version) does not run: $(head -n 1 "$tmp/log")"
	rm -rf "$dir"
done
fail "no newer $name to be had: $why"
