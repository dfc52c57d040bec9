# shellcheck shell=dash
# What the flavours cost beside each other, on a kernel that has both: time of their programs by
# kernel.bpf_stats_enabled, and of a storm of executions on all CPUs. Emulated, the figures mean
# something as ratios only. Wants storm and nothing (benches/) in /bin, as `make bench` puts them.
# shellcheck source-path=SCRIPTDIR source=lib.sh
# shellcheck disable=SC1091 # where it lies in the guest
. /scenarios/lib.sh

rounds=7 iterations=307

# Nanoseconds for each of $executions.
storm() {
    /bin/storm -n $iterations /bin/nothing >/run/storm || not_ok storm 'it failed'
    read -r ns executions </run/storm
    echo "$ns" >>"/run/$1"
}

traced() {
    : >/run/stderr # of the one before
    "$EXECLAT_BIN" --probe "$1" -v -Q --histogram >/run/stdout 2>/run/stderr &
    execlat=$!
    tries=0
    until grep -q 'tracing;' /run/stderr; do
        tries=$((tries + 1))
        [ $tries -lt 600 ] || break
        sleep 0.1
    done
    storm "$1.ns"
    sysctl -qw kernel.bpf_stats_enabled=1
    storm counted
    sysctl -qw kernel.bpf_stats_enabled=0
    cat /proc/$execlat/fdinfo/* 2>/dev/null |
        awk -v each="$executions" '
            $1 == "prog_id:" { ours = !seen[$2]++ }
            $1 == "run_time_ns:" && ours { ns += $2 }
            END { print int(ns / each) }' >>"/run/$1.bpf"
    kill -INT $execlat
    wait $execlat
    status=$?
    # Both storms, and whatever else ran.
    shown=$(sed -n 's/^execlat: \([0-9]*\) executions.*/\1/p' /run/stderr)
    if [ "$status" -ne 0 ] || [ "${shown:-0}" -lt $((2 * executions)) ]; then
        not_ok "$1" "$((2 * executions)) executions, ${shown:-none} shown"
    fi
}

median() { sort -n "/run/$1" | sed -n "$(((rounds + 1) / 2))p"; }

if [ ! -x /bin/storm ] || [ ! -x /bin/nothing ]; then
    ignored cost 'no storm here'
    finish
    exit
fi
for _ in $(seq $rounds); do
    storm untraced.ns
    traced tracepoint
    traced kprobe
done
awk -v plain="$(median untraced.ns)" -v tp="$(median tracepoint.ns)" -v kp="$(median kprobe.ns)" \
    -v tp_bpf="$(median tracepoint.bpf)" -v kp_bpf="$(median kprobe.bpf)" '
    function slower(ns) { return sprintf("%+.1f %%", (ns / plain - 1) * 100) }
    BEGIN {
        printf "figure: programs, kprobe to tracepoint: %.2f; storm slower by %s with kprobe, %s with tracepoint\n",
            kp_bpf / tp_bpf, slower(kp), slower(tp)
    }'
# shellcheck disable=SC2154 # from lib.sh
[ "$failed" -gt 0 ] || ok cost
finish
