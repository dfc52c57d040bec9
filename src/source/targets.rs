//! Cgroup directories as the kernel side knows them: a hierarchy and an id. Ids
//! of different hierarchies collide, so an id alone says nothing.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

/// A mounted cgroup hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// The kernel's number for it; 0 is version 2.
    pub id: u32,
    /// Where it is mounted.
    pub mount: PathBuf,
    device: (u64, u64),
}

/// A cgroup to look for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// The hierarchy's number.
    pub hierarchy: u32,
    /// The directory's inode, which is the cgroup's id.
    pub id: u64,
}

/// Version 2's number.
const V2: u32 = 0;

/// Where v1 hosts put every container, best first.
const SHOWN_V1: [&str; 5] = ["memory", "pids", "cpu", "devices", "name=systemd"];

/// The hierarchies that are mounted, from `/proc/self/mountinfo` and `/proc/self/cgroup`.
pub fn hierarchies() -> Result<Vec<Hierarchy>> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("cannot read mountinfo")?;
    let cgroups = fs::read_to_string("/proc/self/cgroup").context("cannot read own cgroups")?;
    Ok(parse(&mounts, &cgroups)
        .into_iter()
        .map(|(h, _)| h)
        .collect())
}

/// The hierarchy to show where none is asked for: where v1 is in use, one that
/// runtimes put containers in, else v2.
pub fn shown_by_default() -> Result<Hierarchy> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("cannot read mountinfo")?;
    let cgroups = fs::read_to_string("/proc/self/cgroup").context("cannot read own cgroups")?;
    let known = parse(&mounts, &cgroups);
    let named = |name: &str| known.iter().find(|(_, names)| names.contains(name));
    let found = SHOWN_V1
        .iter()
        .find_map(|name| named(name))
        .or_else(|| known.iter().find(|(h, _)| h.id != V2))
        .or_else(|| known.first());
    match found {
        Some((hierarchy, _)) => Ok(hierarchy.clone()),
        // Nothing is mounted here, but the kernel has its default hierarchy all the same.
        None => Ok(Hierarchy {
            id: V2,
            mount: PathBuf::from("/sys/fs/cgroup"),
            device: (0, 0),
        }),
    }
}

/// Hierarchies with the names of what is bound to them.
fn parse(mountinfo: &str, proc_cgroup: &str) -> Vec<(Hierarchy, BTreeSet<String>)> {
    let mut found: Vec<(Hierarchy, BTreeSet<String>)> = Vec::new();
    for line in mountinfo.lines() {
        let Some((left, right)) = line.split_once(" - ") else {
            continue;
        };
        let (left, right): (Vec<_>, Vec<_>) =
            (left.split(' ').collect(), right.split(' ').collect());
        let (Some(device), Some(mount)) = (left.get(2), left.get(4)) else {
            continue;
        };
        let Some((major, minor)) = device.split_once(':') else {
            continue;
        };
        let (Ok(major), Ok(minor)) = (major.parse(), minor.parse()) else {
            continue;
        };
        let options: BTreeSet<&str> = right.get(2).copied().unwrap_or("").split(',').collect();
        let Some((id, names)) = hierarchy_number(right.first().copied(), &options, proc_cgroup)
        else {
            continue;
        };
        let hierarchy = Hierarchy {
            id,
            mount: PathBuf::from(unescape(mount)),
            device: (major, minor),
        };
        found.push((hierarchy, names));
    }
    found
}

/// A v1 mount is found among the process's own cgroups by its controllers or name.
fn hierarchy_number(
    kind: Option<&str>,
    options: &BTreeSet<&str>,
    proc_cgroup: &str,
) -> Option<(u32, BTreeSet<String>)> {
    match kind {
        Some("cgroup2") => Some((V2, BTreeSet::new())),
        Some("cgroup") => proc_cgroup.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':');
            let id: u32 = fields.next()?.parse().ok()?;
            let names = fields.next().filter(|names| !names.is_empty())?;
            let names: BTreeSet<&str> = names.split(',').collect();
            names
                .is_subset(options)
                .then(|| (id, names.into_iter().map(str::to_owned).collect()))
        }),
        _ => None,
    }
}

/// mountinfo writes blanks and the like in octal.
fn unescape(field: &str) -> String {
    let named = [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ];
    named
        .iter()
        .fold(field.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// The cgroup that a directory is, and the hierarchy that it belongs to.
///
/// # Errors
/// It does not exist, cannot be looked at, or is no cgroup's directory.
pub fn resolve(path: &Path, known: &[Hierarchy]) -> Result<(Target, Hierarchy)> {
    let shown = path.display();
    let meta = fs::metadata(path).with_context(|| format!("no such cgroup: {shown}"))?;
    let device = (
        u64::from(rustix::fs::major(meta.dev())),
        u64::from(rustix::fs::minor(meta.dev())),
    );
    let Some(hierarchy) = known.iter().find(|h| h.device == device) else {
        let places: Vec<_> = known
            .iter()
            .map(|h| h.mount.display().to_string())
            .collect();
        let hint = match places.is_empty() {
            true => "no cgroup hierarchy is mounted here".to_owned(),
            false => format!("cgroups are below {}", places.join(", ")),
        };
        bail!("not a cgroup: {shown} ({hint})");
    };
    if !meta.is_dir() {
        bail!("not a cgroup but a file in one: {shown} (give its directory)");
    }
    let target = Target {
        hierarchy: hierarchy.id,
        id: meta.ino(),
    };
    Ok((target, hierarchy.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 0:20 / /proc rw - proc proc rw
30 22 0:26 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:1 - cgroup cgroup rw,cpu,cpuacct
31 22 0:27 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
32 22 0:28 / /sys/fs/cgroup/my\\040own rw - cgroup cgroup rw,freezer
33 22 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw";
    const CGROUPS: &str = "9:name=systemd:/\n4:freezer:/a\n2:cpu,cpuacct:/\n0::/";

    #[test]
    fn mounts_are_matched_to_hierarchies() {
        let found = parse(MOUNTS, CGROUPS);
        let ids: Vec<_> = found.iter().map(|(h, _)| (h.id, h.device.1)).collect();
        assert_eq!(ids, [(2, 26), (9, 27), (4, 28), (0, 29)]);
        assert_eq!(found[2].0.mount, PathBuf::from("/sys/fs/cgroup/my own"));
        assert!(found[1].1.contains("name=systemd"));
    }

    #[test]
    fn what_is_no_cgroup_is_refused() {
        let error = resolve(Path::new("/proc"), &[]).unwrap_err();
        assert!(format!("{error:#}").contains("not a cgroup: /proc (no cgroup hierarchy"));
        let error = resolve(Path::new("/no/such/place"), &[]).unwrap_err();
        assert!(format!("{error:#}").starts_with("no such cgroup: /no/such/place"));
    }
}
