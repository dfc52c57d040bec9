//! What is read from the disk, and of what it is not believed.

use std::collections::HashSet;
use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::super::disk::{FILE_MAX_BYTES, LISTED_MAX};
use super::*;

#[test]
fn default_roots_are_read_first() {
    let Some(host) = Host::new() else { return };
    host.container("/run/runc", "web");
    host.container("/run/containerd/runc/k8s.io", "pod");
    host.container("/run/docker/runtime-runc/moby", "db");
    host.container("/run/docker/runtime-runc/plugins.moby", "plugin");
    host.container("/run/elsewhere", "other");
    let youki = r#"{"hooks":null,"cgroup_path":"/garden/y"}"#;
    host.write("/run/youki/y/youki_config.json", youki);
    let (states, mut found) = host.states();
    found.sort_by(|one, other| one.id.cmp(&other.id));
    let in_each = ["memory", "pids"].map(|name| format!("/sys/fs/cgroup/{name}/garden/y"));
    let expected = [
        place("/run/docker/runtime-runc/moby", "db"),
        place("/run/docker/runtime-runc/plugins.moby", "plugin"),
        place("/run/containerd/runc/k8s.io", "pod"),
        place("/run/runc", "web"),
        StatePlace {
            cgroups: in_each.to_vec(),
            ..place("/run/youki", "y")
        },
    ];
    assert_eq!(found, expected);
    assert_eq!(states.dropped(), 0);
}

#[test]
fn a_root_is_listed_when_it_is_met() {
    let Some(host) = Host::new() else { return };
    for id in ["c1", "c2"] {
        host.container("/srv/r", id);
    }
    let (mut states, found) = host.states();
    assert!(found.is_empty());
    states.ask("runc", "/srv/r", "c1", None);
    let found = settled(&mut states);
    assert_eq!(found, [place("/srv/r", "c1"), place("/srv/r", "c2")]);
    // Not again.
    host.container("/srv/r", "c3");
    host.container("/srv/r", "c4");
    states.ask("runc", "/srv/r", "c3", None);
    assert_eq!(settled(&mut states), [place("/srv/r", "c3")]);
}

/// As dockerd's, whose root is one for all of them.
#[test]
fn a_root_may_hold_what_crun_keeps() {
    let Some(host) = Host::new() else { return };
    let status = r#"{"pid":7,"cgroup-path":"/garden/web","scope":"","systemd-cgroup":false}"#;
    host.write("/run/runc/web/status", status);
    let (_, found) = host.states();
    let in_each = ["memory", "pids"].map(|name| format!("/sys/fs/cgroup/{name}/garden/web"));
    assert_eq!(found[0].cgroups, in_each);
}

#[test]
fn crun_has_its_containers_in_either_place_but_not_in_both() {
    let Some(host) = Host::new() else { return };
    host.container("/run/crun", "a");
    host.container("/run/user/0/crun", "b");
    host.container("/run/crun", "both");
    host.container("/run/user/0/crun", "both");
    let (_, found) = host.states();
    assert_eq!(found, [place("/run/crun", "a"), place("/run/crun", "b")]);
}

/// `/tmp` is sticky, and anybody's.
#[test]
fn nothing_below_tmp_is_believed() {
    if Host::new().is_none() {
        return;
    }
    for (above, believed) in [("/tmp", false), ("/run", true)] {
        let root = tempfile::tempdir_in(above).expect("a directory");
        write(&root.path().join("web/state.json"), &state("web"));
        let root = root.path().to_str().expect("UTF-8");
        let mut states = reading(Disk::new(Path::new("/"), Vec::new()).expect("/"));
        settled(&mut states);
        states.ask("runc", root, "web", None);
        assert_eq!(!settled(&mut states).is_empty(), believed, "{root}");
    }
}

#[test]
fn all_on_the_way_is_roots_alone() {
    let Some(host) = Host::new() else { return };
    host.container("/srv/r", "web");
    assert!(host.find("/srv/r", "web").is_some());
    for part in ["/srv", "/srv/r", "/srv/r/web", "/srv/r/web/state.json"] {
        let path = host.path(part);
        let of_root = path.metadata().expect("there").permissions();
        chown(&path, Some(NOBODY), None).expect("given away");
        assert_eq!(host.find("/srv/r", "web"), None, "{part} is another's");
        chown(&path, Some(0), None).expect("taken back");
        for mode in [0o775, 0o757, 0o1777] {
            let theirs = Permissions::from_mode(mode);
            std::fs::set_permissions(&path, theirs).expect("set");
            assert_eq!(host.find("/srv/r", "web"), None, "{part} is {mode:o}");
        }
        std::fs::set_permissions(&path, of_root).expect("set");
        assert!(host.find("/srv/r", "web").is_some());
    }
}

#[test]
fn no_symbolic_link_is_followed() {
    let Some(host) = Host::new() else { return };
    host.container("/srv/r", "web");
    for part in ["/srv", "/srv/r", "/srv/r/web", "/srv/r/web/state.json"] {
        // Beside it: what leads elsewhere is refused for that alone.
        let path = host.path(part);
        let real = path.with_file_name("real");
        std::fs::rename(&path, &real).expect("moved");
        symlink("real", &path).expect("linked");
        assert_eq!(host.find("/srv/r", "web"), None, "{part} is a link");
        std::fs::remove_file(&path).expect("removed");
        std::fs::rename(&real, &path).expect("moved back");
    }
    assert!(host.find("/srv/r", "web").is_some());
}

#[test]
fn no_path_leads_out() {
    let Some(host) = Host::new() else { return };
    host.container("/srv/r", "web");
    host.write("/srv/state.json", &state("r"));
    assert_eq!(host.find("/srv/../srv/r", "web"), None);
    assert_eq!(host.find("/srv/r", ".."), None);
    assert_eq!(host.find("/srv/r", "../r/web"), None);
    assert_eq!(host.find("/srv", "r"), None);
}

#[test]
fn what_is_too_long_is_not_read() {
    let Some(host) = Host::new() else { return };
    for (id, bytes) in [("fits", FILE_MAX_BYTES), ("long", FILE_MAX_BYTES + 1)] {
        let mut text = state(id);
        text.extend(std::iter::repeat_n(' ', bytes as usize - text.len()));
        host.write(&format!("/run/runc/{id}/state.json"), &text);
    }
    let (_, found) = host.states();
    assert_eq!(found, [place("/run/runc", "fits")]);
}

/// To open one is to wait for who writes to it.
#[test]
fn a_pipe_is_not_opened() {
    let Some(host) = Host::new() else { return };
    let path = host.path("/run/runc/web");
    std::fs::create_dir_all(&path).expect("made");
    let mode = Mode::from_raw_mode(0o600);
    mknodat(CWD, path.join("state.json"), FileType::Fifo, mode, 0).expect("a pipe");
    let (states, found) = host.states();
    assert!(found.is_empty());
    assert_eq!(states.dropped(), 0);
}

#[test]
fn a_root_may_hold_too_many() {
    let Some(host) = Host::new() else { return };
    for number in 0..=LISTED_MAX {
        host.container("/run/runc", &format!("c{number}"));
    }
    let (mut states, found) = host.states();
    assert_eq!(found.len(), LISTED_MAX);
    // The one left out is read when it is asked for.
    let listed: HashSet<_> = found.into_iter().map(|one| one.id).collect();
    let left = (0..=LISTED_MAX).map(|number| format!("c{number}"));
    let left = left.into_iter().find(|id| !listed.contains(id));
    let left = left.expect("one");
    states.ask("runc", "/run/runc", &left, None);
    assert_eq!(settled(&mut states), [place("/run/runc", &left)]);
}
