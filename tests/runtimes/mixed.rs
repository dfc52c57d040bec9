//! Many actions on many containers, some at the same time, against the caller's account
//! of them; live, and from a recording made meanwhile.

use serde_json::Value;

use crate::common::compare::{Key, key_of_row};
use crate::common::{Observed, count, losses, text};
use crate::driver::Started;
use crate::due::{number, pid_in};
use crate::host::Runtime;

use super::PAYLOAD;
use super::worker::{Caller, Due, Ends, NOWHERE, Worker, create, create_files};

const ACTIONS: usize = 997;
/// Not fewer than can be told apart, however few actions.
const CONTAINERS: usize = 31;
const AT_LEAST: usize = 7;
/// How many actions run at the same time, each on another container.
const AT_ONCE: usize = 3;
/// Each of these runs inside of the cgroup that is asked for.
const INSIDE: usize = 83;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Gone,
    Created,
    Runs,
    Stopped,
}

/// A container, and what is being done to it.
struct Subject {
    handle: String,
    worker: usize,
    state: State,
    pid: u32,
    acting: Option<Acting>,
}

struct Acting {
    started: Started,
    args: Vec<String>,
    ends: Ends,
    then: State,
}

/// xorshift64*, from a seed that is always the same.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        for (left, shift) in [(false, 12), (true, 25), (false, 27)] {
            self.0 ^= if left {
                self.0 << shift
            } else {
                self.0 >> shift
            };
        }
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        high as usize % n
    }
}

struct Mixed {
    caller: Caller,
    /// One that is asked for, and one that is not; of one runtime's directory.
    workers: [Worker; 2],
    subjects: Vec<Subject>,
    random: Random,
}

impl Subject {
    /// An action that is possible now, or not at all, how it has to end, and what is
    /// true then.
    fn choose(&self, random: &mut Random, is_runc: bool, create: &[&str]) -> Chosen {
        let handle = self.handle.as_str();
        let state = &["state", handle][..];
        let chosen: &[(&[&str], Ends, State)] = match self.state {
            State::Gone => &[(create, Ends::Well, State::Created)],
            State::Created => &[
                (&["start", handle], Ends::Well, State::Runs),
                (&["start", handle], Ends::Well, State::Runs),
                (state, Ends::Well, State::Created),
                (create, Ends::Badly, State::Created),
                (&["delete", "-f", handle], Ends::Well, State::Gone),
            ],
            State::Runs => &[
                (state, Ends::Well, State::Runs),
                (&["exec", handle, "true"], Ends::Well, State::Runs),
                (&["exec", handle, "false"], Ends::With(1), State::Runs),
                (&["exec", "-d", handle, "true"], Ends::Well, State::Runs),
                (&["exec", handle, NOWHERE], Ends::Badly, State::Runs),
                (&["kill", handle, "CONT"], Ends::Well, State::Runs),
                (&["start", handle], Ends::Badly, State::Runs),
                (create, Ends::Badly, State::Runs),
                (&["kill", handle, "KILL"], Ends::Well, State::Stopped),
                (&["delete", "-f", handle], Ends::Well, State::Gone),
                (&["events", "--stats", handle], Ends::Well, State::Runs),
            ],
            State::Stopped => &[
                (state, Ends::Well, State::Stopped),
                (&["kill", handle, "KILL"], Ends::Badly, State::Stopped),
                (&["start", handle], Ends::Badly, State::Stopped),
                (&["exec", handle, "true"], Ends::Badly, State::Stopped),
                (&["delete", handle], Ends::Well, State::Gone),
                (&["delete", handle], Ends::Well, State::Gone),
            ],
        };
        let (args, ends, then) = chosen[random.below(chosen.len())];
        // crun has no events.
        let args = if args[0] == "events" && !is_runc {
            state
        } else {
            args
        };
        let args = args.iter().map(|&arg| arg.to_owned()).collect();
        (args, ends, then)
    }
}

fn containers() -> usize {
    count(CONTAINERS).max(AT_LEAST)
}

type Chosen = (Vec<String>, Ends, State);

impl Mixed {
    fn new(runtime: Option<Runtime>) -> Option<Mixed> {
        let mut caller = Caller::new(runtime)?;
        let asked = Worker::new(&caller.host, "garden", true);
        let other = asked.beside(&caller.host, "other");
        let workers = [asked, other];
        let subject = |n: usize| {
            let (worker, handle) = (n % 2, caller.id(&format!("c{n}")));
            let (mut state, mut pid) = (State::Gone, 0);
            // Some are there before execlat is.
            if n.is_multiple_of(3) {
                pid = caller.start_before(&workers[worker], &handle, &PAYLOAD);
                state = State::Runs;
            } else {
                workers[worker].bundle(&caller.host, &handle, &PAYLOAD);
            }
            Subject {
                handle,
                worker,
                state,
                pid,
                acting: None,
            }
        };
        let subjects = (0..containers()).map(subject).collect();
        let random = Random(0x9e37_79b9_7f4a_7c15);
        Some(Mixed {
            caller,
            workers,
            subjects,
            random,
        })
    }

    /// All of them, to their ends.
    fn act(&mut self) {
        let mut acting: Vec<usize> = Vec::new();
        for n in 0..count(ACTIONS) {
            if n % INSIDE == 1 {
                self.act_inside(n);
                continue;
            }
            let subject = self.random.below(self.subjects.len());
            let busy = acting.iter().position(|&other| other == subject);
            if let Some(first) = busy.or((acting.len() == AT_ONCE).then_some(0)) {
                self.settle(acting.remove(first));
            }
            self.start(subject);
            acting.push(subject);
        }
        acting.into_iter().for_each(|subject| self.settle(subject));
    }

    fn start(&mut self, n: usize) {
        let subject = &mut self.subjects[n];
        let worker = &self.workers[subject.worker];
        let (bundle, file) = create_files(worker, &self.caller.host, &subject.handle);
        let create = create(&bundle, &file, &subject.handle);
        let is_runc = self.caller.host.runtime.is_runc();
        let (args, ends, then) = subject.choose(&mut self.random, is_runc, &create);
        let words: Vec<&str> = args.iter().map(String::as_str).collect();
        let started = self.caller.spawn(worker, &words);
        subject.acting = Some(Acting {
            started,
            args,
            ends,
            then,
        });
    }

    fn settle(&mut self, n: usize) {
        let subject = &mut self.subjects[n];
        let Some(acting) = subject.acting.take() else {
            return;
        };
        let worker = &self.workers[subject.worker];
        let (handle, args) = (&subject.handle, &acting.args);
        let words: Vec<&str> = args.iter().map(String::as_str).collect();
        let done = self.caller.finish(&acting.started, acting.ends);
        self.caller.took(worker, handle, done, &words, acting.ends);
        match (subject.state, acting.then) {
            (State::Gone, State::Created) => {
                let (_, file) = create_files(worker, &self.caller.host, handle);
                subject.pid = pid_in(&file);
            }
            // Its end is the payload's, and not that of the `kill`.
            (State::Runs, State::Stopped) => drop(self.caller.host.driver.ended(subject.pid)),
            _ => {}
        }
        subject.state = acting.then;
    }

    /// By a runtime that itself runs in the cgroup that is asked for: about no container
    /// there.
    fn act_inside(&mut self, n: usize) {
        let asked = &self.workers[0];
        let shell = asked.garden.join("shell");
        if !shell.exists() {
            std::fs::create_dir(&shell).expect("a cgroup");
        }
        let other = &self.subjects[1].handle;
        let (list, state) = (["list"], ["state", other]);
        let args = [&list[..], &state][n / INSIDE % 2];
        let argv = asked.argv(&self.caller.host, args);
        let done = self.caller.run_inside(&shell, &argv);
        self.caller.due.push(Due {
            done,
            label: "inside".into(),
            container: None,
            enters: false,
            ran_in: asked.cgroup_of(&self.caller.host, "shell"),
        });
    }
}

/// What a report of a recording has; nothing may be lost on the way there.
fn report(file: &str, args: &[&str]) -> Observed {
    let observed = Observed::of_report(file, args);
    assert_eq!(losses(&observed.summary), Vec::<String>::new());
    observed
}

fn keys(rows: &[Value]) -> Vec<Key> {
    let mut keys: Vec<Key> = rows.iter().map(key_of_row).collect();
    keys.sort_unstable();
    keys
}

fn mixed_actions(runtime: Option<Runtime>) {
    let Some(mut mixed) = Mixed::new(runtime) else {
        return;
    };
    let name = mixed.caller.host.runtime.name;
    let file = mixed.caller.host.path("recording");
    let tracer = mixed.caller.trace(&mixed.workers[0], &["--record", &file]);
    mixed.act();
    let caller = &mixed.caller;
    let (observed, init) = caller.host.stop_and_split(tracer);
    caller.check_rows(&observed, &init, &[]);

    let by = ["-c", text(&mixed.workers[0].garden), "-n", name];
    let live = [&observed.rows[..], &init].concat();
    let again = report(&file, &by);
    assert_eq!(keys(&again.rows), keys(&live));
    let undecided = [&observed, &again].map(|of| number(&of.summary, "undecided"));
    assert_eq!(
        undecided[0], undecided[1],
        "{} {}",
        observed.stderr, again.stderr
    );
    let strict = report(&file, &[&by[..], &["--cgroup-strict"]].concat());
    let (init, main): (Vec<_>, Vec<_>) = strict
        .rows
        .into_iter()
        .partition(|r| r["argv"][1] == "init");
    let inside = caller.due.iter().filter(|due| due.label == "inside");
    let mut inside: Vec<Key> = inside
        .map(|due| (due.done.pid.into(), due.done.argv.clone()))
        .collect();
    inside.sort_unstable();
    assert!(!inside.is_empty());
    assert_eq!(keys(&main), inside);
    // Seldom there is one: its second exec, if that is late, may be where its container is.
    let below = format!("/{}/garden/", caller.host.cgroup_name());
    for row in init {
        let cgroup = row["cgroup"].as_str().expect("a path");
        assert!(cgroup.starts_with(&below), "{row}");
    }
}

#[test]
fn mixed_actions_with_runc() {
    mixed_actions(Runtime::runc());
}

#[test]
fn mixed_actions_with_crun() {
    mixed_actions(Runtime::crun());
}

/// A recording of all that the machine does can be asked for a worker as well: what is
/// shown there is one hierarchy, which all have a cgroup of this name in.
#[test]
fn a_recording_of_everything() {
    let Some(mut mixed) = Mixed::new(Runtime::runc()) else {
        return;
    };
    for controller in ["memory", "pids", "freezer"] {
        mixed.caller.host.v1(controller);
    }
    let file = mixed.caller.host.path("recording");
    let tracer = mixed.caller.host.bed.trace(&["--record", &file]);
    for subject in 0..mixed.subjects.len() {
        for _ in 0..5 {
            mixed.start(subject);
            mixed.settle(subject);
        }
    }
    let caller = &mixed.caller;
    let mut observed = tracer.stop();
    let garden = format!("/{}/garden", caller.host.cgroup_name());
    let report = report(&file, &["-c", &garden, "-n", "runc"]);
    let (init, main) = report
        .rows
        .into_iter()
        .partition(|r| r["argv"][1] == "init");
    observed.rows = main;
    let init: Vec<Value> = init;
    caller.check_rows(&observed, &init, &[]);
}
