//! The options of each runtime and of each of its commands.
//!
//! From the sources of runc 1.0.0-rc93 to 1.5, crun 1.8 to 1.28, youki 0.4,
//! gVisor 2023 to 2026 and Kata 1.13 to 3.32. A list has an entry per option: its
//! name, its letters after commas, then '=' if it takes a value or '?' if only an
//! attached one. Names that mean something to us are `bundle`, `detach`, `stats`,
//! `help` and `version`.

use super::lex::{Dialect, Known, Options, words};

/// A runtime's command line.
#[derive(Debug)]
pub(super) struct Runtime {
    pub(super) name: &'static str,
    pub(super) dialect: Dialect,
    /// Options before the command.
    pub(super) options: Options,
    commands: &'static [Command],
    /// `init` as the first argument is its re-execution in the container.
    pub(super) has_init: bool,
}

/// A command of a runtime.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) name: &'static str,
    alias: &'static str,
    pub(super) action: &'static str,
    pub(super) operand: Operand,
    /// Options end at this operand; 0: they may stand anywhere.
    pub(super) stop: u8,
    pub(super) lasts: Lasts,
    pub(super) options: Options,
}

/// Which operand names the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operand {
    None,
    /// The only one.
    Only,
    First,
    Second,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lasts {
    Briefly,
    Always,
    UnlessDetached,
    UnlessStats,
}

use Lasts::{Always, Briefly, UnlessDetached, UnlessStats};
use Operand::{First, None as Nothing, Only, Second};

impl Operand {
    /// Counted from 1; 0 where there is no container.
    pub(super) fn position(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Only | Self::First => 1,
            Self::Second => 2,
        }
    }
}

impl Runtime {
    pub(super) fn command(&self, name: &[u8]) -> Option<&'static Command> {
        let named = |c: &&Command| {
            c.name.as_bytes() == name || (!c.alias.is_empty() && c.alias.as_bytes() == name)
        };
        self.commands.iter().find(named)
    }

    pub(super) fn option(&self, name: &[u8]) -> Option<&'static Known> {
        let (dialect, common) = (self.dialect, self.dialect.common());
        let own = dialect.find(self.options, name);
        own.or_else(|| dialect.find(common, name))
    }
}

macro_rules! commands {
    ($runtime:literal: $($name:literal $(| $alias:literal)?
        $operand:ident $stop:literal $lasts:ident $options:expr;)*) => {
        &[$(Command {
            name: $name,
            alias: concat!($($alias)?),
            action: concat!($runtime, " ", $name),
            operand: $operand,
            stop: $stop,
            lasts: $lasts,
            options: words!($options),
        }),*]
    };
}

pub(super) static INIT: Command = Command {
    name: "init",
    alias: "",
    action: "runc init",
    operand: Nothing,
    stop: 0,
    lasts: Briefly,
    options: &[],
};

pub(super) static RUNC: Runtime = Runtime {
    name: "runc",
    dialect: Dialect::Urfave,
    options: words!("debug log= log-format= root= systemd-cgroup rootless= criu= version,v"),
    has_init: true,
    commands: commands! { "runc":
        "checkpoint" Only 0 Briefly CHECKPOINT;
        "create" Only 0 Briefly CREATE;
        "delete" Only 0 Briefly "force,f";
        "events" Only 0 UnlessStats "interval= stats";
        "exec" First 1 UnlessDetached EXEC;
        "features" Nothing 0 Briefly "";
        "help" | "h" Nothing 0 Briefly "";
        "kill" First 0 Briefly "all,a";
        "list" Nothing 0 Briefly "format,f= quiet,q";
        "pause" Only 0 Briefly "";
        "ps" First 1 Briefly "format,f=";
        "restore" Only 0 UnlessDetached RESTORE;
        "resume" Only 0 Briefly "";
        "run" Only 0 UnlessDetached RUN;
        "spec" Nothing 0 Briefly "bundle,b= rootless";
        "start" Only 0 Briefly "";
        "state" Only 0 Briefly "";
        "update" Only 0 Briefly UPDATE;
    },
};

pub(super) static CRUN: Runtime = Runtime {
    name: "crun",
    dialect: Dialect::Argp,
    options: words!(
        "debug cgroup-manager= systemd-cgroup log= log-format= log-level= root= rootless= \
        version,v,V"
    ),
    has_init: false,
    commands: commands! { "crun":
        "checkpoint" First 1 Briefly "image-path= work-path= leave-running tcp-established \
            ext-unix-sk shell-job file-locks network-lock parent-path= pre-dump \
            manage-cgroups-mode=";
        "create" Only 1 Briefly "bundle,b= config,f= console-socket= preserve-fds= no-pivot \
            pid-file= no-subreaper no-new-keyring";
        "delete" Only 1 Briefly "force,f regex,r";
        "exec" First 1 UnlessDetached "console-socket= tty,t? process,p= cwd= cgroup= detach,d \
            user,u= env,e= cap,c= pid-file= preserve-fds= no-new-privs process-label= apparmor=";
        "features" Nothing 1 Briefly "";
        "kill" First 1 Briefly "all,a regex,r";
        "list" Nothing 1 Briefly "quiet,q format,f=";
        "mounts" Second 1 Briefly "";
        "pause" First 1 Briefly "";
        "ps" Only 1 Briefly "format,f=";
        "restore" First 1 UnlessDetached "bundle,b= image-path= work-path= tcp-established \
            tcp-close ext-unix-sk shell-job detach,d pid-file= console-socket= file-locks \
            manage-cgroups-mode= network-lock lsm-profile= lsm-mount-context=";
        "resume" First 1 Briefly "";
        "run" Only 1 UnlessDetached "bundle,b= config,f= detach,d console-socket= preserve-fds= \
            pid-file= keep no-subreaper no-new-keyring no-pivot";
        "spec" Nothing 1 Briefly "bundle,b= file,f= rootless";
        "start" Only 1 Briefly "";
        "state" Only 1 Briefly "";
        "update" Only 1 Briefly UPDATE;
    },
};

pub(super) static YOUKI: Runtime = Runtime {
    name: "youki",
    dialect: Dialect::Clap,
    options: words!(
        "log,l= debug log-format= root,r= systemd-cgroup,s systemd-log log-level= version,V"
    ),
    has_init: false,
    commands: commands! { "youki":
        "checkpoint" | "checkpointt" Only 0 Briefly "image-path= work-path= parent-path= \
            leave-running tcp-established ext-unix-sk shell-job lazy-pages status-fd= \
            page-server= file-locks pre-dump manage-cgroups-mode= empty-ns auto-dedup";
        "completion" Nothing 0 Briefly "shell,s=";
        "create" Only 0 Briefly "bundle,b= console-socket,c= pid-file,p= no-pivot no-new-keyring \
            preserve-fds=";
        "delete" Only 0 Briefly "force,f";
        "events" Only 0 UnlessStats "interval= stats";
        // Options may follow the container, up to the payload's name.
        "exec" First 2 UnlessDetached "console-socket= cwd= env,e= tty,t user,u= \
            additional-gids,g= process,p= detach,d pid-file= process-label= apparmor= \
            no-new-privs cap= preserve-fds= ignore-paused cgroup=";
        "features" Nothing 0 Briefly "";
        "help" Nothing 0 Briefly "";
        "info" Nothing 0 Briefly "";
        "kill" First 0 Briefly "all,a";
        "list" Nothing 0 Briefly "format= quiet,q";
        "pause" Only 0 Briefly "";
        "ps" First 0 Briefly "format,f=";
        "resume" Only 0 Briefly "";
        "run" Only 0 UnlessDetached "bundle,b= console-socket,c= pid-file,p= no-subreaper \
            no-pivot no-new-keyring preserve-fds= keep detach,d";
        "spec" Nothing 0 Briefly "bundle,b= rootless";
        "start" Only 0 Briefly "";
        "state" Only 0 Briefly "";
        "update" Only 0 Briefly UPDATE;
    },
};

pub(super) static RUNSC: Runtime = Runtime {
    name: "runsc",
    dialect: Dialect::GoFlag,
    options: words!(RUNSC_OPTIONS),
    has_init: false,
    commands: commands! { "runsc":
        "boot" Only 1 Always "bundle= apply-caps setup-root cpu-num= cpu-quota= cpu-period= \
            proc-mount-sync-fd= sync-userns-fd= total-memory= total-host-memory= attached \
            product-name= host-thp-shmem-enabled= host-thp-defrag= uid= gid= spec-fd= \
            controller-fd= device-fd= pin-ring-fd= io-fds= dev-io-fd= stdio-fds= pass-fd= \
            exec-fd= gofer-filestore-fds= gofer-mount-confs= user-log-fd= start-sync-fd= \
            mounts-fd= pod-init-config-fd= sink-fds= save-fds= save-checkpoint-gofer \
            fs-save-fds= fs-save-checkpoint-gofer fs-restore-fds= fs-restore-checkpoint-gofer \
            rootfs-upper-tar-fd= final-metrics-log-fd= profiling-metrics-fd= \
            profiling-metrics-fd-lossy nvidia-driver-version= nvidia-host-params= \
            nvidia-fabric-imex-mgmt-minor=";
        "checkpoint" Only 1 Briefly "image-path= leave-running exclude-committed-zero-pages \
            direct cuda-checkpoint-path= cuda-checkpoint-sequential save-restore-exec-argv= \
            save-restore-exec-timeout= work-path= compression=";
        "cpu-features" Nothing 1 Briefly "";
        "create" Only 1 Briefly "bundle= console-socket= pid-file= user-log= \
            fs-restore-image-path= fs-restore-direct";
        "debug" Only 1 Briefly "pid= stacks profile-block= profile-cpu= profile-heap= \
            profile-mutex= delay= duration= trace= signal= strace= log-level= log-packets= ps \
            mount=";
        "delete" First 1 Briefly "force";
        "do" Nothing 1 Always "root= cwd= erofs= ip= quiet force-overlay uid-map= gid-map= \
            volume=";
        "events" Only 1 UnlessStats "interval= stats";
        "exec" First 1 UnlessDetached "cwd= env= user= additional-gids= cap= detach process= \
            pid-file= internal-pid-file= console-socket= pass-fd= exec-fd=";
        "export-metrics" Only 1 Briefly "exporter-prefix= sandbox-metrics-filter=";
        "features" Nothing 1 Briefly "";
        "flags" Nothing 1 Briefly "";
        "fscheckpoint" Only 1 Briefly "image-path= leave-running direct path=";
        "gofer" Only 1 Always "bundle= apply-caps setup-root io-fds= gofer-mount-confs= \
            dev-io-fd= spec-fd= mounts-fd= rpc-fd= pin-ring-fd= sync-sentry-exit-fd= uid= gid= \
            sync-chroot-fd= sync-userns-fd= proc-mount-sync-fd=";
        "help" Nothing 1 Briefly "";
        "install" Nothing 1 Briefly "";
        "kill" First 1 Briefly "all pid= pgid=";
        "list" Nothing 1 Briefly "quiet format= sandbox";
        "metric-metadata" Nothing 1 Briefly "";
        "metric-server" Nothing 1 Always "exporter-prefix= pid-file= allow-profiling \
            allow-unknown-root";
        "mitigate" Nothing 1 Briefly "dryrun reverse";
        "nvproxy" Nothing 1 Briefly "";
        "pause" Only 1 Briefly "";
        "port-forward" First 1 Always "stream=";
        "ps" Only 1 Briefly "format=";
        "read" First 1 Briefly "offset= size=";
        "read-control" First 1 Briefly "";
        "restore" Only 1 UnlessDetached "bundle= console-socket= pid-file= user-log= \
            fs-restore-image-path= fs-restore-direct image-path= detach direct background \
            no-subreaper work-path= pass-fd= exec-fd=";
        "resume" Only 1 Briefly "";
        "run" Only 1 UnlessDetached "bundle= console-socket= pid-file= user-log= \
            fs-restore-image-path= fs-restore-direct detach pass-fd= exec-fd=";
        "sandboxexec" Nothing 1 Always "options=";
        "spec" Nothing 1 Briefly "bundle= cwd= netns= tpu";
        "start" Only 1 Briefly "";
        "state" Only 1 Briefly "";
        "statefile" Nothing 1 Briefly "list get= key= output= html";
        "symbolize" Nothing 1 Briefly "all";
        "tar" Nothing 1 Briefly "";
        "trace" Nothing 1 Briefly "";
        "umount" Nothing 1 Always "sync-fd=";
        "uninstall" Nothing 1 Briefly "";
        "update" Only 1 Briefly UPDATE;
        "usage" Only 1 Briefly "full fd";
        "wait" Only 1 Always "rootpid= pid= checkpoint restore fscheckpoint fsrestore";
        "write-control" First 1 Briefly "";
    },
};

pub(super) static KATA: Runtime = Runtime {
    name: "kata-runtime",
    dialect: Dialect::Urfave,
    options: words!(
        "config= kata-config= log= log-format= root= rootless= show-default-config-paths \
        kata-show-default-config-paths systemd-cgroup version,v"
    ),
    has_init: false,
    commands: commands! { "kata-runtime":
        "check" | "kata-check" Nothing 0 Briefly "check-version-only include-all-releases \
            no-network-checks,n only-list-releases strict,s verbose,v";
        "create" Only 0 Briefly CREATE;
        "delete" Only 0 Briefly "force,f";
        "direct-volume" Nothing 1 Briefly "";
        "env" | "kata-env" Nothing 0 Briefly "json";
        "events" Only 0 UnlessStats "interval= stats";
        // From 2.0 a console in the sandbox; in 1.x as runc's.
        "exec" First 1 UnlessDetached EXEC;
        "factory" Nothing 1 Briefly "";
        "help" | "h" Nothing 0 Briefly "";
        "iptables" Nothing 1 Briefly "";
        "kata-network" Nothing 1 Briefly "";
        "kata-overhead" First 0 Briefly "";
        "kill" First 0 Briefly "all,a";
        "list" Nothing 0 Briefly "format,f= quiet,q kata-all";
        "metrics" | "kata-metrics" Only 0 Briefly "";
        "pause" Only 0 Briefly "";
        "policy" Nothing 1 Briefly "";
        "ps" First 1 Briefly "format,f=";
        "resume" Only 0 Briefly "";
        "run" Only 0 UnlessDetached RUN;
        "spec" Nothing 0 Briefly "bundle,b=";
        "start" Only 0 Briefly "";
        "state" Only 0 Briefly "";
        "update" Only 0 Briefly UPDATE;
        "version" Nothing 0 Briefly "";
    },
};

// Runc's; the lists of `kata-runtime` 1.x are shorter, `console` apart, those of
// `update` nearly the same everywhere.

const CREATE: &str = "bundle,b= console= console-socket= pidfd-socket= pid-file= no-pivot \
    no-new-keyring preserve-fds=";

const RUN: &str = "bundle,b= console= console-socket= pidfd-socket= detach,d keep pid-file= \
    no-subreaper no-pivot no-new-keyring preserve-fds=";

const EXEC: &str = "console= console-socket= pidfd-socket= cwd= env,e= tty,t user,u= \
    additional-gids,g= process,p= detach,d pid-file= process-label= apparmor= no-new-privs cap,c= \
    preserve-fds= cgroup= ignore-paused no-subreaper kata-debug-port=";

const CHECKPOINT: &str = "image-path= work-path= parent-path= leave-running tcp-established \
    tcp-skip-in-flight link-remap ext-unix-sk shell-job lazy-pages status-fd= page-server= \
    file-locks pre-dump manage-cgroups-mode= empty-ns= auto-dedup";

const RESTORE: &str = "console-socket= image-path= work-path= tcp-established ext-unix-sk \
    shell-job file-locks manage-cgroups-mode= bundle,b= detach,d pid-file= no-subreaper no-pivot \
    empty-ns= auto-dedup lazy-pages lsm-profile= lsm-mount-context=";

const UPDATE: &str = "resources,r= blkio-weight= cpu-period= cpu-quota= cpu-burst= cpu-share= \
    cpu-rt-period= cpu-rt-runtime= cpuset-cpus= cpuset-mems= kernel-memory= kernel-memory-tcp= \
    memory= cpu-idle= memory-reservation= memory-swap= pids-limit= l3-cache-schema= \
    mem-bw-schema=";

const RUNSC_OPTIONS: &str = "root= log= log-format= debug systemd-cgroup debug-log= \
    debug-command= panic-log= coverage-report= log-packets pcap-log= debug-log-format= \
    debug-to-user-log alsologtostderr allow-flag-override traceback= metric-server= \
    metric-exporter-prefix= final-metrics-log= profiling-metrics= profiling-metrics-log= \
    profiling-metrics-rate-us= strace strace-syscalls= strace-log-size= strace-event platform= \
    platform_device_path= watchdog-action= panic-signal= profile profile-block= profile-cpu= \
    profile-gc-interval= profile-heap= profile-mutex= trace= rootless ref-leak-mode= \
    cpu-num-from-quota oci-seccomp enable-core-tags pod-init-config= host-settings= \
    sidecar-release-enforcement-policy= restore-spec-validation= systrap-disable-syscall-patching \
    systrap-disable-fast-path allow-suid kvm-use-cpu-nums allow-rootfs-tar-annotation \
    control-rpc-stop-timeout= shared-root= app-huge-pages file-access= file-access-mounts= overlay \
    overlay2= fsgofer-host-uds host-uds= host-fifo= character-device-policy= gvisor-marker-file \
    override-procs= vfs2 fuse lisafs cgroupfs ignore-cgroups mount-cgroup-v2 fdlimit= dcache= \
    iouring directfs TESTONLY-nftables network= gofer-network-namespace= net-raw \
    allow-packet-socket-write allow-live-tcp-migration gso software-gso gvisor-gro \
    tx-checksum-offload rx-checksum-offload qdisc= qdisc-tbf-rate= qdisc-tbf-burst= \
    num-network-channels= network-processors-per-channel= buffer-pooling EXPERIMENTAL-afxdp \
    EXPERIMENTAL-xdp= EXPERIMENTAL-xdp-need-wakeup reproduce-nat reproduce-nftables \
    net-disconnect-ok pause-external-networking allow-connected-on-save nvproxy nvproxy-docker \
    nvproxy-driver-version= nvproxy-allow-unsupported-driver nvproxy-allowed-driver-capabilities= \
    rdmaproxy tpuproxy TESTONLY-unsafe-nonroot TESTONLY-test-name-env= TESTONLY-afs-syscall-panic \
    TESTONLY-autosave-image-path= TESTONLY-autosave-resume log-fd= debug-log-fd= panic-log-fd= \
    coverage-fd= version";
