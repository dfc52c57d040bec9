use super::*;
use crate::event::{End, Execution};
use crate::fixture;
use crate::wire::CgroupName;

/// The cgroup of whoever calls runtimes, and one that is a container's.
const GDN: u64 = 11;
const IN_CONTAINER: u64 = 12;
const CUT_OFF: u64 = 13;
const HANDLE: u64 = 14;
const ELSEWHERE: u64 = 15;

fn names() -> Names {
    let mut names = Names::default();
    for (id, path, truncated) in [
        (GDN, "/system.slice/gdn.service", false),
        (IN_CONTAINER, "/garden/other", false),
        (CUT_OFF, "/…/d/d", true),
        (HANDLE, "/garden/web", false),
        (ELSEWHERE, "/elsewhere/web", false),
    ] {
        let path = path.to_owned();
        names.add_cgroup(CgroupName {
            id,
            path,
            truncated,
        });
    }
    names
}

fn asked_for_garden() -> ContainerCgroups {
    ContainerCgroups::new(&About {
        cgroup_mount: "/cg/memory".into(),
        cgroups: vec!["/cg/memory/garden".into()],
        ..About::default()
    })
}

fn runs(line: &str) -> Execution {
    let args = format!("{}\0", line.replace(' ', "\0"));
    Execution {
        end: End::Running,
        ..fixture::execution(Image {
            cgroup_id: GDN,
            ..fixture::image(args)
        })
    }
}

fn seen(runtime: &Execution, place: Place, at_ns: u64) -> Placed {
    let image = runtime.image.clone();
    Placed {
        image,
        place,
        at_ns,
    }
}

fn state(root: &str, id: &str, directories: &[&str]) -> StatePlace {
    StatePlace {
        root: root.into(),
        id: id.into(),
        cgroups: directories.iter().map(|&d| d.to_owned()).collect(),
        read_ns: 20,
    }
}

/// Where it is, and whether that is inside, once nothing more can come.
fn of(known: &ContainerCgroups, execution: &Execution) -> Option<(Option<String>, bool)> {
    match known.of(execution.into(), &names(), false) {
        Answer::Found(found) => Some((found.path, found.inside)),
        Answer::NotYet => panic!("nothing more can come"),
        Answer::NoContainer | Answer::Unknown | Answer::Unbelieved => None,
    }
}

fn at(path: &str, inside: bool) -> Option<(Option<String>, bool)> {
    Some((Some(path.to_owned()), inside))
}

#[test]
fn what_the_kernel_saw_counts_always() {
    let known = asked_for_garden();
    let mut execution = runs("runc exec web true");
    execution.image.uid = 1000;
    execution.image.cgroup_id = IN_CONTAINER;
    assert_eq!(of(&known, &execution), None);
    execution.place = Some(Place {
        cgroup_id: HANDLE,
        inside: true,
    });
    assert_eq!(of(&known, &execution), at("/garden/web", true));
}

/// A path that is cut off may be anywhere: it is no path.
#[test]
fn a_place_with_a_cut_off_name_has_no_path() {
    let mut known = asked_for_garden();
    let mut create = runs("runc create --bundle /b web");
    let place = Place {
        cgroup_id: CUT_OFF,
        inside: true,
    };
    known.add_place(&seen(&create, place, 10), &names());
    assert_eq!(of(&known, &runs("runc state web")), Some((None, true)));
    create.place = Some(place);
    assert_eq!(of(&known, &create), Some((None, true)));
}

/// In a private cgroup namespace, what is mounted is a part of the hierarchy.
#[test]
fn a_cgroup_that_is_not_seen_at_the_mount_is_not_inside() {
    let mut known = ContainerCgroups::new(&About {
        cgroup_mount: "/cg/memory".into(),
        cgroup_root: "/docker/0f".into(),
        cgroups: vec!["/cg/memory".into()],
        ..About::default()
    });
    known.add_cgroup("/docker/0f/garden/web");
    known.add_cgroup("/docker/2e/garden/db");
    known.add_directory("/cg/memory/x");
    let asked = |id| of(&known, &runs(&format!("runc delete {id}")));
    assert_eq!(asked("web"), at("/docker/0f/garden/web", true));
    assert_eq!(asked("db"), at("/docker/2e/garden/db", false));
    assert_eq!(asked("x"), at("/docker/0f/x", true));
}

#[test]
fn an_id_is_believed_of_root_outside_of_containers() {
    let mut known = asked_for_garden();
    known.add_state(state(
        "/run/runc",
        "web",
        &["/cg/memory/garden/web", "/cg/pids/x"],
    ));
    let claim = |uid, cgroup_id| {
        let mut execution = runs("runc state web");
        (execution.image.uid, execution.image.cgroup_id) = (uid, cgroup_id);
        of(&known, &execution)
    };
    assert_eq!(claim(0, GDN), at("/garden/web", true));
    assert_eq!(claim(65534, GDN), None);
    assert_eq!(claim(0, IN_CONTAINER), None);
    assert_eq!(claim(0, CUT_OFF), None);
    assert_eq!(claim(0, 99), None);
}

#[test]
fn containers_with_one_id_are_told_apart_by_their_roots() {
    let mut known = asked_for_garden();
    known.add_state(state("/run/a", "web", &["/cg/memory/garden/web"]));
    known.add_state(state("/run/b", "web", &["/cg/memory/other/web"]));
    known.add_state(state("/run/c", "web", &[]));
    known.add_directory("/cg/memory/garden/web");
    let asked = |root| of(&known, &runs(&format!("runc --root {root} kill web")));
    assert_eq!(asked("/run/a"), at("/garden/web", true));
    assert_eq!(asked("/run/b"), at("/other/web", false));
    // The cgroup that bears the id is that of another runtime's container.
    assert_eq!(asked("/run/c"), None);
    assert_eq!(asked("/run/d"), None);
}

#[test]
fn a_cgroup_bears_its_own_name_alone() {
    let mut known = asked_for_garden();
    for directory in [
        "garden/web",
        "garden/web2",
        "garden/good/h/victim",
        "x/w.slice",
    ] {
        known.add_directory(&format!("/cg/memory/{directory}"));
    }
    let asked = |id| of(&known, &runs(&format!("runc delete {id}")));
    assert_eq!(asked("web"), at("/garden/web", true));
    assert_eq!(asked("web2"), at("/garden/web2", true));
    assert_eq!(asked("we"), None);
    assert_eq!(asked("h"), at("/garden/good/h", true));
    // Whoever is in a container may call a cgroup below it what he likes.
    assert_eq!(asked("victim"), None);
}

#[test]
fn of_several_cgroups_with_a_name_what_they_share_is_believed() {
    let mut known = asked_for_garden();
    let asked = |known: &ContainerCgroups| of(known, &runs("runc delete web"));
    known.add_directory("/cg/memory/garden/good/web");
    assert_eq!(asked(&known), at("/garden/good/web", true));
    known.add_cgroup("/garden/web");
    assert_eq!(asked(&known), Some((None, true)));
    known.add_cgroup("/elsewhere/web");
    assert_eq!(asked(&known), None);
}

/// The file goes with the container, and a new one may be elsewhere.
#[test]
fn what_was_seen_last_counts() {
    let mut known = asked_for_garden();
    let create = runs("runc create --bundle /b web");
    let place = |cgroup_id, inside| Place { cgroup_id, inside };
    known.add_place(&seen(&create, place(HANDLE, true), 10), &names());
    known.add_state(state("/run/runc", "web", &[]));
    let asked = |known: &ContainerCgroups| of(known, &runs("runc state web"));
    assert_eq!(asked(&known), at("/garden/web", true));
    known.add_place(&seen(&create, place(ELSEWHERE, false), 30), &names());
    assert_eq!(asked(&known), at("/elsewhere/web", false));
    let mut liar = runs("runc create --bundle /b web");
    liar.image.uid = 1000;
    known.add_place(&seen(&liar, place(HANDLE, true), 40), &names());
    assert_eq!(asked(&known), at("/elsewhere/web", false));
}

#[test]
fn what_may_come_is_waited_for() {
    let mut known = asked_for_garden();
    known.add_directory("/cg/memory/garden/web");
    let waits = |known: &ContainerCgroups, line| known.of((&runs(line)).into(), &names(), true);
    assert_eq!(waits(&known, "runc state web"), Answer::NotYet);
    assert_eq!(waits(&known, "runc state none"), Answer::NotYet);
    assert_eq!(waits(&known, "runc list"), Answer::NoContainer);
    assert_eq!(waits(&known, "sh state web"), Answer::NoContainer);
    // The runtime has no such container: the cgroup's name is the best there is.
    known.add_state(state("/run/runc", "web", &[]));
    assert!(matches!(waits(&known, "runc state web"), Answer::Found(_)));
}

#[test]
fn ids_and_namesakes_are_bounded() {
    let mut known = asked_for_garden();
    for n in 0..SAME_ID_MAX + 3 {
        known.add_state(state(&format!("/run/{n}"), "web", &["/cg/memory/x"]));
        known.add_directory(&format!("/cg/memory/{n}/web"));
    }
    let same = known.ids.get("web").expect("known");
    assert_eq!(
        (same.by_root.len(), same.cgroups.len()),
        (SAME_ID_MAX, SAME_ID_MAX)
    );
}

/// The file was read before the container was made anew, and is here after that.
#[test]
fn what_is_older_does_not_count() {
    let mut known = asked_for_garden();
    let create = runs("runc create --bundle /b web");
    let place = Place {
        cgroup_id: ELSEWHERE,
        inside: false,
    };
    known.add_place(&seen(&create, place, 30), &names());
    known.add_state(state("/run/runc", "web", &["/cg/memory/garden/web"]));
    assert_eq!(
        of(&known, &runs("runc state web")),
        at("/elsewhere/web", false)
    );
    // What was known at an end stays.
    let mut ended = runs("runc state web");
    (ended.end, ended.end_ns) = (End::Exit(crate::event::WaitStatus(0)), 35);
    ended.container = known.now((&ended).into(), &names()).map(Box::new);
    let place = Place {
        cgroup_id: HANDLE,
        inside: true,
    };
    known.add_place(&seen(&create, place, 40), &names());
    assert_eq!(of(&known, &ended), at("/elsewhere/web", false));
    assert_eq!(of(&known, &runs("runc state web")), at("/garden/web", true));
}

/// Whatever its cgroup is called, who is in a container does not speak for the host.
#[test]
fn a_container_by_any_name_is_one() {
    let mut known = asked_for_garden();
    known.add_state(state("/run/runc", "web", &["/cg/memory/garden/web"]));
    known.add_state(state(
        "/run/runc",
        "evil",
        &["/cg/memory/system.slice/gdn.service"],
    ));
    assert_eq!(of(&known, &runs("runc state web")), None);
}

/// The directory of the runtime's state depends on where the caller was.
#[test]
fn a_relative_root_leaves_the_cgroup_that_bears_the_id() {
    let mut known = asked_for_garden();
    let asked = |known: &ContainerCgroups| of(known, &runs("runc --root run state web"));
    assert_eq!(asked(&known), None);
    known.add_directory("/cg/memory/garden/web");
    assert_eq!(asked(&known), at("/garden/web", true));
}

/// A file that was read since its start says more than what was known before: who made the
/// container anew was not seen.
#[test]
fn a_file_that_is_read_anew_is_waited_for() {
    let mut known = asked_for_garden();
    known.add_state(state("/run/runc", "web", &["/cg/memory/garden/web"]));
    let mut late = runs("runc state web");
    late.start_ns = 20 + ASKED_AGAIN_NS + 1;
    late.end_ns = late.start_ns + 5;
    late.end = End::Exit(crate::event::WaitStatus(0));
    late.container = known.now((&late).into(), &names()).map(Box::new);
    let asked = |known: &ContainerCgroups, waits| known.of((&late).into(), &names(), waits);
    assert_eq!(asked(&known, true), Answer::NotYet);
    assert!(matches!(asked(&known, false), Answer::Found(found) if found.inside));
    let mut anew = state("/run/runc", "web", &["/cg/memory/elsewhere/web"]);
    anew.read_ns = late.end_ns + 7;
    known.add_state(anew);
    assert!(matches!(asked(&known, true), Answer::Found(found) if !found.inside));
}
