//! What this host has of what tracing needs: facts, read once, without judgement.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{Mode, OFlags, openat};

use super::targets::{self, Hierarchy};
use super::{privilege, tracefs};

/// The facts.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Release of the kernel.
    pub kernel: String,
    /// Architecture.
    pub machine: String,
    /// The kernel describes its types.
    pub btf: bool,
    /// The kernel has kprobes.
    pub kprobes: bool,
    /// Where tracefs is: mounted, or only for us.
    pub tracefs: Tracefs,
    /// Mounted cgroup hierarchies.
    pub hierarchies: Vec<Hierarchy>,
    /// The kernel's lockdown mode, where it tells.
    pub lockdown: Option<String>,
    /// `kernel.perf_event_paranoid`.
    pub paranoid: Option<i32>,
    /// Limit of locked memory, bytes; none if unlimited.
    pub memlock_bytes: Option<u64>,
    /// Effective capabilities, as a bit set.
    pub capabilities: u64,
    /// We are in a pid namespace of our own.
    pub pid_namespace: bool,
    /// We are in a user namespace of our own: no capability counts outside of it.
    pub user_namespace: bool,
}

/// How tracefs can be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tracefs {
    /// It is mounted where everybody sees it.
    Mounted,
    /// It can be mounted for execlat alone.
    Private,
    /// Not at all.
    #[default]
    Absent,
}

/// The host's namespaces: PROC_PID_INIT_INO and PROC_USER_INIT_INO, include/linux/proc_ns.h.
const HOST_PIDS: u64 = 0xefff_fffc;
const HOST_USERS: u64 = 0xefff_fffd;

impl Facts {
    /// Reads them. What cannot be read is taken for absent.
    pub fn read() -> Facts {
        let uname = rustix::system::uname();
        let limit = rustix::process::getrlimit(rustix::process::Resource::Memlock);
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let lockdown = read_lockdown().ok().as_deref().and_then(chosen);
        let paranoid = fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").ok();
        Facts {
            kernel: uname.release().to_string_lossy().into_owned(),
            machine: uname.machine().to_string_lossy().into_owned(),
            btf: Path::new("/sys/kernel/btf/vmlinux").exists(),
            kprobes: Path::new("/sys/bus/event_source/devices/kprobe").exists(),
            tracefs: tracefs::availability(lockdown.as_deref()),
            hierarchies: targets::hierarchies().unwrap_or_default(),
            lockdown,
            paranoid: paranoid.and_then(|text| text.trim().parse().ok()),
            memlock_bytes: limit.current,
            capabilities: privilege::effective(&status).unwrap_or(u64::MAX),
            pid_namespace: is_other("pid", HOST_PIDS),
            user_namespace: is_other("user", HOST_USERS),
        }
    }

    /// The first two numbers of the release; the highest if there are none.
    pub fn version(&self) -> (u32, u32) {
        let mut numbers = self
            .kernel
            .split(|c: char| !c.is_ascii_digit())
            .map_while(|n| n.parse().ok());
        let mut next = || numbers.next().unwrap_or(u32::MAX);
        (next(), next())
    }

    /// Capabilities that are missing.
    pub fn missing_capabilities(&self) -> Vec<&'static str> {
        privilege::missing(self.capabilities)
    }

    /// Whether CAP_SYS_ADMIN is held and counts; perf_event_paranoid does not touch it.
    pub fn is_admin(&self) -> bool {
        !self.user_namespace && privilege::is_admin(self.capabilities)
    }
}

/// Whether our namespace of this kind is another than the host's.
fn is_other(kind: &str, hosts: u64) -> bool {
    fs::metadata(format!("/proc/self/ns/{kind}")).is_ok_and(|ns| ns.ino() != hosts)
}

/// securityfs is not mounted everywhere; then it is mounted for us alone.
fn read_lockdown() -> io::Result<String> {
    fs::read_to_string("/sys/kernel/security/lockdown").or_else(|_| {
        let root = tracefs::mount_private("securityfs")?;
        let file = openat(&root, "lockdown", OFlags::RDONLY, Mode::empty());
        let lockdown = file.map(File::from).map(io::read_to_string);
        tracefs::unmount(root);
        lockdown?
    })
}

/// The word in brackets: `none [integrity] confidentiality`.
fn chosen(line: &str) -> Option<String> {
    let (_, rest) = line.split_once('[')?;
    let (word, _) = rest.split_once(']')?;
    Some(word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_in_brackets_is_chosen() {
        assert_eq!(
            chosen("none [integrity] confidentiality\n").as_deref(),
            Some("integrity")
        );
        assert_eq!(chosen("nothing"), None);
    }
}
