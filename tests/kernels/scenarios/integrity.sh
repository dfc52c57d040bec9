# shellcheck shell=dash
# cmdline: lockdown=integrity
# shellcheck source-path=SCRIPTDIR source=lib.sh
# shellcheck disable=SC1091 # where it lies in the guest
. /scenarios/lib.sh

# Else the words on the command line did nothing, and this would prove nothing.
run grep -F '[integrity]' /sys/kernel/security/lockdown
# shellcheck disable=SC2154 # from lib.sh
if [ "$status" -eq 0 ]; then ok locked; else not_ok locked 'the kernel is not in this lockdown'; fi

for probe in kprobe tracepoint; do
    works "$probe" 'busybox true' "$EXECLAT_BIN" --probe "$probe" -- /bin/busybox true
done
finish
