#!/usr/bin/env bash
# Runs the test binaries in QEMU guests with stock Debian kernels: each kernel in each cgroup mode is
# one boot, which runs everything in both flavours. Ends with a table kernel × flavour × tests and
# the line 'N passed, N failed, N skipped'; exit status 1 if anything failed or nothing ran.
#
#   run.sh [--all | --index | --kernel VERSION]…   as for fetch.sh; --index if nothing is said
#          [--flavour kprobe|tracepoint]…          default: both
#          [--cgroup v2|v1|hybrid]…                default: all three
#          [--scenario NAME]… | --no-scenarios     default: all of scenarios/ but cost, which only
#                                                  measures, once per kernel
#          [--arch amd64|arm64] [--jobs N]         guests at once, at most 2
#          [--accel ACCEL]                         of QEMU; default tcg,thread=single. Races are true
#                                                  with thread=multi, but see MACHINE_TROUBLE
#          [--timeout SECONDS]                     for one guest, and for a suite in it: SECONDS - 30
#          [--markdown FILE] [--logs FOLDER]       the table; the consoles, else kept only on failure
#
# Environment:
#   EXECLAT_BIN, EXECLAT_WORKLOAD   the binaries: /bin/execlat and /bin/workload in the guest
#   EXECLAT_TEST_BINS               the test executables, separated by white space
#   EXECLAT_TEST_ARGS               arguments for each of them
#   EXECLAT_MODE_SUITES             what runs in the cgroup modes after the first, by a pattern of
#                                   suite names (a*|b*); default: all
#   EXECLAT_GUEST_FILES             more files, each as FILE:GUESTPATH, separated by white space
#   EXECLAT_GUEST_ENV               names of more variables that the tests are to see
#   EXECLAT_GUEST_MEM               default 2048M: one test needs a process of 1 GB
#   EXECLAT_KERNEL_CACHE, BUSYBOX, CC   see fetch.sh and initramfs.sh
# The tests see besides: EXECLAT_GUEST=1, EXECLAT_PROBE (the flavour; 'auto' in scenarios),
# EXECLAT_CGROUP_MODE, and EXECLAT_CGROUP_TWINS=DIR:DIR, two cgroups of different hierarchies with
# the same id (in v1 and hybrid mode).
# What the machine failed at is tried again, loudly; what a test failed at never is.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here
readonly MARK=@@execlat
# shellcheck source-path=SCRIPTDIR source=report.sh
. "$here/report.sh"
# With QEMU 7.2 and a thread for each of two CPUs, the kernel panics in about 1 % of boots, and now
# and then when probes come and go: a CPU meets the breakpoint by which the kernel patches its own
# code when the kernel has forgotten it. One thread that runs the CPUs in turn knows no such moment.
readonly BOOT_TRIES=3 BOOT_SECONDS=60
readonly MACHINE_TROUBLE='int3: 0000|Unrecoverable kprobe detected|^qemu-system[^:]*: (fatal|Could not|error)|qemu: uncaught'
readonly PASSED_ENV=(EXECLAT_SCALE EXECLAT_TESTS_NO_SKIP EXECLAT_TEST_ARGS RUST_BACKTRACE)

say() { printf 'run.sh: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

parse_arguments() {
    kernels=() flavours=() modes=() scenarios=() all_scenarios=yes
    arch=amd64 accel=tcg,thread=single jobs=2 limit=1500 markdown='' logs=''
    while [ $# -gt 0 ]; do
        case $1 in
        --all | --index) kernels+=("$1"); shift; continue ;;
        --no-scenarios) all_scenarios=''; shift; continue ;;
        esac
        [ $# -gt 1 ] || die "$1: unknown, or its value is missing"
        case $1 in
        --kernel) kernels+=("$2") ;;
        --flavour) flavours+=("$2") ;;
        --cgroup) modes+=("$2") ;;
        --scenario) scenarios+=("$2"); all_scenarios='' ;;
        --arch) arch=$2 ;;
        --accel) accel=$2 ;;
        --jobs) jobs=$(($2 > 2 ? 2 : $2)) ;;
        --timeout) limit=$2 ;;
        --markdown) markdown=$2 ;;
        --logs) logs=$2 ;;
        *) die "unknown option $1" ;;
        esac
        shift 2
    done
    [ ${#kernels[@]} -gt 0 ] || kernels=(--index)
    [ ${#flavours[@]} -gt 0 ] || flavours=(kprobe tracepoint)
    [ ${#modes[@]} -gt 0 ] || modes=(v2 v1 hybrid)
}

find_scenarios() {
    local file
    [ -n "$all_scenarios" ] || return 0
    for file in "$here"/scenarios/*.sh; do
        case ${file##*/} in
        lib.sh | cost.sh) ;;
        *) scenarios+=("$(basename "$file" .sh)") ;;
        esac
    done
}

choose_machine() {
    local names qemu
    case $arch in
    # Emulated, what 'max' has on top (SMAP, five levels of pages) doubles the kernel's time.
    amd64) names=(qemu-system-x86_64 qemu-system-x86) machine=(-cpu qemu64) console=ttyS0 ;;
    # 'max' has pointer authentication, which takes most of the time when it is emulated.
    arm64)
        names=(qemu-system-aarch64 qemu-system-arm) console=ttyAMA0
        machine=(-M "virt,gic-version=3" -cpu cortex-a72)
        ;;
    *) die "no guest is known for $arch" ;;
    esac
    qemu=$("$here/qemu.sh" "${names[@]}") || exit 1
    machine=("$qemu" "${machine[@]}")
}

# Values reach the guest's shell quoted.
write_config() {
    local name
    # shellcheck disable=SC2086 # names, meant to be split
    for name in "${PASSED_ENV[@]}" ${EXECLAT_GUEST_ENV:-}; do
        [ -z "${!name+set}" ] || printf "export %s='%s'\n" "$name" "${!name//\'/\'\\\'\'}"
    done
}

# cargo's test executables end in a hash, which no table needs.
suite_of() { basename "$1" | sed -E 's/-[0-9a-f]{16}$//'; }

build_initramfs() {
    local adds=() file
    write_config >"$work/execlat.conf"
    adds+=(--add "$work/execlat.conf:/etc/execlat.conf")
    [ -z "${EXECLAT_BIN:-}" ] || adds+=(--add "$EXECLAT_BIN:/bin/execlat")
    [ -z "${EXECLAT_WORKLOAD:-}" ] || adds+=(--add "$EXECLAT_WORKLOAD:/bin/workload")
    for file in ${EXECLAT_TEST_BINS:-}; do adds+=(--add "$file:/tests/$(suite_of "$file")"); done
    for file in ${EXECLAT_GUEST_FILES:-}; do adds+=(--add "$file"); done
    "$here/initramfs.sh" "${adds[@]}" "$work/initramfs.gz"
}

# boot_once VMLINUZ LOG WORDS: until the guest powers off, or the time is over.
boot_once() {
    local vmlinuz=$1 log=$2 words=$3 started=$SECONDS
    timeout -k 5 "$limit" "${machine[@]}" -accel "$accel" \
        -smp 2 -m "${EXECLAT_GUEST_MEM:-2048M}" -kernel "$vmlinuz" -initrd "$work/initramfs.gz" \
        -append "console=$console panic=-1 oops=panic quiet $words" \
        -nographic -nodefaults -serial stdio -no-reboot -net none </dev/null >"$log" 2>&1 &
    qemu=$!
    while kill -0 "$qemu" 2>/dev/null; do
        if [ $((SECONDS - started)) -gt $BOOT_SECONDS ] && ! reached "$log" init; then
            kill "$qemu"
        fi
        sleep 0.2
    done
    wait "$qemu" || true
}

# The machine failed, not a test: the kernel never came to our init, QEMU itself gave up, or the
# kernel fell over its own patching. A test that had failed by then stays a failure.
machine_failed() { # LOG
    reached "$1" "done" && return 1
    ! reached "$1" 'test .* FAILED' || return 1
    ! reached "$1" init || grep -qaE "$MACHINE_TROUBLE" "$1"
}

# guest NAME VMLINUZ WORDS: leaves $logs/NAME.log. What a test said is never asked twice.
guest() {
    local name=$1 log=$logs/$1.log try
    qemu=''
    trap '[ -z "$qemu" ] || kill "$qemu" 2>/dev/null; exit 1' TERM INT
    for try in $(seq $BOOT_TRIES); do
        boot_once "$2" "$log" "$3"
        machine_failed "$log" || return 0
        echo "$name: THE MACHINE FAILED, no test did (try $try): $(last_words "$log")" |
            tee -a "$work/notes" >&2
        # Once it has run for minutes, one more try is enough.
        ! reached "$log" init || [ "$try" -eq 1 ] || return 0
        [ "$try" -eq $BOOT_TRIES ] || mv "$log" "$logs/$name.try$try.log"
    done
}

# collect NAME KERNEL MODE SECONDS: adds to the records and tells how it went.
collect() {
    local name=$1 log=$logs/$1.log
    words_of "$log" | sed -n "s/^note /$name: /p" | tee -a "$work/notes" >&2
    records_of "$log" | sed "s/^/$2 $3 /" >"$work/$name.records"
    cat "$work/$name.records" >>"$work/records"
    failures_of "$name" "$log" >>"$work/failures"
    awk -v name="$name" -v seconds="$4" '
        { passed += $5; failed += $6; skipped += $7 }
        END { printf "%s: %d passed, %d failed, %d skipped (%d s)\n", name, passed, failed, skipped, seconds
              exit failed > 0 }' "$work/$name.records" && return
    # The whole of what the failed suites printed; for a dead guest, the end of its console.
    words_of "$log" | sed -n "s/^out/$name:/p" >&2
    reached "$log" "done" || tail -n 30 "$log" | tr -d '\r' | sed "s/^/$name: /" >&2
}

run_guest() { # KERNEL VMLINUZ MODE NAME WORDS
    local kernel=$1 mode=$3 started=$SECONDS name=$1-$3${4:+-$4}
    guest "$name" "$2" "execlat.cgroup=$mode execlat.timeout=$((limit - 30)) $5"
    # Two guests may end at once; the table and what is printed must not mix. Opened anew, since a
    # lock belongs to the open file, which we would share with the other guest's shell.
    exec 8>"$work/lock"
    flock 8
    collect "$name" "$kernel" "$mode" $((SECONDS - started))
}

start_guest() {
    while [ "$(jobs -pr | wc -l)" -ge "$jobs" ]; do wait -n || true; done
    run_guest "$@" &
}

cmdline_of() { sed -n 's/^# cmdline: //p' "$here/scenarios/$1.sh"; }

# One boot per mode for the suite; the first takes along the scenarios that need no other kernel
# command line, and each of the others has one for itself.
start_kernel() { # KERNEL VMLINUZ
    local mode scenario words plain='' with='' with_flavours
    for scenario in ${scenarios[@]+"${scenarios[@]}"}; do
        [ -n "$(cmdline_of "$scenario")" ] || plain+=${plain:+,}$scenario
    done
    with=${plain:+execlat.scenarios=$plain}
    with_flavours=$(IFS=,; echo "${flavours[*]}")
    [ ${#flavours[@]} -eq 1 ] || with_flavours+=,both
    for mode in "${modes[@]}"; do
        start_guest "$1" "$2" "$mode" '' "execlat.flavours=$with_flavours $with"
        with=${EXECLAT_MODE_SUITES:+execlat.suites=$EXECLAT_MODE_SUITES}
    done
    for scenario in ${scenarios[@]+"${scenarios[@]}"}; do
        words=$(cmdline_of "$scenario")
        [ -z "$words" ] || start_guest "$1" "$2" "${modes[0]}" "$scenario" "execlat.scenarios=$scenario $words"
    done
}

# shellcheck disable=SC2317 # the trap reaches it
stop_guests() {
    # shellcheck disable=SC2046 # pids
    [ -z "$(jobs -pr)" ] || kill $(jobs -pr) 2>/dev/null || true
    wait || true
    if [ -n "$keep_logs" ]; then
        say "consoles: $logs"
        rm -f "$work/initramfs.gz"
    else
        rm -rf "$work"
    fi
}

run_all() {
    local version path
    while IFS=$'\t' read -r version path; do
        if [ "$path" = - ]; then
            echo "$version - - none 0 0 1 0" >>"$work/records"
        else
            start_kernel "$version" "$path"
        fi
    done <"$work/kernels"
    wait
}

main() {
    parse_arguments "$@"
    choose_machine
    find_scenarios
    [ -n "${EXECLAT_TEST_BINS:-}${scenarios[*]}" ] || die "EXECLAT_TEST_BINS is empty: nothing to run"
    work=$(mktemp -d) keep_logs=''
    logs=${logs:-$work/logs}
    mkdir -p "$logs"
    trap stop_guests EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    "$here/fetch.sh" --arch "$arch" "${kernels[@]}" >"$work/kernels"
    build_initramfs
    touch "$work/records" "$work/failures" "$work/notes"
    run_all
    table | tee ${markdown:+"$markdown"}
    [ ! -s "$work/failures" ] || keep_logs=yes
    account
}

main "$@"; exit # bash reads on, should this file change meanwhile
