//! What is asked, and what is made of the answers; what is read is in `disk`.

mod disk;

use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, channel};

use super::*;
use crate::source::readers::{self, Patience};

const LIMIT: Duration = Duration::from_secs(20);
const NOBODY: u32 = 65_534;

/// A directory that stands for `/`. None, with a word, without root: nobody else's files
/// are read.
struct Host(tempfile::TempDir);

impl Host {
    fn new() -> Option<Host> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: needs root");
            return None;
        }
        Some(Host(tempfile::tempdir().expect("a directory")))
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path.trim_start_matches('/'))
    }

    fn write(&self, path: &str, text: &str) {
        write(&self.path(path), text);
    }

    fn container(&self, root: &str, id: &str) {
        self.write(&format!("{root}/{id}/state.json"), &state(id));
    }

    /// The thread, when it has read the default roots; and what it found there.
    fn states(&self) -> (States, Vec<StatePlace>) {
        let mounts = ["/sys/fs/cgroup/memory", "/sys/fs/cgroup/pids"];
        let mounts = mounts.map(str::to_owned).to_vec();
        let mut states = reading(Disk::new(self.0.path(), mounts).expect("a directory"));
        let found = settled(&mut states);
        (states, found)
    }

    /// What is found of one container by one that is new.
    fn find(&self, root: &str, id: &str) -> Option<StatePlace> {
        let (mut states, _) = self.states();
        states.ask("runc", root, id, None);
        settled(&mut states).into_iter().find(|one| one.id == id)
    }
}

/// One that reads by itself, not by another process.
fn reading(mut disk: Disk) -> States {
    let states = States::with(move |asks, said| {
        let _ = answer_all(&asks, &said, |look, found| {
            disk.look(look, found);
            true
        });
    });
    states.expect("a thread")
}

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().expect("a directory")).expect("made");
    std::fs::write(path, text).expect("written");
}

fn state(id: &str) -> String {
    format!(r#"{{"id":"{id}","cgroup_paths":{{"":"/sys/fs/cgroup/garden/{id}"}}}}"#)
}

fn place(root: &str, id: &str) -> StatePlace {
    StatePlace {
        root: root.to_owned(),
        id: id.to_owned(),
        cgroups: vec![format!("/sys/fs/cgroup/garden/{id}")],
        read_ns: 0,
    }
}

fn answers(states: &mut States) -> Vec<StatePlace> {
    let mut answers = Vec::new();
    let began = Instant::now();
    states.settle(LIMIT, &mut answers);
    assert!(began.elapsed() < LIMIT, "the thread is stuck");
    // When they were read differs from run to run.
    let now = monotonic_ns();
    for answer in &mut answers {
        assert!(answer.read_ns <= now);
        answer.read_ns = 0;
    }
    answers
}

/// The answers that say where a container is.
fn settled(states: &mut States) -> Vec<StatePlace> {
    let mut found = answers(states);
    found.retain(|place| !place.cgroups.is_empty());
    found
}

/// Says that it is done with each request, and tells of it.
fn counting(found: bool) -> (States, Receiver<Key>) {
    let (tell, told) = channel();
    let states = States::with(move |asks, said| {
        let done = |asked| said.send(Said::Done(asked));
        let _ = done(None);
        for Request { key, .. } in asks {
            if found {
                let _ = said.send(Said::Found(place(&key.0, &key.1)));
            }
            let _ = tell.send(key.clone());
            let _ = done(Some(key));
        }
    });
    (states.expect("a thread"), told)
}

/// Takes nothing until the sender is dropped.
fn stuck() -> (States, std::sync::mpsc::Sender<()>) {
    let (release, held) = channel::<()>();
    let states = States::with(move |_asks, _said| {
        let _ = held.recv();
    });
    (states.expect("a thread"), release)
}

#[test]
fn nothing_waits_for_a_thread_that_is_stuck() {
    let (mut states, release) = stuck();
    let began = Instant::now();
    for number in 0..ASKED_MAX + 3 {
        states.ask("runc", "/run/runc", &format!("c{number}"), None);
    }
    let mut found = Vec::new();
    states.answers(&mut found);
    assert_eq!(states.dropped(), 3);
    states.settle(Duration::from_millis(20), &mut found);
    // All of them, and the default roots; once.
    let all = ASKED_MAX as u64 + 3 + 1;
    assert_eq!(states.dropped(), all);
    states.settle(Duration::ZERO, &mut found);
    assert_eq!(states.dropped(), all);
    // Neither does the end.
    drop(states);
    assert!(began.elapsed() < LIMIT / 2);
    drop(release);
}

#[test]
fn an_answer_that_comes_late_leaves_later_ones_to_be_counted() {
    let (go, gone) = channel::<()>();
    let states = States::with(move |asks, said| {
        let _ = gone.recv();
        let _ = said.send(Said::Done(None));
        let _ = gone.recv();
        drop(asks);
    });
    let mut states = states.expect("a thread");
    let mut found = Vec::new();
    states.settle(Duration::ZERO, &mut found);
    assert_eq!(states.dropped(), 1);
    states.ask("runc", "/run/runc", "c1", None);
    go.send(()).expect("sent");
    states.settle(Duration::from_millis(200), &mut found);
    assert_eq!(states.dropped(), 2);
}

#[test]
fn a_request_is_made_once_while_it_is_outstanding() {
    let (mut states, release) = stuck();
    for _ in 0..ASKED_MAX + 1 {
        states.ask("runc", "/run/runc", "c1", None);
    }
    assert_eq!(states.outstanding, 2);
    assert_eq!(states.dropped(), 0);
    drop(release);
}

#[test]
fn what_was_not_found_may_be_asked_again() {
    let (mut states, told) = counting(false);
    for _ in 0..2 {
        states.ask("runc", "/run/runc", "c1", None);
        let none = StatePlace {
            root: "/run/runc".into(),
            id: "c1".into(),
            cgroups: Vec::new(),
            read_ns: 0,
        };
        assert_eq!(answers(&mut states), [none]);
    }
    assert_eq!(told.try_iter().count(), 2);
}

#[test]
fn what_was_found_is_not_asked_again_at_once() {
    let (mut states, told) = counting(true);
    let now = Instant::now();
    for _ in 0..2 {
        states.ask_at(now, "runc", "/run/runc", "c1", None);
        settled(&mut states);
    }
    assert_eq!(told.try_iter().count(), 1);
    // One with the same id elsewhere is another.
    states.ask("runc", "/r", "c1", None);
    let later = Instant::now() + FOUND_LASTS;
    states.ask_at(later, "runc", "/run/runc", "c1", None);
    settled(&mut states);
    assert_eq!(told.try_iter().count(), 2);
}

#[test]
fn what_keeps_nothing_that_we_read_is_not_asked() {
    let (mut states, told) = counting(false);
    states.ask("runsc", "/run/runsc", "c1", None);
    states.ask("kata-runtime", "/run/kata-containers", "c1", None);
    states.ask("runc", "/run/runc", "a/b", None);
    settled(&mut states);
    assert_eq!(told.try_iter().count(), 0);
}

#[test]
fn what_is_remembered_is_bounded() {
    let (mut states, _told) = counting(false);
    for number in 0..KNOWN_MAX + 10 {
        let key = ("/r".to_owned(), number.to_string());
        states.remember(key, Known::Asked);
    }
    assert_eq!(states.known.len(), 10);
}

#[test]
fn the_thread_ends_when_nobody_asks() {
    let Some(host) = Host::new() else { return };
    let (gone, ended) = channel::<()>();
    let mut disk = Disk::new(host.0.path(), Vec::new()).expect("a directory");
    let states = States::with(move |asks, said| {
        let _ = answer_all(&asks, &said, |look, found| {
            disk.look(look, found);
            true
        });
        drop(gone);
    });
    drop(states.expect("a thread"));
    assert_eq!(
        ended.recv_timeout(LIMIT),
        Err(RecvTimeoutError::Disconnected)
    );
}

/// One that has failed before anything was made, or was about to begin.
#[test]
fn a_bundle_says_where_a_container_is_to_be() {
    let Some(host) = Host::new() else { return };
    let config = r#"{"linux":{"cgroupsPath":"/garden/new"}}"#;
    host.write("/var/depot/new/config.json", config);
    let (mut states, _) = host.states();
    states.ask("runc", "/run/runc", "new", Some("/var/depot/new"));
    let there = ["memory", "pids"].map(|name| format!("/sys/fs/cgroup/{name}/garden/new"));
    let found = settled(&mut states).pop().expect("a place");
    assert_eq!(found.cgroups, there);
    // What there is counts more.
    host.container("/run/runc", "old");
    states.ask("runc", "/run/runc", "old", Some("/var/depot/new"));
    assert_eq!(settled(&mut states), [place("/run/runc", "old")]);
    states.ask("runc", "/run/runc", "none", Some("/var/depot/none"));
    assert!(settled(&mut states).is_empty());
}

/// What hangs is counted once, says nothing of its container, and stops nobody else.
#[test]
fn what_is_given_up_is_counted_and_not_taken_for_absent() {
    let states = States::with(move |asks, said| {
        let _ = answer_all(&asks, &said, |look, found| {
            if let Look::Kept(root, id) = look
                && id == "c2"
            {
                found(place(root, id));
            }
            look.about() != "/hangs"
        });
    });
    let mut states = states.expect("a thread");
    assert!(answers(&mut states).is_empty());
    states.ask("runc", "/hangs", "c1", Some("/bundle"));
    states.ask("runc", "/run/runc", "c2", None);
    states.ask("runc", "/run/runc", "c3", Some("/hangs"));
    assert_eq!(answers(&mut states), [place("/run/runc", "c2")]);
    assert_eq!(states.dropped(), 2);
    // It may be asked again.
    states.ask("runc", "/hangs", "c1", None);
    assert!(answers(&mut states).is_empty());
    assert_eq!(states.dropped(), 3);
}

/// The way that it goes in a run: by a process of its own.
#[test]
fn readers_answer_for_states() {
    let Some(host) = Host::new() else { return };
    host.container("/run/runc", "web");
    let config = r#"{"linux":{"cgroupsPath":"/garden/new"}}"#;
    host.write("/var/depot/new/config.json", config);
    let mounts = || vec!["/sys/fs/cgroup".to_owned()];
    let answer = || answer(host.0.path(), mounts);
    let [readers] = readers::start([(&answer, Patience::of_one(LIMIT))]).expect("a process");
    let mut states = States::start(readers).expect("a thread");
    assert_eq!(settled(&mut states), [place("/run/runc", "web")]);
    states.ask("runc", "/run/runc", "new", Some("/var/depot/new"));
    assert_eq!(settled(&mut states), [place("/run/runc", "new")]);
    states.ask("runc", "/run/runc", "none", Some("/var/depot/none"));
    let none = StatePlace {
        cgroups: Vec::new(),
        ..place("/run/runc", "none")
    };
    assert_eq!(answers(&mut states), [none]);
    assert_eq!(states.dropped(), 0);
}
