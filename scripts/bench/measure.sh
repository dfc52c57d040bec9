# How scripts/bench.sh measures: configurations, their tools, storms and samples. It
# is read there, and uses what is set there.
#
# shellcheck shell=bash disable=SC2154,SC2034 # set, and used, in bench.sh

# A configuration: its name, then one command for each tool that it starts. None
# of the words has blanks. `@OPTIONS` are the storm's, `%DIR` is its cgroup, `+N` are
# sleeping processes beside it, which the tools see the start of.
configurations=()
declare -A commands
add() {
	local name=$1
	shift
	configurations+=("$name")
	commands[$name]=$(printf '%s\n' "$@")
}

# Samples: configuration, figure, value, separated by tabs.
sample() { printf '%s\t%s\t%s\n' "$1" "$2" "$3" >>"$tmp/samples"; }

# The median of a figure; nothing if there is none.
median() { # CONFIGURATION FIGURE
	awk -F '\t' -v name="$1" -v figure="$2" '$1 == name && $2 == figure { print $3 }' \
		"$tmp/samples" | sort -g | awk '{ v[NR] = $1 }
		END { if (NR) print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'
}

# Of a figure, that much.
scaled() { # VALUE DIVISOR FORMAT
	[ -z "$1" ] && echo - && return
	awk -v value="$1" -v by="$2" -v format="$3" 'BEGIN { printf format, value / by }'
}

# The sum of what the threads of the tools have run, ns.
tracers_cpu_ns() {
	local pid
	for pid in "${tracers[@]}"; do
		cat /proc/"$pid"/task/*/schedstat
	done | awk '{ sum += $1 } END { print sum + 0 }'
}

tracers_status_kib() { # FIELD
	local pid
	for pid in "${tracers[@]}"; do
		cat "/proc/$pid/status"
	done | awk -v field="$1:" '$1 == field { sum += $2 } END { print sum + 0 }'
}

# Programs of the tools: id, ns, runs, each once.
programs() {
	local pid
	for pid in "${tracers[@]}"; do
		cat /proc/"$pid"/fdinfo/* 2>/dev/null || true
	done | awk '$1 == "prog_id:" { id = $2 }
		$1 == "run_time_ns:" { ns = $2 }
		$1 == "run_cnt:" && id { print id, ns, $2; id = 0 }' | sort -u -k1,1n
}

# What became of the programs between two lists, as samples of ns per execution:
# of all, and by the part of a process's life that they look at.
sample_programs() { # CONFIGURATION EXECUTIONS
	bpftool prog show |
		sed -n 's/^\([0-9]*\): .* name \([^ ]*\) .*/\1 \2/p' >"$tmp/names"
	awk -v executions="$2" -v config="$1" 'FILENAME ~ /names$/ { name[$1] = $2; next }
		FILENAME ~ /before$/ { ns[$1] = $2; runs[$1] = $3; next }
		{
			part = name[$1] ~ /fork/ ? "fork" : name[$1] ~ /exec/ ? "exec" : "end"
			took = $2 - ns[$1]
			sum[part] += took
			all += took
			if ($3 > runs[$1])
				printf "%s\tprogram %s\t%.1f\n", config, name[$1], took / executions
		}
		END {
			for (part in sum)
				printf "%s\tns %s\t%.1f\n", config, part, sum[part] / executions
			printf "%s\tns all\t%.1f\n", config, all / executions
		}' "$tmp/names" "$tmp/before" "$tmp/after" >>"$tmp/samples"
}

# Whether a tool is attached: execlat says so; of the others, file descriptors
# come no more.
await_tracer() { # PID ERR COMMAND...
	local fds=0 before
	for _ in {1..200}; do
		kill -0 "$1" 2>/dev/null || return 1
		! grep -qs '^execlat: tracing' "$2" || return 0
		before=$fds
		fds=$(find "/proc/$1/fd" -lname 'anon_inode:*' 2>/dev/null | wc -l)
		if [ "$fds" -gt 4 ] && [ "$fds" -eq "$before" ] && [ "$3" != "$tmp/execlat" ]; then
			return 0
		fi
		sleep 0.1
	done
	return 1
}

# Sets storm_options, storm_cgroup, sleepers and tool_commands.
configure() { # CONFIGURATION
	local line
	storm_options=() storm_cgroup='' sleepers=0 tool_commands=()
	while read -r line; do
		case $line in
		@*) read -ra storm_options <<<"${line#@}" ;;
		%*) storm_cgroup=${line#%} ;;
		+*) sleepers=${line#+} ;;
		*) tool_commands+=("$line") ;;
		esac
	done <<<"${commands[$1]}"
}

# Adds a configuration if its tools can be started here.
offer() { # NAME COMMAND...
	add "$@"
	configure "$1"
	if start_tracers "$1"; then
		stop_tracers
	else
		say "$1: left out"
		unset 'configurations[-1]' "commands[$1]"
	fi
}

# Starts the tools of a configuration.
start_tracers() { # CONFIGURATION
	local i
	rm -f "$tmp"/rows* "$tmp"/err*
	for i in "${!tool_commands[@]}"; do
		# A shell starts what runs in the background with these ignored.
		# shellcheck disable=SC2086 # words
		env --default-signal=INT,QUIT ${tool_commands[i]} >"$tmp/rows$i" 2>"$tmp/err$i" \
			</dev/null &
		tracers+=($!)
	done
	for i in "${!tracers[@]}"; do
		# shellcheck disable=SC2086 # words
		await_tracer "${tracers[i]}" "$tmp/err$i" ${tool_commands[i]} && continue
		say "$1 does not work here: $(tail -n 1 "$tmp/err$i")"
		stop_tracers
		return 1
	done
}

# Starts the sleepers of a configuration, if it has any; sets crowd to the process
# that leads their group.
start_crowd() {
	local count='' group
	[ "$sleepers" -gt 0 ] || return 0
	: >"$tmp/crowd.out"
	"$tmp/crowd" -s "$sleepers" >"$tmp/crowd.out" &
	crowd=$!
	for _ in {1..600}; do
		read -r count group <"$tmp/crowd.out" && [ "$group" = "$crowd" ] && break
		sleep 0.1
	done
	[ "$count" = "$sleepers" ] || say "${count:-no} sleepers, not $sleepers"
}

stop_crowd() {
	[ -n "$crowd" ] || return 0
	kill -KILL -- "-$crowd" 2>/dev/null || true
	wait "$crowd" 2>/dev/null || true
	crowd=
}

# Runs a storm; sets storm_ns and storm_executions.
storm() { # ITERATIONS
	local figures
	figures=$(
		[ -z "$storm_cgroup" ] || echo "$BASHPID" >"$storm_cgroup/cgroup.procs"
		exec "$tmp/storm" -n "$1" "${storm_options[@]}" "$tmp/nothing"
	)
	read -r storm_ns storm_executions <<<"$figures"
}

# What the rows, or the figures, of the tools hold of the storm; of several tools,
# the one that has least.
seen() {
	local i count least=
	for ((i = 0; i < $1; i++)); do
		if grep -qE '^ *(action|argv0) +count' "$tmp/rows$i"; then
			count=$(awk '!NF { exit } $1 ~ /nothing/ { sum += $2 } END { print sum + 0 }' \
				"$tmp/rows$i")
		else
			count=$(cat "$tmp/rows$i" "$tmp/rows" 2>/dev/null | grep nothing | grep -vc storm) ||
				true
		fi
		[ -n "$least" ] && [ "$least" -le "${count:-0}" ] || least=${count:-0}
	done
	echo "$least"
}

# A storm without the tools; with them, one for time and CPU, and one with the
# kernel's statistics on.
measure() { # CONFIGURATION
	local name=$1 executions cpu_ns count untraced_ns
	configure "$name"
	storm "$iterations"
	untraced_ns=$storm_ns
	sample "$name" untraced "$storm_ns"
	sample "$untraced" storm "$storm_ns"
	start_tracers "$name" || return 0
	start_crowd
	count=${#tracers[@]}
	cpu_ns=$(tracers_cpu_ns)
	storm "$iterations"
	executions=$storm_executions
	sample "$name" storm "$storm_ns"
	sample "$name" slower "$(awk "BEGIN { print ($storm_ns / $untraced_ns - 1) * 100 }")"
	sleep 0.2
	sample "$name" cpu $((($(tracers_cpu_ns) - cpu_ns) / executions))
	sysctl -qw kernel.bpf_stats_enabled=1
	programs >"$tmp/before"
	storm $((iterations / 3 + 1))
	# sched_process_free comes after a grace period.
	sleep 0.1
	programs >"$tmp/after"
	sysctl -qw "kernel.bpf_stats_enabled=$stats_before"
	sample_programs "$name" "$storm_executions"
	executions=$((executions + storm_executions))
	sample "$name" rss "$(tracers_status_kib VmRSS)"
	sample "$name" peak "$(tracers_status_kib VmHWM)"
	stop_tracers
	stop_crowd
	[[ $name = *"out by"* || $name = empty* ]] || sample "$name" missing $((executions - $(seen "$count")))
}

# The reader does not run for a second of a storm of two.
measure_stop() { # CONFIGURATION
	local count
	configure "$1"
	start_tracers "$1" || return 0
	count=${#tracers[@]}
	storm $((iterations / 10 + 1))
	local before=$storm_executions stopped=("${tracers[@]}")
	(
		sleep 0.3
		kill -STOP "${stopped[@]}"
		sleep 1
		kill -CONT "${stopped[@]}"
	) &
	local stopper=$!
	storm $((2000000000 / storm_ns))
	wait "$stopper"
	sleep 0.3
	stop_tracers
	sample "$1" stopped $((before + storm_executions - $(seen "$count")))
	sample "$1" "stopped of" $((before + storm_executions))
}

# From the start of a tool to the line that says that it traces.
measure_start() { # CONFIGURATION LINE COMMAND...
	local name=$1 line=$2 text began pid
	shift 2
	mkfifo "$tmp/said"
	began=$EPOCHREALTIME
	env --default-signal=INT,QUIT stdbuf -oL "$@" >"$tmp/said" 2>&1 </dev/null &
	pid=$!
	tracers=("$pid")
	while read -r text; do
		[[ $text != *"$line"* ]] || break
	done <"$tmp/said"
	sample "$name" start "$(awk "BEGIN { print ($EPOCHREALTIME - $began) * 1000 }")"
	stop_tracers
	rm "$tmp/said"
}

# A table: each argument is a row, its cells separated by tabs; the first is the head.
