# shellcheck shell=dash
# What users meet who lack something: no privilege, too little of it, no BTF, no kprobes. Each is told
# in one line, word for word as here, with exit status 1; and works as soon as it is there.
# shellcheck source-path=SCRIPTDIR source=lib.sh
# shellcheck disable=SC1091 # where it lies in the guest
. /scenarios/lib.sh

paranoid=/proc/sys/kernel/perf_event_paranoid
traced="$EXECLAT_BIN -- /bin/busybox true"
row='busybox true'
give='run it as root, or give it CAP_BPF and CAP_PERFMON'

# Runs a command where a folder is empty: in a mount namespace that ends with it.
# shellcheck disable=SC2016 # for the inner shell
without='mount -t tmpfs none "$0" && exec "$@"'

# $traced is a command line, meant to be split.
# shellcheck disable=SC2086
{
    works root "$row" $traced
    none="not allowed to trace: CAP_BPF and CAP_PERFMON missing; $give"
    refused user "$none" drop -u 1000 - $traced
    refused root_without_capabilities "$none" drop - $traced
    refused bpf_alone "not allowed to trace: CAP_PERFMON missing; $give" drop -u 1000 bpf $traced
    refused perfmon_alone "not allowed to trace: CAP_BPF missing; $give" drop -u 1000 perfmon $traced

    # Debian's kernels know a third level, which wants CAP_SYS_ADMIN; it is their default.
    echo 3 >$paranoid
    refused bpf_perfmon_paranoid_3 "perf events are refused: kernel.perf_event_paranoid is 3; set it \
to 2 (sysctl kernel.perf_event_paranoid=2), or give it CAP_SYS_ADMIN" drop -u 1000 bpf,perfmon $traced
    works sys_admin_paranoid_3 "$row" drop -u 1000 sys_admin,bpf,perfmon,sys_resource $traced

    # Before 5.11 maps count against RLIMIT_MEMLOCK, which only CAP_SYS_RESOURCE may raise; buffers
    # always do, beyond some 500 KiB for each CPU.
    echo 2 >$paranoid
    ulimit -l unlimited
    works bpf_perfmon_paranoid_2 "$row" drop -u 1000 bpf,perfmon $traced
    ulimit -l 64
    small="$EXECLAT_BIN --buffer 512K -- /bin/busybox true"
    case $(uname -r) in
    5.10.*)
        refused memlock_maps "failed to load the BPF programs (before Linux 5.11 they need locked \
memory, and 64 KiB may be too little: ulimit -l unlimited; -v shows the kernel's words): Operation not \
permitted (os error 1)" drop -u 1000 bpf,perfmon $small
        ;;
    *)
        refused memlock_buffer "failed to set up a perf buffer of 8192 KiB (try a smaller --buffer): \
Operation not permitted (os error 1)" drop -u 1000 bpf,perfmon $traced
        works memlock_small_buffer "$row" drop -u 1000 bpf,perfmon $small
        ;;
    esac

    refused no_btf "this kernel does not describe its types: no /sys/kernel/btf/vmlinux; use a kernel \
built with CONFIG_DEBUG_INFO_BTF" unshare -m sh -c "$without" /sys/kernel/btf $traced
    no_kprobes=/sys/bus/event_source/devices
    refused no_kprobes "this kernel has no kprobes (CONFIG_KPROBE_EVENTS): use --probe tracepoint" \
        unshare -m sh -c "$without" $no_kprobes "$EXECLAT_BIN" --probe kprobe -- /bin/busybox true
    works no_kprobes_auto "$row" unshare -m sh -c "$without" $no_kprobes $traced
}
finish
