#!/usr/bin/env bash
# What tracing costs here, execlat's and its peers': a storm of executions on all
# CPUs, under each tool in turn. The tools take turns within each round, so that
# drift hits all alike, and just before each comes a storm that nobody traces, which
# its slow-down is against. Figures are medians over the rounds.
#
# usage: bench.sh [-r ROUNDS] [-n ITERATIONS] [-t TRACKED] [-g | -G] [-f] [-o FILE] [EXECLAT]
#
#   -r, --rounds N       default 5; of what grows, half as many
#   -n, --iterations N   of each CPU in each storm; default 6000
#   -t, --tracked N      processes that are tracked beside the storm, at most, where
#                        the cost's growth with them is measured; default 100000
#   -g, --no-growth      leave out how costs grow
#   -G, --growth         measure that alone
#   -f, --no-flavours    leave out the flavours beside each other, on the stock kernels of
#                        this machine's package index, in QEMU
#   -o, --output FILE    the tables go there as well, as Markdown
#
# With the defaults it takes some ten minutes, with -r 3 -n 2000 half of that.
# Needs root, and from Debian libbpf-tools and bpftrace (scripts/deps.sh bench); bcc's
# python tools are measured if they are installed and run here; what is missing is
# left out. Counts programs' time by kernel.bpf_stats_enabled, and makes room for the
# tracked processes by kernel.pid_max; both are as before afterwards.
#
# shellcheck disable=SC2317 # the trap's functions are reached

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PATH=$PATH:/usr/sbin:/sbin
LC_ALL=C
export LC_ALL
rounds=5 iterations=6000 tracked=100000 growth=yes compare=yes flavours=yes output=

say() { echo "bench: $*" >&2; }

fail() {
	say "$*"
	exit 1
}

arguments=("$@")
while [ $# -gt 0 ]; do
	case $1 in
	-r | --rounds) rounds=${2?} && shift ;;
	-n | --iterations) iterations=${2?} && shift ;;
	-o | --output) output=${2?} && shift ;;
	-t | --tracked) tracked=${2?} && shift ;;
	-g | --no-growth) growth= ;;
	-G | --growth) compare= ;;
	-f | --no-flavours) flavours= ;;
	-*)
		sed -n 's/^# usage: /usage: /p' "${BASH_SOURCE[0]}" >&2
		exit 2
		;;
	*) break ;;
	esac
	shift
done
execlat=$(realpath -m -- "${1:-${CARGO_TARGET_DIR:-$here/target}/release/execlat}")
[ -x "$execlat" ] || fail "no execlat at $execlat: run make first"
if [ "$(id -u)" -ne 0 ]; then
	command -v sudo >/dev/null || fail 'tracing needs root, and there is no sudo'
	exec sudo -- "${BASH_SOURCE[0]}" "${arguments[@]}"
fi
# The peers want tracefs, which not every host mounts: they get it in a mount
# namespace of our own.
if [ -z "${EXECLAT_BENCH_INSIDE:-}" ]; then
	EXECLAT_BENCH_INSIDE=yes exec unshare -m -- "${BASH_SOURCE[0]}" "${arguments[@]}"
fi
for place in tracefs:tracing debugfs:debug; do
	dir=/sys/kernel/${place#*:}
	mountpoint -q "$dir" || mount -t "${place%:*}" none "$dir" 2>/dev/null || true
done

tmp=
cgroup=
measuring=
crowd=
tracers=()
stats_before=$(sysctl -n kernel.bpf_stats_enabled)
pids_before=$(sysctl -n kernel.pid_max)
load_before=$(cut -d ' ' -f 1 /proc/loadavg)

stop_tracers() {
	local pid
	for pid in "${tracers[@]}"; do
		kill -CONT "$pid" 2>/dev/null || true
		kill -INT "$pid" 2>/dev/null || true
	done
	wait "${tracers[@]}" 2>/dev/null || true
	tracers=()
}

clean_up() {
	trap '' INT TERM HUP
	set +e
	sysctl -qw "kernel.bpf_stats_enabled=$stats_before"
	stop_tracers
	stop_crowd
	sysctl -qw "kernel.pid_max=$pids_before"
	[ -z "$measuring" ] || finish
	[ -z "$cgroup" ] || find "$cgroup" -depth -type d -exec rmdir {} +
	rm -rf -- "$tmp"
}
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

tmp=$(mktemp -d "${TMPDIR:-/tmp}/execlat.XXXXXX")
ln -s "$execlat" "$tmp/execlat"
cc=${CC:-cc}
"$cc" -O2 -static -o "$tmp/storm" "$here/benches/storm.c"
ln -s storm "$tmp/crowd"
"$cc" -O2 -static -nostdlib -o "$tmp/nothing" "$here/benches/nothing.c"

v2=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
if [ -n "$v2" ] && mkdir "$v2/$(basename "$tmp")" 2>/dev/null; then
	cgroup=$v2/$(basename "$tmp")
	mkdir "$cgroup/in" "$cgroup/out"
else
	say 'no cgroup v2 that a directory can be made in: left out'
fi

# shellcheck source=scripts/bench/measure.sh
. "$here/scripts/bench/measure.sh"
# shellcheck source=scripts/bench/report.sh
. "$here/scripts/bench/report.sh"

reference='execlat, rows to a file'
bt=$(command -v execsnoop.bt || true)
untraced=untraced
if command -v execsnoop exitsnoop >/dev/null; then
	add execsnoop execsnoop
	add exitsnoop exitsnoop
	add 'execsnoop + exitsnoop' execsnoop exitsnoop
else
	say 'no libbpf-tools: left out'
fi
if [ -n "$bt" ]; then
	add "bpftrace's execsnoop.bt" "$bt"
	# In the order of a life; the kernel's statistics count what programs take.
	printf 'tracepoint:sched:sched_process_%s {}\n' exec fork exit free >"$tmp/empty.bt"
	echo 'tracepoint:signal:signal_generate {}' >>"$tmp/empty.bt"
	add 'empty programs' "bpftrace $tmp/empty.bt"
else
	say 'no bpftrace: left out'
fi
add "$reference" "$tmp/execlat -v -o $tmp/rows"
add 'execlat -Q --histogram' "$tmp/execlat -v -Q --histogram"
if [ -n "$cgroup" ]; then
	add 'execlat --cgroup, matched' "%$cgroup/in" \
		"$tmp/execlat -v --cgroup $cgroup/in -o $tmp/rows"
	add 'execlat, all out by cgroup' "$tmp/execlat -v --cgroup $cgroup/out -o $tmp/rows"
fi
add 'execlat, all out by comm' "$tmp/execlat -v --comm something-else -o $tmp/rows"
if command -v execsnoop-bpfcc exitsnoop-bpfcc >/dev/null; then
	offer "bcc's execsnoop + exitsnoop" execsnoop-bpfcc exitsnoop-bpfcc
fi
main=("${configurations[@]}")

# Of the room for processes that the host has left, three quarters: others live here too.
tracked_room() {
	local limit room=
	for limit in "$(sysctl -n kernel.pid_max)" "$(sysctl -n kernel.threads-max)" "$(ulimit -u)"; do
		[ "$limit" = unlimited ] && continue
		[ -n "$room" ] && [ "$room" -le "$limit" ] || room=$limit
	done
	echo $(((room - $(find /proc/[0-9]*/task -mindepth 1 -maxdepth 1 2>/dev/null | wc -l)) * 3 / 4))
}

add_growth() {
	local bytes groups depth i deep=$cgroup/in asked='' room count
	for bytes in 30 500 4000 100000; do
		add "argv of $bytes bytes" "@-a $bytes" "$tmp/execlat -v -o $tmp/rows"
	done
	# The last is just below the bound. As many executions at least.
	for groups in 10 1000 9973; do
		add "$groups groups" "@-g $groups -n $((groups > iterations ? groups : iterations))" \
			"$tmp/execlat -v -Q --histogram --by argv0"
	done
	[ "$pids_before" -ge $((tracked * 4)) ] ||
		sysctl -qw "kernel.pid_max=$((tracked * 4))" 2>/dev/null || true # there is a most
	ulimit -u unlimited 2>/dev/null || true
	room=$(tracked_room)
	[ "$room" -ge "$tracked" ] ||
		say "room for $room tracked processes, not $tracked (pid_max, threads-max, ulimit -u)"
	for count in 10 1000 "$((room < tracked ? room : tracked))"; do
		add "$count tracked" "+$count" \
			"$tmp/execlat -v --comm crowd --comm nothing --follow -o $tmp/rows"
	done
	[ -n "$cgroup" ] || return 0
	for ((depth = 1; depth <= 32; depth++)); do
		deep+=/d && mkdir "$deep"
		case $depth in
		1 | 8 | 32) add "cgroup $depth below" "%$deep" \
			"$tmp/execlat -v --cgroup $cgroup/in -o $tmp/rows" ;;
		esac
	done
	for ((i = 1; i <= 1024; i++)); do
		mkdir "$cgroup/out/$i"
		asked+=" --cgroup $cgroup/out/$i"
		case $i in
		1 | 64 | 1024) add "$i --cgroup" "%$cgroup/out/$i" \
			"$tmp/execlat -v$asked -o $tmp/rows" ;;
		esac
	done
}

# Measures all configurations, some rounds; each round begins with another.
measure_all() { # ROUNDS
	local round i name
	for ((round = 1; round <= $1; round++)); do
		for ((i = 0; i < ${#configurations[@]}; i++)); do
			name=${configurations[(i + round) % ${#configurations[@]}]}
			say "round $round of $1, $((i + 1)) of ${#configurations[@]}: $name"
			measure "$name"
		done
	done
}

measure_rest() {
	say 'a stopped reader'
	local name
	for name in execsnoop exitsnoop "bpftrace's execsnoop.bt" "$reference" \
		'execlat -Q --histogram'; do
		[ -z "${commands[$name]:-}" ] || measure_stop "$name"
	done
	say 'starts'
	for _ in 1 2 3 4 5; do
		[ -z "${commands[execsnoop]:-}" ] || measure_start execsnoop PCOMM execsnoop
		[ -z "${commands[exitsnoop]:-}" ] || measure_start exitsnoop PCOMM exitsnoop
		[ -z "$bt" ] || measure_start "bpftrace's execsnoop.bt" ARGS "$bt"
		measure_start "$reference" 'execlat: tracing' "$tmp/execlat" -v -o "$tmp/rows"
	done
}

# The kernels here may lack kprobes: both flavours run on stock ones, emulated.
measure_flavours() {
	say 'flavours, in QEMU'
	if ! EXECLAT_GUEST_FILES="$tmp/storm:/bin/storm $tmp/nothing:/bin/nothing" \
		EXECLAT_BIN=$execlat EXECLAT_TEST_BINS='' \
		"$here/tests/kernels/run.sh" --cgroup v2 --scenario cost --jobs 1 >"$tmp/guests"; then
		say 'no guests here: left out'
	fi
	sed -n 's/^note: \([^:]*\): auto cost: /\1: /p' "$tmp/guests" >"$tmp/flavours"
}

began=$SECONDS measuring=yes grown=()
if [ -n "$compare" ]; then
	measure_all "$rounds"
	measure_rest
else
	main=()
fi
if [ -n "$growth" ]; then
	configurations=()
	add_growth
	grown=("${configurations[@]}")
	untraced='untraced, growth'
	[ -n "$compare" ] || reference=${grown[0]}
	measure_all $(((rounds + 1) / 2))
fi
if [ -n "$flavours" ] && [ -n "$compare" ]; then
	measure_flavours
fi

finish
