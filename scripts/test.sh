#!/usr/bin/env bash
# Runs the tests on this machine's kernel, and the oracle on stock kernels in QEMU.
# Closes with the names of those that were skipped or failed, and with one line:
#
#	N passed, N failed, N skipped
#
# A test that cannot run prints a line 'skipped: WHY' and passes; it is counted
# as skipped here. Root in CI gets EXECLAT_TESTS_NO_SKIP=1, with which it fails.
#
# usage: test.sh                     all tests, then the guests on the kernels of
#                                    this machine's package index
#        test.sh ARG...              cargo test ARG...
#        test.sh --guests [ARG]...   the guests alone, or tests/kernels/run.sh ARG...

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

target=${CARGO_TARGET_DIR:-target}
guest_suites='(oracle|both)_[a-z_]*' # of tests/*.rs; but not the one that tests the oracle
# What make test has of the guests: a boot for each kernel, all suites in it.
make_test=(--index --cgroup v2 --no-scenarios)
passed=0 failed=0 skipped=0
# shellcheck disable=SC2206 # flags
flags=(${CARGOFLAGS:-})

tmp=$(mktemp -d)
trap 'rm -rf -- "$tmp"' EXIT
if [ "${CI:-}" = true ] && [ "$(id -u)" -eq 0 ]; then
	export EXECLAT_TESTS_NO_SKIP=1
fi

# Runs a command, which is seen and whose output is kept in $tmp/out.
status=0
watched() {
	status=0
	"$@" 2>&1 | tee "$tmp/out" || status=${PIPESTATUS[0]}
}

# The sum of what libtest's closing lines say of passed, failed or ignored.
sum() {
	awk -v what="$1;" '
		/^test result: / { for (i = 2; i <= NF; i++) if ($i == what) n += $(i - 1) }
		END { print n + 0 }' "$tmp/out"
}

# `TEST: WHY` for each test that passed because it could not run.
skips() {
	awk '
		/^---- .* stdout ----$/ { name = $2 }
		/^skipped: / && !seen[name]++ { sub(/^skipped: /, ""); print name ": " $0 }' "$tmp/out"
}

# Each failed test's name and the first lines that it printed: all of it may be far above.
failures() {
	awk '
		/^test .* \.\.\. .*FAILED$/ { failed[$2] = 1 }
		/^(failures|successes):$/ { name = "" }
		/^stack backtrace:/ { name = "" }
		/^---- .* stdout ----$/ { name = $2; next }
		(name in failed) && NF && n[name]++ < 12 { said[name] = said[name] "    | " $0 "\n" }
		END { for (name in failed) printf "failed: %s\n%s", name, said[name] }' "$tmp/out"
}

# A command that fails without a failed test (it did not compile, it was killed)
# counts as one.
native() {
	local args=("$@") odd bad
	[[ " $* " = *' -- '* ]] || args+=(--)
	watched cargo test --no-fail-fast "${flags[@]}" "${args[@]}" --show-output
	skips | sed 's/^/skipped: /' >>"$tmp/names"
	failures >>"$tmp/names"
	odd=$(skips | wc -l)
	bad=$(sum failed)
	if [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; then
		bad=1
		echo "failed: cargo test, with status $status" >>"$tmp/names"
	fi
	passed=$((passed + $(sum passed) - odd))
	failed=$((failed + bad))
	skipped=$((skipped + $(sum ignored) + odd))
}

without_workers() {
	EXECLAT_TEST_BINS=$(grep -v /oracle_workers- <<<"$EXECLAT_TEST_BINS" || true)
}

# What oracle_workers wants in the guests, which have what this machine has.
give_runtimes() {
	local name path files=("$tmp/driver")
	for name in bundle.sh pure-v2.sh; do files+=("tests/runtimes/$name:/scripts/$name"); done
	for name in runc crun; do
		# Not every user's PATH has /usr/sbin, where Debian has runc.
		path=$(PATH=$PATH:/usr/sbin:/sbin command -v "$name") && files+=("$path:/usr/sbin/$name") && continue
		echo "skipped: oracle_workers in guests: needs $name" >>"$tmp/names"
		skipped=$((skipped + 1))
		without_workers
		return
	done
	export EXECLAT_GUEST_FILES="${EXECLAT_GUEST_FILES:-} ${files[*]}"
}

# Emulated, all is some twenty times slower: counts are divided. One test at a time,
# since bpf() calls of one execlat make some kernels skip probes of another. run.sh
# closes with the same lines as we do.
guests() {
	local line p f s
	if ! command -v apt-get >/dev/null; then
		echo 'skipped: guests: without apt-get there are no kernels to fetch' >>"$tmp/names"
		skipped=$((skipped + 1))
		return
	fi
	watched cargo test --no-run "${flags[@]}"
	EXECLAT_TEST_BINS=$(sed -nE "s#.*Executable tests/$guest_suites(/main)?\.rs \((.*)\)#\3#p" "$tmp/out" |
		grep -v /oracle_itself- || true)
	export EXECLAT_TEST_BINS EXECLAT_BIN=$target/debug/execlat EXECLAT_WORKLOAD=$tmp/workload
	[ "$status" -ne 0 ] || watched gcc -O1 -static -pthread -o "$EXECLAT_WORKLOAD" tests/workload/*.c
	[ "$status" -ne 0 ] || watched gcc -O1 -static -o "$tmp/driver" tests/runtimes/driver.c
	# Emulated, the runtimes take five minutes for each kernel.
	if [ "$*" = "${make_test[*]}" ]; then
		without_workers
		echo 'note: guests: oracle_workers is left to make test-kernels' >>"$tmp/names"
	else
		give_runtimes
	fi
	export EXECLAT_TEST_ARGS=${EXECLAT_TEST_ARGS:---test-threads=1}
	export EXECLAT_MODE_SUITES=${EXECLAT_MODE_SUITES:-'oracle_cgroups|oracle_workers'}
	[ "$status" -ne 0 ] || watched env EXECLAT_TESTS_NO_SKIP=1 \
		EXECLAT_SCALE="${EXECLAT_SCALE:-20}" tests/kernels/run.sh "$@"
	line=$(grep -aE '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' "$tmp/out" | tail -n 1 || true)
	read -r p _ f _ s _ <<<"${line:-0 passed, 0 failed, 0 skipped}"
	grep -aE '^(failed|skipped|left out|note): |^    \| ' "$tmp/out" >>"$tmp/names" || true
	if [ "$status" -ne 0 ] && [ "$f" -eq 0 ]; then
		echo "failed: the guests, with status $status: $(tail -n 1 "$tmp/out")" >>"$tmp/names"
		f=1
	fi
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
}

touch "$tmp/names"
case ${1:-} in
'')
	native
	guests "${make_test[@]}"
	;;
--guests)
	shift
	[ $# -gt 0 ] || set -- "${make_test[@]}"
	guests "$@"
	;;
*) native "$@" ;;
esac

echo
cat "$tmp/names"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
