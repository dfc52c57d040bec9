//! Cgroup directories as the kernel side knows them: a hierarchy and an id. Ids
//! of different hierarchies collide, so an id alone says nothing.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
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
    /// The cgroup that is seen there, and our own: from the root of our cgroup namespace,
    /// which may begin with `/..`.
    seen: String,
    own: String,
}

impl Hierarchy {
    /// The path of the cgroup that is seen at the mount, from the hierarchy's root; `own` is
    /// that of our own cgroup. None where our namespace begins beside us, and so does the
    /// mount.
    pub fn root(&self, own: &str) -> Option<String> {
        let (own_ups, below) = ups(&self.own);
        let (seen_ups, seen) = ups(&self.seen);
        // Where our own path leaves the namespace's root, if it has to.
        let known = own.strip_suffix(below)?;
        let mut at = known.trim_end_matches('/');
        for _ in 0..seen_ups.checked_sub(own_ups)? {
            at = at.rsplit_once('/').map_or("", |(above, _)| above);
        }
        let root = format!("{at}{seen}");
        Some(if root.is_empty() {
            "/".to_owned()
        } else {
            root
        })
    }
}

/// How often a path goes up, and what follows.
fn ups(path: &str) -> (usize, &str) {
    let (mut count, mut rest) = (0, path.trim_end_matches('/'));
    while let Some(after) = rest
        .strip_prefix("/..")
        .filter(|r| r.is_empty() || r.starts_with('/'))
    {
        (count, rest) = (count + 1, after);
    }
    (count, rest)
}

/// A cgroup to look for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// The hierarchy's number.
    pub hierarchy: u32,
    /// The directory's inode, which is the cgroup's id.
    pub id: u64,
    /// The directory's file system, which is the hierarchy's own.
    pub device: u64,
}

/// Version 2's number.
const V2: u32 = 0;

/// Where v1 hosts put every container, best first.
const SHOWN_V1: [&str; 5] = ["memory", "pids", "cpu", "devices", "name=systemd"];

/// The hierarchies that are mounted.
pub fn hierarchies() -> Result<Vec<Hierarchy>> {
    Ok(known()?.into_iter().map(|(h, _)| h).collect())
}

/// The same with the names of what is bound to them. Any user may mount something in a place
/// whose name is not UTF-8.
fn known() -> Result<Vec<(Hierarchy, BTreeSet<String>)>> {
    let mounts = fs::read("/proc/self/mountinfo").context("cannot read mountinfo")?;
    let cgroups = fs::read("/proc/self/cgroup").context("cannot read own cgroups")?;
    let text = String::from_utf8_lossy;
    Ok(parse(&text(&mounts), &text(&cgroups)))
}

/// The hierarchy to show where none is asked for: where v1 is in use, one that
/// runtimes put containers in, else v2.
pub fn shown_by_default() -> Result<Hierarchy> {
    let known = known()?;
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
            seen: "/".to_owned(),
            own: "/".to_owned(),
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
        let [_, _, device, seen, mount, ..] = left[..] else {
            continue;
        };
        let Some((major, minor)) = device.split_once(':') else {
            continue;
        };
        let (Ok(major), Ok(minor)) = (major.parse(), minor.parse()) else {
            continue;
        };
        let options: BTreeSet<&str> = right.get(2).copied().unwrap_or("").split(',').collect();
        let Some(bound) = bound(right.first().copied(), &options, proc_cgroup) else {
            continue;
        };
        let hierarchy = Hierarchy {
            id: bound.id,
            mount: PathBuf::from(unescape(mount)),
            device: (major, minor),
            seen: unescape(seen),
            own: bound.own.to_owned(),
        };
        found.push((hierarchy, bound.names));
    }
    found
}

/// A line of `/proc/PID/cgroup`.
struct Bound<'a> {
    id: u32,
    names: BTreeSet<String>,
    own: &'a str,
}

/// A v1 mount is found among the process's own cgroups by its controllers or name.
fn bound<'a>(
    kind: Option<&str>,
    options: &BTreeSet<&str>,
    proc_cgroup: &'a str,
) -> Option<Bound<'a>> {
    let mut lines = proc_cgroup.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':');
        let id: u32 = fields.next()?.parse().ok()?;
        let names = fields.next()?.split(',').filter(|name| !name.is_empty());
        let names: BTreeSet<&str> = names.collect();
        Some((id, names, fields.next().unwrap_or("/")))
    });
    let (id, names, own) = match kind? {
        // Where it is not in use at all, it has no line.
        "cgroup2" => lines
            .find(|(id, ..)| *id == V2)
            .unwrap_or((V2, BTreeSet::new(), "/")),
        "cgroup" => lines.find(|(id, names, _)| *id != V2 && names.is_subset(options))?,
        _ => return None,
    };
    let names = names.into_iter().map(str::to_owned).collect();
    Some(Bound { id, names, own })
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
    let places = || {
        let mounts = known.iter().map(|h| h.mount.display().to_string());
        let places: Vec<_> = mounts.collect();
        match places.is_empty() {
            true => "no cgroup hierarchy is mounted here".to_owned(),
            false => format!("cgroups are below {}", places.join(", ")),
        }
    };
    let meta = match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!("no such cgroup: {shown} ({})", places())
        }
        meta => meta.with_context(|| format!("cannot look at the cgroup {shown}"))?,
    };
    let device = (
        u64::from(rustix::fs::major(meta.dev())),
        u64::from(rustix::fs::minor(meta.dev())),
    );
    // Of several mounts of one hierarchy, the one that it is seen through.
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let through = |h: &&Hierarchy| {
        real.starts_with(&h.mount)
            .then(|| h.mount.as_os_str().len())
    };
    let Some(hierarchy) = known
        .iter()
        .filter(|h| h.device == device)
        .max_by_key(through)
    else {
        bail!("not a cgroup: {shown} ({})", places());
    };
    if !meta.is_dir() {
        bail!("not a cgroup but a file in one: {shown} (give its directory)");
    }
    let target = Target {
        hierarchy: hierarchy.id,
        id: meta.ino(),
        device: meta.dev(),
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
        assert_eq!(found[2].0.own, "/a");
    }

    #[test]
    fn what_is_no_cgroup_is_refused() {
        let error = resolve(Path::new("/proc"), &[]).unwrap_err();
        assert!(format!("{error:#}").contains("not a cgroup: /proc (no cgroup hierarchy"));
        let error = resolve(Path::new("/no/such/place"), &[]).unwrap_err();
        let begins = "no such cgroup: /no/such/place (no cgroup hierarchy is mounted here)";
        assert!(format!("{error:#}").starts_with(begins), "{error:#}");
        let known: Vec<_> = parse(MOUNTS, CGROUPS).into_iter().map(|(h, _)| h).collect();
        for path in ["/no/such/place", "/proc"] {
            let error = resolve(Path::new(path), &known).unwrap_err();
            let places = "(cgroups are below /sys/fs/cgroup/cpu,cpuacct, /sys/fs/cgroup/systemd, ";
            assert!(format!("{error:#}").contains(places), "{error:#}");
        }
    }

    #[test]
    fn what_a_mount_shows_is_told_from_where_we_are() {
        let hierarchy = |seen: &str, own: &str| Hierarchy {
            id: 0,
            mount: "/cg".into(),
            device: (0, 1),
            seen: seen.into(),
            own: own.into(),
        };
        let root = |seen, own, path| hierarchy(seen, own).root(path);
        // On a host; a cgroup of it, mounted elsewhere.
        assert_eq!(root("/", "/a/b", "/a/b").as_deref(), Some("/"));
        assert_eq!(root("/x/y", "/", "/").as_deref(), Some("/x/y"));
        // In a namespace whose root is /docker/0f.
        assert_eq!(
            root("/", "/b", "/docker/0f/b").as_deref(),
            Some("/docker/0f")
        );
        assert_eq!(
            root("/c", "/", "/docker/0f").as_deref(),
            Some("/docker/0f/c")
        );
        assert_eq!(root("/../..", "/", "/docker/0f").as_deref(), Some("/"));
        assert_eq!(root("/../../b", "/../..", "/").as_deref(), Some("/b"));
        assert_eq!(
            root("/../..x", "/", "/docker/0f").as_deref(),
            Some("/docker/..x")
        );
        // We are beside its root.
        assert_eq!(
            root("/../b", "/../2e", "/docker/2e").as_deref(),
            Some("/docker/b")
        );
        assert_eq!(root("/", "/../2e", "/docker/2e"), None);
        // We were moved meanwhile.
        assert_eq!(root("/", "/b", "/docker/0f/c"), None);
    }
}
