//! What container runtimes keep on disk about their containers, read for the cgroups
//! that they put them in. A runtime's command runs in its caller's cgroup, so nothing
//! else says where `web` of `runc state web` is.
//!
//! Pure: bytes of files in, cgroup directories out. These formats are the runtimes' own,
//! and a file may be half written: what cannot be read gives no cgroup.
//!
//! Left out: kata-containers keeps its containers in a store of its own, by sandbox, and
//! their processes are in a virtual machine; runsc's file has the whole configuration
//! of its sandbox, under a name that changes with the version.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// A container has one cgroup for each hierarchy, of which there are some 14 at most.
const CGROUPS_MAX: usize = 64;

/// Where a container is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatePlace {
    /// The directory where its runtime keeps its containers, as [`root_of`] has it.
    pub root: String,
    /// Its id, which is its own only below that root.
    pub id: String,
    /// Directories of its cgroups, one for each hierarchy; absolute, without `..`. They may
    /// be gone. None where the runtime keeps nothing of that id.
    pub cgroups: Vec<String>,
    /// When it was read, `CLOCK_MONOTONIC` nanoseconds.
    #[serde(default)]
    pub read_ns: u64,
}

/// Roots that runtimes have by default when root calls them. Podman and CRI-O leave it
/// at that.
pub const ROOTS: [&str; 3] = [RUNC_ROOT, CRUN_ROOT, YOUKI_ROOT];
const RUNC_ROOT: &str = "/run/runc";
const CRUN_ROOT: &str = "/run/crun";
const YOUKI_ROOT: &str = "/run/youki";

/// Directories in which engines have a root for each of their namespaces (`moby`,
/// `k8s.io`, `default`, `plugins.moby`): containerd's, dockerd's, and that of dockerd's
/// plugins, as some versions have it. dockerd's bears runc's name whatever the runtime.
pub const NAMESPACED: [&str; 3] = [
    "/run/containerd/runc",
    "/run/docker/runtime-runc",
    "/run/docker/plugins/runtime-root",
];

/// The directory where a runtime that was called as `runtime` keeps its containers;
/// `given` is the value of its `--root`, if it has one. This is what tells containers
/// with one id apart, so every part of execlat gets it from here.
///
/// None for a path that depends on more than the command line: a relative one, or one
/// with `..`, which may lead through a symbolic link.
pub fn root_of(runtime: &str, given: Option<&[u8]>) -> Option<String> {
    match given {
        Some(path) => path_of(path),
        None => default_root(runtime).map(str::to_owned),
    }
}

/// Those of runsc and kata-containers are nothing but names here.
fn default_root(runtime: &str) -> Option<&'static str> {
    match runtime {
        "runc" => Some(RUNC_ROOT),
        "crun" => Some(CRUN_ROOT),
        "youki" => Some(YOUKI_ROOT),
        "runsc" => Some("/run/runsc"),
        "kata-runtime" => Some("/run/kata-containers"),
        _ => None,
    }
}

/// A path as a command line has it, in one way of writing; None as of [`root_of`].
pub fn path_of(path: &[u8]) -> Option<String> {
    let path = normal(str::from_utf8(path).ok()?)?;
    match path.strip_prefix("/var/run") {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => Some(format!("/run{rest}")),
        _ => Some(path),
    }
}

/// An absolute path without what changes nothing: `/a//./b/` is `/a/b`.
fn normal(path: &str) -> Option<String> {
    let names = || path.split('/').filter(|name| !matches!(*name, "" | "."));
    if !path.starts_with('/') || names().any(|name| name == "..") {
        return None;
    }
    Some(format!("/{}", names().collect::<Vec<_>>().join("/")))
}

/// Directories to look in for a root's containers. crun has another default where
/// `XDG_RUNTIME_DIR` is set, as it is when root has logged in; a command line does not
/// tell which.
pub fn directories(root: &str) -> impl Iterator<Item = &str> {
    let other = (root == CRUN_ROOT).then_some("/run/user/0/crun");
    std::iter::once(root).chain(other)
}

/// A file that a runtime keeps in each container's directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// runc's `state.json`.
    Runc,
    /// crun's `status`.
    Crun,
    /// youki's `youki_config.json`; it has a `state.json` too, without a cgroup.
    Youki,
}

impl Format {
    /// All of them. A root may hold several runtimes' containers: dockerd has one root.
    pub const ALL: [Format; 3] = [Format::Runc, Format::Crun, Format::Youki];

    /// Its name.
    pub fn file(self) -> &'static str {
        match self {
            Format::Runc => "state.json",
            Format::Crun => "status",
            Format::Youki => "youki_config.json",
        }
    }

    /// Whether a runtime keeps such a file, by its name.
    pub fn is_kept_by(runtime: &str) -> bool {
        matches!(runtime, "runc" | "crun" | "youki")
    }

    /// Directories of the cgroups of the container `id`; None if there are none. crun
    /// and youki keep one path and use it in every hierarchy: `mounts` says where those
    /// are mounted.
    pub fn cgroups(self, bytes: &[u8], id: &str, mounts: &[String]) -> Option<Vec<String>> {
        let found = match self {
            Format::Runc => of_runc(bytes, id)?,
            Format::Crun => in_each(&of_crun(bytes)?, mounts),
            Format::Youki => in_each(&of_youki(bytes)?, mounts),
        };
        (!found.is_empty()).then_some(found)
    }
}

/// A directory for each hierarchy, as runc has them. With v1, several controllers may
/// share one.
fn of_runc(state: &[u8], id: &str) -> Option<Vec<String>> {
    #[derive(Deserialize)]
    struct State {
        id: String,
        cgroup_paths: BTreeMap<String, String>,
    }
    let state: State = serde_json::from_slice(state).ok()?;
    if state.id != id {
        return None;
    }
    let paths = state.cgroup_paths.values().take(CGROUPS_MAX);
    let paths: BTreeSet<String> = paths.filter_map(|path| normal(path)).collect();
    Some(paths.into_iter().collect())
}

/// With systemd it is the path that systemd chose, with crun's own cgroup below the
/// scope; `scope` and `systemd-cgroup` add nothing. Empty where cgroups are disabled.
fn of_crun(status: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Status {
        #[serde(rename = "cgroup-path")]
        cgroup_path: String,
    }
    let status: Status = serde_json::from_slice(status).ok()?;
    let path = Some(status.cgroup_path).filter(|path| !path.is_empty())?;
    normal(&path)
}

/// The path as its caller gave it. With systemd a relative one is three names
/// (`slice:prefix:name`), which we do not resolve. Up to 0.4.1 at least, the file does
/// not say whether it is with systemd.
fn of_youki(config: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Config {
        cgroup_path: Option<String>,
        cgroup_config: Option<Cgroup>,
    }
    #[derive(Deserialize)]
    struct Cgroup {
        cgroup_path: String,
        systemd_cgroup: bool,
    }
    let config: Config = serde_json::from_slice(config).ok()?;
    let (path, systemd) = match config.cgroup_config {
        Some(cgroup) => (cgroup.cgroup_path, cgroup.systemd_cgroup),
        None => (config.cgroup_path?, true),
    };
    match path.starts_with('/') {
        true => normal(&path),
        false if systemd || path.is_empty() => None,
        false => normal(&format!("/{path}")),
    }
}

/// Directories of the cgroups that a bundle's `config.json` asks for. A runtime that fails
/// before it has made anything leaves nothing else to go by.
pub fn of_bundle(config: &[u8], mounts: &[String]) -> Option<Vec<String>> {
    #[derive(Deserialize)]
    struct Config {
        linux: Linux,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Linux {
        cgroups_path: String,
    }
    let config: Config = serde_json::from_slice(config).ok()?;
    let path = config.linux.cgroups_path;
    let path = match path.starts_with('/') {
        true => path,
        false => of_systemd(&path)?,
    };
    let found = in_each(&normal(&path)?, mounts);
    (!found.is_empty()).then_some(found)
}

/// Where systemd puts `slice:prefix:name`: each part of a slice's name is a level.
fn of_systemd(names: &str) -> Option<String> {
    let mut names = names.split(':');
    let (slice, prefix, name) = (names.next()?, names.next()?, names.next()?);
    let slice = slice.strip_suffix(".slice").filter(|s| !s.is_empty())?;
    let ends = slice.match_indices('-').map(|(at, _)| at);
    let levels = ends.chain([slice.len()]);
    let above: String = levels
        .map(|end| format!("/{}.slice", &slice[..end]))
        .collect();
    Some(format!("{above}/{prefix}-{name}.scope"))
}

/// The directories that have this path in their hierarchy.
fn in_each(path: &str, mounts: &[String]) -> Vec<String> {
    let joined = mounts.iter().take(CGROUPS_MAX);
    let joined = joined.filter_map(|mount| normal(&format!("{mount}{path}")));
    joined.collect()
}

#[cfg(test)]
mod tests;
