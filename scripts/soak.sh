#!/usr/bin/env bash
# Runs execlat for long: three at once, one with rows, one with a recording, one with a
# histogram, under a load that changes. At the end all must have seen the same as the
# oracle, which shares no code with them: the program that makes the load and says of each
# execution what its process was and how it ended. Nothing may be lost, and no execlat may
# have grown. Closes with one line, 'soak: passed: …' or 'soak: FAILED: …', and its status.
#
# usage: soak.sh [-d DURATION] [-n EXECUTIONS] [-k FOLDER] [EXECLAT]
#
#   -d, --duration 1h       of the load: seconds, or with m or h
#   -n, --executions N      at most; default 50 for each second. The load is paced by that
#   -k, --keep FOLDER       leave all files there; else they are kept if it failed
#
# Needs root. On disk it takes some 1.5 KB for each execution, and asks first for twice that.
#
# shellcheck disable=SC2317 # the trap's functions are reached

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
LC_ALL=C
export LC_ALL
duration=1h most='' keep=''

# What one execution takes on disk, of rows, recording, keys and what is sorted: bytes.
readonly BYTES_EACH=1500
# One round of the load, about; before it, its share of the time must be there.
readonly ROUND=3100
# It may grow by so much after its first quarter: percent, and KiB.
readonly GROWTH_PERCENT=10 GROWTH_KIB=2048
# For each start and each end of an execlat, seconds.
readonly PATIENCE=120

# Where it went wrong.
wrong=()

closing() { # STATUS LINE
	echo "soak: $2"
	exit "$1"
}

usage() {
	sed -n 's/^# usage: /usage: /p' "${BASH_SOURCE[0]}" >&2
	exit 2
}

seconds_of() {
	case $1 in
	*h) echo $((${1%h} * 3600)) ;;
	*m) echo $((${1%m} * 60)) ;;
	*) echo $((${1%s})) ;;
	esac
}

while [ $# -gt 0 ]; do
	case $1 in
	-d | --duration) duration=${2?} && shift ;;
	-n | --executions) most=${2?} && shift ;;
	-k | --keep) keep=${2?} && shift ;;
	-*) usage ;;
	*) break ;;
	esac
	shift
done
[[ $duration =~ ^[0-9]+[smh]?$ && ${most:-1} =~ ^[0-9]+$ ]] || usage
execlat=$(realpath -m -- "${1:-${CARGO_TARGET_DIR:-$here/target}/release/execlat}")
limit=$(seconds_of "$duration")
most=${most:-$((limit * 50 + ROUND))}

pids=() sampler='' cgroup='' work=''

stop_all() {
	local pid
	for pid in ${sampler:+"$sampler"} ${pids[@]+"${pids[@]}"}; do
		kill -KILL "$pid" 2>/dev/null || true
	done
	wait || true
	[ -z "$cgroup" ] || rmdir "$cgroup" 2>/dev/null || true
	[ -n "$keep" ] || [ -z "$work" ] || rm -rf -- "$work"
}

prepare() {
	local root free
	[ "$(id -u)" -eq 0 ] || closing 1 'FAILED: needs root'
	[ -x "$execlat" ] || closing 1 "FAILED: no $execlat: make build"
	root=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/self/mounts)
	[ -n "$root" ] || closing 1 'FAILED: no cgroup v2 is mounted'
	if [ -n "$keep" ]; then
		mkdir -p "$keep"
		work=$(realpath -- "$keep")
	else
		work=$(mktemp -d)
	fi
	trap stop_all EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	free=$(df -Pk "$work" | awk 'NR == 2 { print $4 }')
	[ $((free * 1024)) -gt $((2 * BYTES_EACH * most)) ] ||
		closing 1 "FAILED: $work has no room for $most executions: use a smaller -n"
	gcc -O1 -static -pthread -o "$work/workload" "$here"/tests/workload/*.c
	cgroup=$root/execlat-soak-$$
	mkdir "$cgroup"
	touch "$work/expected" "$work/unsure" "$work/rss"
}

start() { # NAME ARG…: an execlat that sees the load; its pid is appended to pids
	local name=$1 i
	shift
	"$execlat" -c "$cgroup" --strict -v "$@" >"$work/$name.out" 2>"$work/$name.err" </dev/null &
	pids+=($!)
	for ((i = 0; i < PATIENCE * 10; i++)); do
		! grep -qs '^execlat: tracing' "$work/$name.err" || return 0
		kill -0 "${pids[-1]}" 2>/dev/null || break
		sleep 0.1
	done
	closing 1 "FAILED: the execlat with $name did not start: $(tail -n 1 "$work/$name.err")"
}

# Pid, way, code and signal of each execution, as both sides' JSON lines have them.
keys() {
	sed -nE 's/.*"pid":([0-9]+),.*"end":"([a-z]+)","exit_code":([^,]+),"signal":([^,]+),.*/\1 \2 \3 \4/p'
}

# One case of the workload, in the cgroup; what it says is kept as keys.
load() {
	local said=$work/said
	if ! timeout -k 5 600 "$work/workload" --tag soak --join "$cgroup/cgroup.procs" "$@" \
		>"$said" 2>"$work/workload.err" </dev/null; then
		closing 1 "FAILED: the workload's case $1: $(tail -n 1 "$work/workload.err")"
	fi
	keys <"$said" >>"$work/expected"
	# Two execs about a second apart: nobody can say whether that is one row or two.
	sed -nE 's/^\{"type":"unsure","pid":([0-9]+)\}$/\1/p' "$said" >>"$work/unsure"
	done_so_far=$(wc -l <"$work/expected")
}

one_round() {
	local i cpus
	cpus=$(nproc)
	for i in $(seq 10); do # steady
		load plain 5
		sleep 0.2
	done
	for i in $(seq 3); do # bursts
		load storm 211 4
		sleep 0.5
	done
	load storm 1801 $((2 * (cpus < 32 ? cpus : 32))) # all CPUs
	load argv-long
	load argv-sizes 4000 7
	load many-exit 53 2
	load group-race 53 2
	load two-exit 53 2
	load exec-thread-storm 53 2
	load threads-die
	load killed
	load signals
	load chain-other
}

# Idle whenever more has been done than the time's share.
put_under_load() {
	local began=$SECONDS elapsed rounds=0
	while elapsed=$((SECONDS - began)) && [ "$elapsed" -lt "$limit" ]; do
		if [ $((done_so_far + ROUND)) -gt "$most" ]; then
			[ "$done_so_far" -gt 0 ] || closing 1 "FAILED: $ROUND executions are the least for -n"
			sleep 1
		elif [ $((done_so_far * limit)) -gt $((most * elapsed)) ]; then
			sleep 1
		else
			one_round
			rounds=$((rounds + 1))
		fi
	done
	echo "soak: $done_so_far executions in $rounds rounds, $((SECONDS - began)) s"
}

# A line of the resident KiB of each, every so often.
sample() {
	local pid every=$((limit / 200 + 1))
	while sleep "$every"; do
		for pid in "${pids[@]}"; do
			awk '$1 == "VmRSS:" { printf "%d ", $2 }' "/proc/$pid/status" 2>/dev/null || return 0
		done
		echo
	done >>"$work/rss"
}

stop_one() { # NAME PID: by Ctrl-C's signal; its status, which --strict makes of a loss
	local name=$1 pid=$2 status=0 watch
	kill -INT "$pid" 2>/dev/null || true
	(sleep "$PATIENCE" && kill -KILL "$pid") 2>/dev/null &
	watch=$!
	wait "$pid" || status=$?
	kill "$watch" 2>/dev/null || true
	echo "soak: $name: status $status: $(tail -n 1 "$work/$name.err")"
	[ "$status" -eq 0 ] || wrong+=("$name ended with $status")
	grep -qE '; nothing lost(;|$)' "$work/$name.err" || wrong+=("$name does not say that nothing is lost")
}

# What an execlat says that it saw.
said_of() { sed -nE 's/^execlat: ([0-9]+) executions?, .* 0 still running.*/\1/p' "$work/$1.err"; }

# Keys without those of pids that are unsure, in order.
sure() {
	awk -v unsure="$work/unsure" '
		BEGIN { while ((getline pid <unsure) > 0) not[pid] = 1 }
		!($1 in not)' | sort
}

compare() {
	local rows recorded said name
	keys <"$work/rows.json" | tee >(wc -l >"$work/rows.count") | sure >"$work/rows.keys"
	"$execlat" report -j --strict "$work/recording.xl" 2>"$work/report.err" |
		tee >(keys | wc -l >"$work/recorded.count") | keys | sure >"$work/recorded.keys" ||
		wrong+=("report ended with an error: $(tail -n 1 "$work/report.err")")
	sleep 0.2 # for the counts
	sure <"$work/expected" >"$work/expected.keys"
	rows=$(cat "$work/rows.count") recorded=$(cat "$work/recorded.count")
	[ -s "$work/expected.keys" ] || wrong+=("there is nothing to compare")
	echo "soak: rows $rows, of the recording $recorded, histogram $(said_of histogram)," \
		"oracle $done_so_far and $(wc -l <"$work/unsure") unsure"
	[ "$rows" -eq "$recorded" ] || wrong+=("rows $rows, recording $recorded")
	for name in rows recording histogram; do
		said=$(said_of "$name")
		[ "$rows" = "$said" ] || wrong+=("rows $rows, $name says ${said:-nothing}")
	done
	for name in rows recorded; do
		cmp -s "$work/$name.keys" "$work/expected.keys" && continue
		wrong+=("$name differ from the oracle in $(comm -3 "$work/$name.keys" "$work/expected.keys" | wc -l) lines")
		comm -3 "$work/$name.keys" "$work/expected.keys" | head -n 5 | sed "s/^/soak: $name: /"
	done
}

median() { sort -n | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] + 0 }'; }

# The first quarter is warm-up; the second is held against the last.
memory() {
	local samples quarter nth=0 name before after
	samples=$(wc -l <"$work/rss")
	quarter=$((samples / 4))
	if [ "$quarter" -lt 3 ]; then
		echo "soak: memory is not judged: $samples samples are too few"
		return
	fi
	for name in rows recording histogram; do
		nth=$((nth + 1))
		before=$(awk -v n=$nth -v q=$quarter 'NR > q && NR <= 2 * q { print $n }' "$work/rss" | median)
		after=$(tail -n "$quarter" "$work/rss" | awk -v n=$nth '{ print $n }' | median)
		echo "soak: memory with $name: $before KiB after the warm-up, $after KiB at the end"
		[ "$after" -le $((before + before * GROWTH_PERCENT / 100 + GROWTH_KIB)) ] ||
			wrong+=("$name grew from $before to $after KiB")
	done
}

done_so_far=0
prepare
start rows -j -o "$work/rows.json"
start recording -Q --record "$work/recording.xl"
start histogram -Q --histogram="$work/histogram.json"
sample &
sampler=$!
put_under_load
kill "$sampler" 2>/dev/null || true
sampler=''
stop_one rows "${pids[0]}"
stop_one recording "${pids[1]}"
stop_one histogram "${pids[2]}"
pids=()
compare
memory
echo "soak: on disk $(du -sk "$work" | awk '{ print $1 }') KiB"
if [ ${#wrong[@]} -gt 0 ]; then
	keep=$work
	closing 1 "FAILED: $(IFS=';' && echo "${wrong[*]}"); see $work"
fi
closing 0 "passed: $done_so_far executions, seen alike by rows, recording, histogram and oracle; nothing lost; memory flat"
