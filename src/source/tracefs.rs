//! Probes made through tracefs: it alone takes the number of instances of a
//! kretprobe, and counts on every kernel what was missed.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;

use anyhow::{Context as _, Result};
use rustix::fs::{Mode, OFlags, openat};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

use super::host::Tracefs;

/// Instances of a kretprobe. The default is as many as CPUs, or twice that: execs
/// that wait on a disk use them up, and then others are missed unseen.
pub const KRETPROBE_INSTANCES: u32 = 256;

/// Trace events of our own in tracefs, which alone takes the number of instances of
/// a kretprobe. tracefs is mounted for us alone: nothing else sees that mount.
#[derive(Debug)]
pub struct TraceEvents {
    root: OwnedFd,
    group: String,
    names: Vec<String>,
}

impl TraceEvents {
    /// Finds or mounts tracefs.
    ///
    /// # Errors
    /// It cannot be had.
    pub fn open() -> Result<TraceEvents> {
        let root = match mounted() {
            Some(root) => root,
            None => mount().context("cannot mount tracefs")?,
        };
        let events = TraceEvents {
            root,
            group: format!("execlat_{}", std::process::id()),
            names: Vec::new(),
        };
        events.remove_stale();
        Ok(events)
    }

    fn write(&self, line: &str) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::APPEND;
        let file = openat(&self.root, "kprobe_events", flags, Mode::empty())?;
        File::from(file).write_all(line.as_bytes())
    }

    fn read(&self, path: &str) -> io::Result<String> {
        let file = openat(&self.root, path, OFlags::RDONLY, Mode::empty())?;
        let mut text = String::new();
        File::from(file).read_to_string(&mut text)?;
        Ok(text)
    }

    /// Makes an event on a function's entry, or on its return, and tells its id.
    ///
    /// # Errors
    /// `NotFound`: the kernel has no such function.
    pub fn add(&mut self, function: &str, on_return: bool) -> io::Result<u64> {
        let group = &self.group;
        let kind = match on_return {
            true => format!("r{KRETPROBE_INSTANCES}"),
            false => "p".to_owned(),
        };
        self.write(&format!("{kind}:{group}/{function} {function}\n"))?;
        self.names.push(function.to_owned());
        let id = self.read(&format!("events/{group}/{function}/id"))?;
        id.trim().parse().map_err(io::Error::other)
    }

    /// How often each of our probes was missed: a kretprobe without a free instance,
    /// a probe hit within a probe.
    pub fn missed(&self) -> Vec<(String, u64)> {
        let profile = self.read("kprobe_profile").unwrap_or_default();
        profile
            .lines()
            .filter_map(|line| {
                // Name, hits, misses.
                let mut fields = line.split_whitespace();
                let name = fields
                    .next()
                    .filter(|name| self.names.iter().any(|n| n == name))?;
                let missed = fields.nth(1)?.parse().ok()?;
                (missed > 0).then(|| (name.to_owned(), missed))
            })
            .collect()
    }

    /// Events of runs that were killed stay behind, disabled; theirs are removed here.
    fn remove_stale(&self) {
        let Ok(all) = self.read("kprobe_events") else {
            return;
        };
        for event in all.lines().filter_map(stale_event) {
            // Another run may remove it at the same time.
            let _ = self.write(&format!("-:{event}\n"));
        }
    }
}

/// `group/name` in a line of `kprobe_events`, if it is ours and its maker is no more.
fn stale_event(line: &str) -> Option<&str> {
    let event = line.split_once(':')?.1.split(' ').next()?;
    let pid = event.strip_prefix("execlat_")?.split('/').next()?;
    let gone = !std::path::Path::new("/proc").join(pid).exists();
    gone.then_some(event)
}

impl Drop for TraceEvents {
    fn drop(&mut self) {
        for name in &self.names {
            // Fails while somebody else uses it; a later run removes it then.
            let _ = self.write(&format!("-:{}/{name}\n", self.group));
        }
    }
}

/// How tracefs can be had here. It is not mounted to find out under
/// `lockdown=confidentiality`, where it is of no use: nothing in the kernel holds it
/// there, so that it goes with its last mount, and Linux 6.12 does not survive that.
pub fn availability(lockdown: Option<&str>) -> Tracefs {
    if mounted().is_some() {
        Tracefs::Mounted
    } else if let (true, Ok(mount)) = (lockdown != Some("confidentiality"), mount()) {
        unmount(mount);
        Tracefs::Private
    } else {
        Tracefs::Absent
    }
}

fn mounted() -> Option<OwnedFd> {
    let root = openat(
        rustix::fs::CWD,
        "/sys/kernel/tracing",
        OFlags::PATH,
        Mode::empty(),
    )
    .ok()?;
    openat(&root, "kprobe_events", OFlags::RDONLY, Mode::empty()).ok()?;
    Some(root)
}

/// The last descriptor of such a mount waits for RCU when it is closed, on a busy host for
/// seconds: nobody waits for that.
pub fn unmount(mount: OwnedFd) {
    let close = std::thread::Builder::new().name("unmount".to_owned());
    // Without a thread it is closed here.
    drop(close.spawn(move || drop(mount)));
}

/// Mounts a file system of the kernel's where nobody but us sees it.
pub fn mount_private(kind: &str) -> io::Result<OwnedFd> {
    let fs = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&fs)?;
    let flags = FsMountFlags::FSMOUNT_CLOEXEC;
    Ok(fsmount(&fs, flags, MountAttrFlags::empty())?)
}

fn mount() -> io::Result<OwnedFd> {
    let mount = mount_private("tracefs")?;
    // A kernel without kprobes has a tracefs without this file.
    openat(&mount, "kprobe_events", OFlags::RDONLY, Mode::empty())?;
    Ok(mount)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_events_of_dead_runs_are_stale() {
        let own = format!("r256:execlat_{}/x x", std::process::id());
        assert_eq!(stale_event(&own), None);
        let dead = "r256:execlat_999999999/__x64_sys_execve __x64_sys_execve";
        assert_eq!(
            stale_event(dead),
            Some("execlat_999999999/__x64_sys_execve")
        );
        assert_eq!(stale_event("p:kprobes/do_exit do_exit"), None);
    }
}
