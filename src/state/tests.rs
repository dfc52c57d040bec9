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
