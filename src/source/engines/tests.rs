use std::cell::{Ref, RefCell};
use std::rc::Rc;

use super::*;
use crate::fixture;

const ID: &str = "4f797c539e6c745de61a93ca3ff892358ecbcaccd8414d5db545c38428142970";

fn engines() -> (tempfile::TempDir, Engines) {
    let (root, engines, _) = engines_and_disk();
    (root, engines)
}

/// They look things up by themselves, not by another process.
fn engines_and_disk() -> (tempfile::TempDir, Engines, Rc<RefCell<Disk>>) {
    let root = tempfile::tempdir().expect("a directory");
    let disk = Rc::new(RefCell::new(Disk::new(root.path())));
    let theirs = Rc::clone(&disk);
    let look_up =
        move |id: &str, bundle: Option<&Path>| Ok(theirs.borrow_mut().look_up(id, bundle));
    (root, Engines::new(Box::new(look_up)), disk)
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a directory")).expect("made");
    fs::write(path, text).expect("written");
}

fn name(engines: &mut Engines, id: &str, bundle: Option<&Path>) -> Option<String> {
    engines.meet(id, bundle).map(|named| named.name)
}

fn list(name: &str) -> String {
    format!(r#"[{{"id":"{ID}","names":["{name}"]}}]"#)
}

#[test]
fn a_container_is_looked_up_once() {
    let (root, mut engines) = engines();
    let config = root.path().join(DOCKER).join(ID).join("config.v2.json");
    write(&config, r#"{"Name":"/web"}"#);
    assert_eq!(name(&mut engines, ID, None).as_deref(), Some("web"));
    assert_eq!(name(&mut engines, ID, None), None);
    // Neither is one without a name.
    assert_eq!(name(&mut engines, "c1", None), None);
    write(
        &root.path().join(DOCKER).join("c1/config.v2.json"),
        r#"{"Name":"/db"}"#,
    );
    assert_eq!(name(&mut engines, "c1", None), None);
    // Until it is made anew.
    let anew = name(&mut engines, "c1", Some(Path::new("/nowhere")));
    assert_eq!(anew.as_deref(), Some("db"));
}

#[test]
fn what_is_too_long_is_not_read() {
    let (root, mut engines) = engines();
    let docker = root.path().join(DOCKER);
    for (id, bytes) in [("fits", CONFIG_MAX_BYTES), ("long", CONFIG_MAX_BYTES + 1)] {
        let mut text = String::from(r#"{"Name":"/web","x":""#);
        text.extend(std::iter::repeat_n('x', bytes as usize - text.len() - 2));
        text.push_str("\"}");
        write(&docker.join(id).join("config.v2.json"), &text);
    }
    assert_eq!(name(&mut engines, "fits", None).as_deref(), Some("web"));
    assert_eq!(name(&mut engines, "long", None), None);
}

/// A command line chooses the store.
#[test]
fn names_of_stores_are_bounded() {
    let (root, mut engines, disk) = engines_and_disk();
    let stores = || Ref::map(disk.borrow(), |disk| &disk.stores);
    let list = |ids: std::ops::Range<usize>| {
        let entry = |n| format!(r#"{{"id":"{n}","names":["n{n}"]}}"#);
        let entries: Vec<String> = ids.map(entry).collect();
        format!("[{}]", entries.join(","))
    };
    let many = |first: usize| list(first..first + STORED_MAX / 4);
    for n in 0..11 {
        let store = root.path().join(format!("{n}-containers"));
        let id = (n * STORED_MAX / 4).to_string();
        write(&store.join("containers.json"), &many(n * STORED_MAX / 4));
        let bundle = store.join(&id).join("userdata");
        let found = name(&mut engines, &id, Some(&bundle));
        assert_eq!(found, Some(format!("n{id}")));
        let kept: usize = stores().values().map(|s| s.names.len()).sum();
        assert!(kept <= STORED_MAX, "{kept}");
    }
    let store = root.path().join("all-containers");
    write(&store.join("containers.json"), &list(0..STORED_MAX));
    let bundle = store.join("0/userdata");
    engines.met.clear();
    assert_eq!(name(&mut engines, "0", Some(&bundle)), None);
    assert!(stores().values().all(|s| s.names.len() < STORED_MAX));
}

#[test]
fn containerd_has_a_bundle_in_some_namespace() {
    let (root, mut engines) = engines();
    let tasks = root.path().join(CONTAINERD);
    write(&tasks.join("default/other/config.json"), "{}");
    let config = tasks.join("k8s.io").join(ID).join("config.json");
    write(
        &config,
        r#"{"annotations":{"io.kubernetes.cri.sandbox-namespace":"shop","io.kubernetes.cri.sandbox-name":"web"}}"#,
    );
    assert_eq!(name(&mut engines, ID, None).as_deref(), Some("shop/web"));
}

#[test]
fn the_bundle_that_a_runtime_is_given_leads_to_the_name() {
    let (root, mut engines) = engines();
    // dockerd with a directory of its own.
    let own = root.path().join("data/containers").join(ID);
    write(&own.join("config.v2.json"), r#"{"Name":"/web"}"#);
    let bundle = root.path().join("bundle");
    let source = own.join("hostname");
    let config = format!(r#"{{"mounts":[{{"source":"{}"}}]}}"#, source.display());
    write(&bundle.join("config.json"), &config);
    assert_eq!(
        name(&mut engines, ID, Some(&bundle)).as_deref(),
        Some("web")
    );
    // A store of podman's.
    let store = root.path().join("graph/vfs-containers");
    let volatile = store.join("volatile-containers.json");
    write(&volatile, &list("db").replace(ID, "c1"));
    let bundle = store.join("c1/userdata");
    assert_eq!(
        name(&mut engines, "c1", Some(&bundle)).as_deref(),
        Some("db")
    );
    // It is read again when it has changed.
    write(&volatile, &list("other").replace(ID, "c2"));
    let bundle = store.join("c2/userdata");
    let found = name(&mut engines, "c2", Some(&bundle));
    assert_eq!(found.as_deref(), Some("other"));
    // A name is not changed by what somebody's command line says.
    assert_eq!(name(&mut engines, ID, Some(&bundle)), None);
    // A relative path is the caller's, not ours.
    let relative = Path::new("graph/vfs-containers/c3/userdata");
    assert_eq!(name(&mut engines, "c3", Some(relative)), None);
}

#[test]
fn podman_keeps_a_store_for_each_driver() {
    let (root, mut engines) = engines();
    let storage = root.path().join(STORAGE);
    write(&storage.join("overlay/containers.json"), &list("no store"));
    write(
        &storage.join("overlay-containers/containers.json"),
        &list("web"),
    );
    assert_eq!(name(&mut engines, ID, None).as_deref(), Some("web"));
}

#[test]
fn only_plain_files_of_that_directory_are_read() {
    let (root, mut engines) = engines();
    let docker = root.path().join(DOCKER);
    write(
        &root.path().join("elsewhere/config.v2.json"),
        r#"{"Name":"/x"}"#,
    );
    fs::create_dir_all(&docker).expect("made");
    for id in ["../../../../elsewhere", "..", ".", "", "a/b", "a\0b"] {
        assert_eq!(name(&mut engines, id, None), None, "{id:?}");
    }
    // A link, and a pipe that nobody writes to.
    fs::create_dir(docker.join("link")).expect("made");
    let target = root.path().join("elsewhere/config.v2.json");
    std::os::unix::fs::symlink(target, docker.join("link/config.v2.json")).expect("made");
    assert_eq!(name(&mut engines, "link", None), None);
    fs::create_dir(docker.join("pipe")).expect("made");
    let pipe = docker.join("pipe/config.v2.json");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        0o600.into(),
        0,
    )
    .expect("made");
    assert_eq!(name(&mut engines, "pipe", None), None);
    // It was not so much as opened: a writer that waits for a reader still does.
    let writer = rustix::fs::OFlags::WRONLY | OFlags::NONBLOCK;
    let opened = rustix::fs::open(&pipe, writer, Mode::empty());
    assert_eq!(opened.err(), Some(rustix::io::Errno::NXIO));
    assert_eq!(engines.met.len(), 2);
}

const NAMED: &str = r#"{"annotations":{"nerdctl/name":"db"}}"#;

/// What lies behind a link of /proc may be another's mounts.
#[test]
fn a_bundle_is_one_of_our_own_mounts() {
    let (root, mut engines) = engines();
    let bundle = root.path().join("b");
    write(&bundle.join("config.json"), NAMED);
    let elsewhere = Path::new("/proc/self/root").join(bundle.strip_prefix("/").expect("absolute"));
    assert!(fs::metadata(elsewhere.join("config.json")).is_ok());
    assert_eq!(name(&mut engines, "one", Some(&elsewhere)), None);
    assert_eq!(
        name(&mut engines, "two", Some(&bundle)).as_deref(),
        Some("db")
    );
}

/// Root in a container would choose what others' containers are called.
#[test]
fn only_who_is_outside_of_containers_gives_a_bundle() {
    let (root, mut engines) = engines();
    write(&root.path().join("b/config.json"), NAMED);
    let bundle = root.path().join("b");
    let mut called = |uid: u32, container: &str, of_container: Option<bool>| {
        let args = format!(
            "runc\0create\0--bundle\0{}\0{container}\0",
            bundle.display()
        );
        let image = Image {
            uid,
            cgroup_id: 7,
            ..fixture::image(args)
        };
        let mut hosts = Hosts::default();
        if let Some(of_container) = of_container {
            let path = if of_container { "/garden/web" } else { "/gdn" };
            hosts.note(&wire::CgroupName {
                id: 7,
                path: path.into(),
                truncated: false,
            });
        }
        engines.called(&image, &hosts).map(|named| named.name)
    };
    assert_eq!(called(0, "one", Some(true)), None);
    assert_eq!(called(0, "two", None), None);
    assert_eq!(called(1000, "three", Some(false)), None);
    assert_eq!(called(0, "four", Some(false)).as_deref(), Some("db"));
}

#[test]
fn what_is_late_is_counted_and_not_asked_again() {
    let mut asked = 0;
    let look_up = move |_: &str, bundle: Option<&Path>| {
        asked += 1;
        match bundle {
            None => Err(Late),
            Some(_) => Ok(Some(format!("asked {asked} times"))),
        }
    };
    let mut engines = Engines::new(Box::new(look_up));
    for _ in 0..3 {
        assert_eq!(name(&mut engines, ID, None), None);
        assert_eq!(engines.unread(), 1);
    }
    let found = name(&mut engines, ID, Some(Path::new("/b")));
    assert_eq!(found.as_deref(), Some("asked 2 times"));
    assert_eq!(engines.unread(), 1);
}

/// The way that it goes in a run: by a process of its own.
#[test]
fn readers_answer_for_engines() {
    let bundle = tempfile::tempdir().expect("a directory");
    write(&bundle.path().join("config.json"), NAMED);
    let patience = std::time::Duration::from_secs(20);
    let [readers] = crate::source::readers::start([(
        &answer,
        crate::source::readers::Patience::of_one(patience),
    )])
    .expect("a process");
    let mut engines = Engines::new(by(readers));
    let found = name(&mut engines, "one", Some(bundle.path()));
    assert_eq!(found.as_deref(), Some("db"));
    assert_eq!(name(&mut engines, "none", Some(Path::new("/none"))), None);
    assert_eq!(engines.unread(), 0);
}
