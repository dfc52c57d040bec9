# The tables that scripts/bench.sh makes of its samples; read there.
#
# shellcheck shell=bash disable=SC2154,SC2034 # set, and used, in bench.sh

table() {
	printf '%s\n' "$@" | awk -F '\t' '{
			for (i = 1; i <= NF; i++) {
				cell[NR, i] = $i
				if (length($i) > width[i]) width[i] = length($i)
			}
			if (NF > columns) columns = NF
		}
		END {
			for (row = 1; row <= NR; row++) {
				for (i = 1; i <= columns; i++)
					printf(i == 1 ? "| %-*s " : "| %*s ", width[i], cell[row, i])
				print "|"
				if (row > 1) continue
				for (i = 1; i <= columns; i++) {
					printf(i == 1 ? "|:" : "|-")
					for (j = 0; j < width[i]; j++) printf "-"
					printf(i == 1 ? "-" : ":")
				}
				print "|"
			}
		}'
	echo
}

rows_table() {
	local rows=() name slower lost stopped
	rows+=($'\tstorm, µs\tslower by\tCPU, µs\tpeak, MiB\tsettled, MiB\tstart, ms\tmissing\tmissing, stopped 1 s')
	for name in "$@"; do
		lost=$(median "$name" missing)
		stopped=$(median "$name" stopped)
		slower=$(median "$name" slower)
		rows+=("$name"$'\t'"$(scaled "$(median "$name" storm)" 1000 %.1f)"$'\t'"$(
			scaled "$slower" 1 '%.1f %%'
		)"$'\t'"$(scaled "$(median "$name" cpu)" 1000 %.2f)"$'\t'"$(
			scaled "$(median "$name" peak)" 1024 %.1f
		)"$'\t'"$(scaled "$(median "$name" rss)" 1024 %.1f)"$'\t'"$(
			scaled "$(median "$name" start)" 1 %.0f
		)"$'\t'"${lost:--}"$'\t'"${stopped:--}")
	done
	table "${rows[@]}"
}

kernel_table() {
	local rows=() name all ours
	ours=$(median "$reference" 'ns all')
	rows+=($'\texec, ns\tfork, ns\tend, ns\tall, ns\tratio')
	for name in "$@"; do
		all=$(median "$name" 'ns all')
		[ -n "$all" ] || continue
		rows+=("$name"$'\t'"$(scaled "$(median "$name" 'ns exec')" 1 %.0f)"$'\t'"$(
			scaled "$(median "$name" 'ns fork')" 1 %.0f
		)"$'\t'"$(scaled "$(median "$name" 'ns end')" 1 %.0f)"$'\t'"$(
			scaled "$all" 1 %.0f
		)"$'\t'"$(scaled "$all" "${ours:-1}" %.2f)")
	done
	table "${rows[@]}"
}

programs_table() {
	local rows=($'\tns per execution') program
	while read -r program; do
		rows+=("${program#program }"$'\t'"$(scaled "$(median "$reference" "$program")" 1 %.0f)")
	done < <(awk -F '\t' -v name="$reference" \
		'$1 == name && $2 ~ /^program / { print $2 }' "$tmp/samples" | sort -u)
	table "${rows[@]}"
}

report() {
	local version
	version=$(dpkg-query -W -f '${Package} ${Version}, ' libbpf-tools bpftrace 2>/dev/null || true)
	cat <<-END
		# What tracing costs

		$("$execlat" --version), ${version}Linux $(uname -r), $(nproc) CPUs:
		$(sed -n 's/^model name[^:]*: //p;T;q' /proc/cpuinfo), load before $load_before.
		Medians of $rounds interleaved rounds of $iterations fork-exec-exit iterations on each
		CPU at once; $((SECONDS - began)) s in all.

		Storm: per iteration and CPU. CPU: user and system time of the tool per
		execution. Missing: executions of the storm that the tool did not show.

	END
	if [ ${#main[@]} -gt 0 ]; then
		rows_table untraced "${main[@]}"
		printf 'In the kernel, per execution (fork, exec, end), by kernel.bpf_stats_enabled:\n\n'
		kernel_table "${main[@]}"
		printf 'Of %s, by program:\n\n' "$reference"
		programs_table
	fi
	if [ ${#grown[@]} -gt 0 ]; then
		printf 'Growth:\n\n'
		rows_table "${grown[@]}"
		kernel_table "${grown[@]}"
	fi
	if [ -s "$tmp/flavours" ]; then
		printf 'The flavours beside each other, on stock kernels, emulated (medians of 7 rounds):\n\n'
		sed 's/^/- /' "$tmp/flavours"
	fi
}

# The tables, of what was measured so far if it is cut short.
finish() {
	measuring=
	report >"$tmp/report"
	cat "$tmp/report"
	[ -z "$output" ] || cp -- "$tmp/report" "$output"
}
