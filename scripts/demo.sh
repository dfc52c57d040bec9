#!/usr/bin/env bash
# The main job on real input, as on a Garden worker: busybox containers below a cgroup
# `garden` go through real runc actions, called from a cgroup of the caller's own, under
# `execlat --cgroup …/garden --comm runc --histogram`. Nothing is left behind, and nothing
# outside one cgroup and one directory in /tmp is touched. Exits with execlat's status.
#
# usage: demo.sh [EXECLAT]
#
# shellcheck disable=SC2317 # the trap's functions are reached

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PATH=$PATH:/usr/sbin:/sbin
execlat=$(realpath -m -- "${1:-${CARGO_TARGET_DIR:-$here/target}/release/execlat}")
limit_s=35 # for the actions; they take about two seconds
settle_s=10

say() { echo "demo: $*" >&2; }

fail() {
	say "$*"
	exit 1
}

[ -x "$execlat" ] || fail "no execlat at $execlat: run make first"
if [ "$(id -u)" -ne 0 ]; then
	command -v sudo >/dev/null || fail 'tracing and runc need root, and there is no sudo'
	exec sudo -- "${BASH_SOURCE[0]}" "$execlat"
fi
command -v runc >/dev/null || fail 'needs runc: scripts/deps.sh run installs it'

tmp=
name=
cgroup=
actions=
tracer=
shown=0

# Every directory of a mounted cgroup hierarchy that is ours, the inner ones first.
our_cgroups() {
	awk '$3 ~ /^cgroup2?$/ { print $2 }' /proc/mounts | while read -r root; do
		find "$root/$name" -depth -type d 2>/dev/null || true
	done
}

# Waits for a child for at most so many seconds.
await() {
	local end=$((SECONDS + $2))
	while kill -0 "$1" 2>/dev/null; do
		[ "$SECONDS" -lt "$end" ] || return 1
		sleep 0.05
	done
}

# What execlat has said since the last call, without libbpf's part of -v.
messages() {
	local lines
	lines=$(wc -l <"$tmp/err")
	[ "$lines" -eq "$shown" ] || sed -n "$((shown + 1)),$lines{/^libbpf/!p}" "$tmp/err" >&2
	shown=$lines
}

clean_up() {
	trap '' INT TERM HUP
	set +e
	if [ -n "$actions" ]; then
		kill "$actions" 2>/dev/null
		wait "$actions" 2>/dev/null
	fi
	if [ -n "$tracer" ]; then
		kill -INT "$tracer" 2>/dev/null
		await "$tracer" "$settle_s" || kill -KILL "$tracer"
		wait "$tracer" 2>/dev/null
		messages
	fi
	[ -n "$name" ] || return
	for id in "$tmp"/run/*/; do
		[ ! -d "$id" ] || runc --root "$tmp/run" delete --force "$(basename "$id")"
	done >/dev/null 2>&1
	local end=$((SECONDS + settle_s)) left dir pid
	while left=$(our_cgroups) && [ -n "$left" ] && [ "$SECONDS" -lt "$end" ]; do
		while read -r dir; do
			# rmdir fails as long as what was killed has not ended.
			while read -r pid; do
				kill -KILL "$pid"
			done <"$dir/cgroup.procs"
			rmdir "$dir"
		done <<<"$left" 2>/dev/null
		[ -z "$(our_cgroups)" ] || sleep 0.1
	done
	[ -z "$left" ] || say "could not remove" "$(tr '\n' ' ' <<<"$left")"
	rm -rf -- "$tmp"
}
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# A directory in the first hierarchy that lets us in: v2, else any of v1.
make_cgroup() {
	local root dir
	for root in $(awk '$3 == "cgroup2" { print $2 }' /proc/mounts) \
		$(awk '$3 == "cgroup" { print $2 }' /proc/mounts); do
		dir=$root/$name
		if mkdir "$dir" "$dir/gdn.service" "$dir/garden" 2>/dev/null; then
			# shellcheck disable=SC2016 # $$ and $1 are that shell's
			if sh -c 'echo $$ >"$1/gdn.service/cgroup.procs"' - "$dir" 2>/dev/null; then
				cgroup=$dir
				return
			fi
			rmdir "$dir/garden" "$dir/gdn.service" "$dir"
		fi
	done
	fail 'found no cgroup hierarchy that a directory can be made in (see /proc/mounts)'
}

# Runs one runc command; $1 is the status that it should end with, or `fails`.
act() {
	local want=$1 status=0
	shift
	runc --root "$tmp/run" "$@" </dev/null >"$tmp/out" 2>&1 || status=$?
	case $want in
	fails) [ "$status" -ne 0 ] && return ;;
	*) [ "$status" -eq "$want" ] && return ;;
	esac
	say "runc $1 ended with $status instead of $want: $(tail -n 5 "$tmp/out")"
	return 1
}

# What a container engine and its operator do in a few minutes.
run_actions() {
	set -e
	echo "$BASHPID" >"$cgroup/gdn.service/cgroup.procs"
	cd "$tmp"
	act 7 run --bundle hello hello
	act 0 create --bundle box --pid-file pid box
	act 0 state box
	act 0 start box
	for _ in 1 2 3 4 5; do
		act 0 exec box true
	done
	act 0 exec box sleep 0.1
	act 3 exec box sh -c 'exit 3'
	act fails exec box /no/such/file
	act 0 list
	act 0 state box
	act 0 kill box KILL
	local pid
	pid=$(cat pid)
	# Dead or reaped: runc deletes nothing that runs.
	while [ -e "/proc/$pid" ] && ! grep -q '^State:.[ZX]' "/proc/$pid/status"; do
		sleep 0.05
	done 2>/dev/null
	act 0 delete box
}

tmp=$(mktemp -d "${TMPDIR:-/tmp}/execlat.XXXXXX")
name=$(basename "$tmp")
make_cgroup
bundle=$here/tests/runtimes/bundle.sh
"$bundle" -r "$tmp/rootfs" "$tmp/hello" "/$name/garden/hello" sh -c 'sleep 0.2; exit 7'
"$bundle" -r "$tmp/rootfs" "$tmp/box" "/$name/garden/box" sleep 1000

say "the caller is in $cgroup/gdn.service, its containers are below $cgroup/garden"
say 'three actions fail on purpose: an exit code of 7, one of 3, and a file that is not there'
say "execlat -v --cgroup $cgroup/garden --comm runc --histogram"
: >"$tmp/err"
# A shell starts what runs in the background with these ignored.
env --default-signal=INT,QUIT "$execlat" -v --cgroup "$cgroup/garden" --comm runc --histogram \
	2>"$tmp/err" &
tracer=$!
end=$((SECONDS + settle_s))
until grep -q '^execlat: tracing' "$tmp/err"; do
	if ! kill -0 "$tracer" 2>/dev/null; then
		status=0
		wait "$tracer" || status=$?
		tracer=
		messages
		say "execlat ended with $status before it traced"
		exit $((status == 0 ? 1 : status))
	fi
	[ "$SECONDS" -lt "$end" ] || fail "execlat traced nothing after $settle_s s"
	sleep 0.02
done
messages

run_actions &
actions=$!
acted=0
await "$actions" "$limit_s" || fail "the runc actions took more than $limit_s s"
wait "$actions" || acted=$?
actions=

status=0
kill -INT "$tracer" 2>/dev/null || true
await "$tracer" "$settle_s" || fail "execlat did not end within $settle_s s of SIGINT"
wait "$tracer" || status=$?
tracer=
messages
[ "$status" -ne 0 ] || status=$acted
exit "$status"
