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
mod tests {
    use super::*;

    fn root(runtime: &str, given: &str) -> Option<String> {
        root_of(runtime, Some(given.as_bytes()))
    }

    fn mounts() -> Vec<String> {
        ["/sys/fs/cgroup/memory", "/sys/fs/cgroup/unified"]
            .map(str::to_owned)
            .to_vec()
    }

    #[test]
    fn a_root_is_written_in_one_way() {
        for (given, normal) in [
            ("/r", Some("/r")),
            ("/run/runc/", Some("/run/runc")),
            ("//run///runc//", Some("/run/runc")),
            ("/run/./runc/.", Some("/run/runc")),
            (
                "/var/run/docker/runtime-runc/moby",
                Some("/run/docker/runtime-runc/moby"),
            ),
            ("/var//run/runc", Some("/run/runc")),
            ("/var/run", Some("/run")),
            ("/var/running", Some("/var/running")),
            ("/srv/var/run", Some("/srv/var/run")),
            ("/a/..b", Some("/a/..b")),
            ("/", Some("/")),
            ("/run/../r", None),
            ("/run/..", None),
            ("run/runc", None),
            ("./r", None),
            ("", None),
        ] {
            assert_eq!(root("runc", given).as_deref(), normal, "{given}");
        }
        assert_eq!(root_of("runc", Some(b"/\xff")), None);
    }

    #[test]
    fn without_a_root_it_is_the_runtimes() {
        for (runtime, expected) in [
            ("runc", Some("/run/runc")),
            ("crun", Some("/run/crun")),
            ("youki", Some("/run/youki")),
            ("runsc", Some("/run/runsc")),
            ("kata-runtime", Some("/run/kata-containers")),
            ("sh", None),
        ] {
            assert_eq!(root_of(runtime, None).as_deref(), expected);
        }
    }

    /// Else an answer about one would be for a key that nobody asks for.
    #[test]
    fn what_is_listed_is_written_in_that_way() {
        for path in ROOTS.iter().chain(&NAMESPACED) {
            assert_eq!(root("runc", path).as_deref(), Some(*path));
        }
    }

    #[test]
    fn crun_has_two_places_by_default() {
        let found: Vec<_> = directories("/run/crun").collect();
        assert_eq!(found, ["/run/crun", "/run/user/0/crun"]);
        assert_eq!(directories("/run/runc").collect::<Vec<_>>(), ["/run/runc"]);
    }

    /// As runc 1.1.5 wrote it on a hybrid host, without most of `config`.
    const RUNC_V1: &[u8] = br#"{"id":"web","init_process_pid":29876,"init_process_start":457001,
        "created":"2026-11-26T23:48:44.1Z","config":{"no_pivot_root":false,"rootfs":"/b/rootfs",
        "cgroups":{"name":"web","path":"/garden/web","scope_prefix":"","Paths":null}},
        "rootless":false,"cgroup_paths":{"":"/sys/fs/cgroup/unified/garden/web",
        "cpu":"/sys/fs/cgroup/cpu,cpuacct/garden/web","cpuacct":"/sys/fs/cgroup/cpu,cpuacct/garden/web",
        "memory":"/sys/fs/cgroup/memory/garden/web","name=systemd":"/sys/fs/cgroup/systemd/garden/web"},
        "namespace_paths":{"NEWCGROUP":"/proc/29876/ns/cgroup"},"external_descriptors":["/dev/null"],
        "intel_rdt_path":""}"#;

    #[test]
    fn runc_keeps_a_directory_for_each_hierarchy() {
        let found = Format::Runc.cgroups(RUNC_V1, "web", &[]);
        let expected = ["cpu,cpuacct", "memory", "systemd", "unified"];
        let expected = expected.map(|name| format!("/sys/fs/cgroup/{name}/garden/web"));
        assert_eq!(found.as_deref(), Some(&expected[..]));
        let v2 = br#"{"id":"web","cgroup_paths":{"":"/sys/fs/cgroup/garden/web"}}"#;
        let found = Format::Runc.cgroups(v2, "web", &mounts());
        assert_eq!(found, Some(vec!["/sys/fs/cgroup/garden/web".to_owned()]));
    }

    #[test]
    fn a_state_of_another_container_is_none() {
        assert_eq!(Format::Runc.cgroups(RUNC_V1, "we", &[]), None);
    }

    #[test]
    fn only_absolute_directories_count() {
        let state = br#"{"id":"web","cgroup_paths":{"a":"","b":"x/y","c":"/s/../e","d":"/s//x/"}}"#;
        let found = Format::Runc.cgroups(state, "web", &[]);
        assert_eq!(found, Some(vec!["/s/x".to_owned()]));
        let none = br#"{"id":"web","cgroup_paths":{"a":""}}"#;
        assert_eq!(Format::Runc.cgroups(none, "web", &[]), None);
    }

    #[test]
    fn a_state_has_only_so_many_directories() {
        let paths = (0..=CGROUPS_MAX).map(|n| format!(r#""{n}":"/{n}""#));
        let paths = paths.collect::<Vec<_>>().join(",");
        let state = format!(r#"{{"id":"web","cgroup_paths":{{{paths}}}}}"#);
        let found = Format::Runc.cgroups(state.as_bytes(), "web", &[]);
        assert_eq!(found.map(|found| found.len()), Some(CGROUPS_MAX));
    }

    /// As crun 1.8.1 wrote it, but for names.
    fn status(path: &str) -> Vec<u8> {
        let text = r#"{
    "pid": 30393,
    "process-start-time": 457248,
    "cgroup-path": "PATH",
    "scope": "",
    "rootfs": "/b/rootfs",
    "systemd-cgroup": false,
    "bundle": "/b",
    "created": "2026-11-26T23:48:44.337537Z",
    "owner": "root",
    "detached": true,
    "external_descriptors": "[\"/dev/null\",\"/dev/null\",\"/dev/null\"]"
}"#;
        text.replace("PATH", path).into_bytes()
    }

    #[test]
    fn cruns_path_is_that_in_every_hierarchy() {
        let of = |path| Format::Crun.cgroups(&status(path), "web", &mounts());
        let garden = [
            "/sys/fs/cgroup/memory/garden/web",
            "/sys/fs/cgroup/unified/garden/web",
        ];
        assert_eq!(of("/garden/web"), Some(garden.map(str::to_owned).to_vec()));
        let scope = of("/system.slice/crun-web.scope/container").expect("found");
        assert!(scope[0].ends_with("/memory/system.slice/crun-web.scope/container"));
        assert_eq!(of("/"), Some(mounts()));
        assert_eq!(of(""), None);
        assert_eq!(of("/garden/../web"), None);
        assert_eq!(of("garden/web"), None);
        let unmounted = Format::Crun.cgroups(&status("/garden/web"), "web", &[]);
        assert_eq!(unmounted, None);
    }

    #[test]
    fn youki_keeps_the_path_that_it_was_given() {
        let of = |text: &str| Format::Youki.cgroups(text.as_bytes(), "web", &mounts()[1..]);
        let garden = Some(vec!["/sys/fs/cgroup/unified/garden/web".to_owned()]);
        let old = |path| of(&format!(r#"{{"hooks":null,"cgroup_path":"{path}"}}"#));
        assert_eq!(old("/garden/web"), garden);
        assert_eq!(old(":youki:web"), None);
        let new = |path, systemd| {
            of(&format!(
                r#"{{"hooks":null,"cgroup_config":{{"cgroup_path":"{path}",
                    "systemd_cgroup":{systemd},"container_name":"web"}}}}"#
            ))
        };
        assert_eq!(new("/garden/web", true), garden);
        assert_eq!(new("garden/web", false), garden);
        assert_eq!(new("system.slice:youki:web", true), None);
        assert_eq!(new("", false), None);
        assert_eq!(of(r#"{"hooks":null,"cgroup_config":null}"#), None);
    }

    /// youki's `state.json` has the name of runc's.
    #[test]
    fn youkis_state_is_not_runcs() {
        let state = br#"{"ociVersion":"v1.0.2","id":"web","status":"running","pid":7,"bundle":"/b",
            "annotations":{},"created":"2026-11-26T23:48:44Z","creator":0,"useSystemd":false}"#;
        assert_eq!(Format::Runc.cgroups(state, "web", &mounts()), None);
    }

    #[test]
    fn what_is_cut_off_gives_no_cgroup() {
        for format in Format::ALL {
            for bytes in [
                &b""[..],
                b"{",
                b"{}",
                b"[]",
                b"null",
                b"\xff",
                &RUNC_V1[..99],
                br#"{"id":"web","cgroup_paths":{"":7},"cgroup-path":7,"cgroup_path":7}"#,
            ] {
                assert_eq!(format.cgroups(bytes, "web", &mounts()), None);
            }
        }
    }

    #[test]
    fn a_bundle_asks_for_a_cgroup() {
        let of = |path: &str| {
            let config = format!(r#"{{"ociVersion":"1.0","linux":{{"cgroupsPath":"{path}"}}}}"#);
            of_bundle(config.as_bytes(), &["/cg".to_owned()])
        };
        let only = |path: &str| Some(vec![path.to_owned()]);
        assert_eq!(of("/garden/web"), only("/cg/garden/web"));
        assert_eq!(
            of("system.slice:docker:4f"),
            only("/cg/system.slice/docker-4f.scope")
        );
        let pod = "/cg/kubepods.slice/kubepods-burst.slice/kubepods-burst-pod1.slice/cri-4f.scope";
        assert_eq!(of("kubepods-burst-pod1.slice:cri:4f"), only(pod));
        for none in ["", "garden/web", "/garden/../x", ":docker:4f", "a:b"] {
            assert_eq!(of(none), None, "{none}");
        }
        assert_eq!(of_bundle(br#"{"linux":{}}"#, &["/cg".to_owned()]), None);
    }
}
