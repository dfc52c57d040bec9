# shellcheck shell=dash
# cmdline: lockdown=confidentiality
# This lockdown forbids kprobes and every helper that reads the kernel's memory. The line that says
# so must name it, for no capability helps.
# shellcheck source-path=SCRIPTDIR source=lib.sh
# shellcheck disable=SC1091 # where it lies in the guest
. /scenarios/lib.sh

line='the kernel is locked down (confidentiality): BPF may not read its memory; '
line="${line}boot with lockdown=integrity, or without"
for probe in kprobe tracepoint auto; do
    refused "$probe" "$line" "$EXECLAT_BIN" --probe "$probe" -- /bin/busybox true
done
finish
