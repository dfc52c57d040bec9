//! Executions from outside the cgroups asked for: they count if a runtime ran them, for a
//! container inside. What decides that may come after their end, so some are held for a
//! while.

use std::collections::HashSet;

use super::{Pipeline, Totals};
use crate::anatomy::Start;
use crate::container_cgroups::{Answer, ContainerCgroups};
use crate::event::{Execution, Image, ProcessId};
use crate::filter::{Miss, Selection};
use crate::hash::QuickBuild;
use crate::label::Labels;
use crate::names::{Names, Newest};
use crate::nearest::{About, Kind};
use crate::pair::{Placed, Subject};
use crate::runtime;
use crate::source;
use crate::state::StatePlace;
use crate::text::base_name;
use crate::wire::CgroupName;

/// What decides on an execution's container comes within this time of its start: a file has
/// to be read, by a thread that nobody waits for.
const HOLD_NS: u64 = 1_000_000_000;
/// Runtimes that have ended and are kept in mind, the newest half of that at least.
const ENDED_MAX: usize = 8192;
/// What held executions may take in memory; where it is more, all are decided by what is
/// known.
const HELD_MAX_BYTES: usize = 16 << 20;
/// When nothing more can come.
const NEVER_NS: u64 = u64::MAX;

/// Whether an execution is one of those asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    In,
    Out,
    /// It may be one: more is to come.
    Wait,
}

/// What is known beyond the executions themselves.
#[derive(Debug, Default)]
pub(super) struct Outside {
    containers: ContainerCgroups,
    /// Runtimes that have ended: what they started may end, or be decided, later.
    ended: Newest<ProcessId, EndedRuntime, QuickBuild, ENDED_MAX>,
    /// Ended, but not decided.
    held: Vec<Execution>,
    /// Runtimes among these.
    waiting: HashSet<ProcessId>,
    /// Cgroups were asked for, now or when it was recorded.
    asked: bool,
    /// Somebody needs to know where containers are.
    pub(super) keeps_places: bool,
    /// All that a runtime starts counts as its work, not its `init` alone.
    follows: bool,
}

/// What a runtime was taken for.
#[derive(Debug)]
struct EndedRuntime {
    asked_for: bool,
    container_cgroup: Option<String>,
}

impl Outside {
    pub(super) fn new(about: &source::About, asked_now: bool) -> Outside {
        let asked = asked_now || !about.cgroups.is_empty();
        Outside {
            containers: ContainerCgroups::new(about),
            asked,
            keeps_places: asked,
            follows: about.follows,
            ..Outside::default()
        }
    }

    /// Whether something waits for a later batch.
    pub(super) fn waits(&self) -> bool {
        !self.held.is_empty()
    }

    /// Takes cgroups that were there when tracing began.
    pub(super) fn add_directories(&mut self, directories: &[String]) {
        if self.keeps_places {
            directories
                .iter()
                .for_each(|directory| self.containers.add_directory(directory));
        }
    }

    /// Takes the name of a cgroup.
    pub(super) fn add_cgroup(&mut self, cgroup: &CgroupName) {
        if self.keeps_places && !cgroup.truncated {
            self.containers.add_cgroup(&cgroup.path);
        }
    }

    /// Takes what runtimes keep on disk.
    pub(super) fn add_states(&mut self, states: impl Iterator<Item = StatePlace>) {
        if self.keeps_places {
            states.for_each(|state| self.containers.add_state(state));
        }
    }

    /// Binds ids to the places where runtimes were seen to put something, and what has ended
    /// to what its id means now.
    pub(super) fn bind(&mut self, placed: &[Placed], ended: &mut [Execution], names: &Names) {
        if !self.keeps_places {
            return;
        }
        for placed in placed {
            self.containers.add_place(placed, names);
        }
        for execution in ended {
            let found = self.containers.now((&*execution).into(), names);
            execution.container = found.map(Box::new);
        }
    }
}

impl Pipeline {
    /// Leaves in `ended` what is asked for; what was held before may be among it. Runtimes
    /// are decided first: what they have started is decided as they are.
    pub(super) fn leave_asked_for(&mut self, now_ns: u64, totals: &mut Totals) {
        let mut ended = std::mem::take(&mut self.ended);
        if !self.outside.held.is_empty() {
            ended.splice(..0, self.outside.held.drain(..));
        }
        if self.outside.keeps_places {
            self.note_runtimes(&ended, now_ns);
        }
        if self.selection.is_some() || ended.iter().any(|e| e.image.elsewhere) {
            let mut waiting = self.decide(&mut ended, now_ns, totals);
            if waiting.iter().map(bytes).sum::<usize>() > HELD_MAX_BYTES {
                self.note_runtimes(&waiting, NEVER_NS);
                self.decide(&mut waiting, NEVER_NS, totals);
                ended.append(&mut waiting);
            }
            self.outside.held = waiting;
        }
        self.ended = ended;
    }

    /// Leaves in `executions` what is asked for; returns what more may come for.
    fn decide(
        &mut self,
        executions: &mut Vec<Execution>,
        now_ns: u64,
        totals: &mut Totals,
    ) -> Vec<Execution> {
        let mut waits = Vec::new();
        let others = executions.extract_if(.., |execution| {
            let verdict = self.verdict((&*execution).into(), now_ns);
            if verdict != Verdict::In {
                waits.push(verdict == Verdict::Wait);
            }
            verdict != Verdict::In
        });
        let others: Vec<Execution> = others.collect();
        let mut waiting = Vec::new();
        for (execution, waits) in others.into_iter().zip(waits) {
            match waits {
                true => waiting.push(execution),
                false => {
                    self.count_left_out((&execution).into(), totals);
                    self.spare.give(execution.image);
                }
            }
        }
        waiting
    }

    fn note_runtimes(&mut self, ended: &[Execution], now_ns: u64) {
        self.outside.waiting.clear();
        for execution in ended {
            let subject = Subject::from(execution);
            if subject.part_of.is_some() || runtime_of(subject.image).is_none() {
                continue;
            }
            match self.verdict(subject, now_ns) {
                Verdict::Wait => {
                    self.outside.waiting.insert(subject.process);
                }
                verdict => {
                    let ended = EndedRuntime {
                        asked_for: verdict == Verdict::In,
                        container_cgroup: self.cgroup_by_itself(subject),
                    };
                    self.outside.ended.insert(subject.process, ended);
                }
            }
        }
    }

    /// Counts what says why nothing matches, if nothing does.
    pub(super) fn count_left_out(&self, subject: Subject<'_>, totals: &mut Totals) {
        let runtime = || runtime_of(subject.image);
        match self.misses(subject) {
            Some(Miss::Scope) => {}
            Some(Miss::Uid) => totals.left_out.by_uid += 1,
            Some(Miss::Name) => totals.left_out.add_name(runtime()),
            None if self.has_lost_its_runtime(subject) => {
                totals.summary.undecided += u64::from(!self.is_strict());
            }
            // It is decided as its runtime is.
            None if subject.part_of.is_some() => {}
            None if runtime().is_none() => totals.left_out.by_cgroup += 1,
            None => self.count_elsewhere(subject, totals),
        }
    }

    /// A runtime's execution that came near: only its container is not one asked for.
    fn count_elsewhere(&self, subject: Subject<'_>, totals: &mut Totals) {
        let (image, containers) = (subject.image, &self.outside.containers);
        let ran_in = self.names.cgroup(image.cgroup_id);
        let selection = self.selection.as_ref();
        let asked_now = |path| selection.is_some_and(|selection| selection.holds(path));
        let (about, undecided) = match containers.of(subject, &self.names, false) {
            Answer::Found(found) if asked_now(found.path.as_deref()) => (About::Unrecorded, false),
            Answer::Found(_) => (About::Another, false),
            Answer::NoContainer => (About::None, false),
            Answer::Unbelieved => (About::Unknown, false),
            Answer::NotYet | Answer::Unknown => (About::Unknown, !self.is_strict()),
        };
        totals.summary.undecided += u64::from(undecided);
        totals.nearest.add(Kind {
            name: program(image),
            ran_in: ran_in.map(|cgroup| cgroup.path.clone()),
            about,
        });
    }

    fn misses(&self, subject: Subject<'_>) -> Option<Miss> {
        let selection = self.selection.as_ref()?;
        selection.misses(subject.process.tgid, subject.image)
    }

    fn is_strict(&self) -> bool {
        self.selection.as_ref().is_some_and(Selection::strict)
    }

    /// Whether the execution is asked for, as far as is known by now.
    pub(super) fn verdict(&self, subject: Subject<'_>, now_ns: u64) -> Verdict {
        if self.misses(subject).is_some() {
            return Verdict::Out;
        }
        if !self.outside.asked || self.ran_inside(subject.image) {
            return Verdict::In;
        }
        if self.is_strict() {
            return Verdict::Out;
        }
        match self.runtime_that_counts(subject) {
            Some(runtime) => self.verdict_by_runtime(runtime, subject, now_ns),
            None => self.verdict_by_itself(subject, now_ns),
        }
    }

    /// The runtime that decides: of its `init`, and of all that it started where that is
    /// followed.
    fn runtime_that_counts(&self, subject: Subject<'_>) -> Option<ProcessId> {
        let runtime = subject.part_of?;
        let follows = self.outside.follows && subject.image.elsewhere;
        (follows || runtime_of(subject.image).is_some()).then_some(runtime)
    }

    /// Whether nothing is known any more of the runtime that decides.
    fn has_lost_its_runtime(&self, subject: Subject<'_>) -> bool {
        self.runtime_that_counts(subject).is_some_and(|runtime| {
            self.pair.subject(runtime).is_none() && self.outside.ended.get(&runtime).is_none()
        })
    }

    fn verdict_by_runtime(&self, runtime: ProcessId, subject: Subject<'_>, now_ns: u64) -> Verdict {
        if let Some(runtime) = self.pair.subject(runtime) {
            if runtime_of(runtime.image).is_none() {
                return self.verdict_by_itself(subject, now_ns);
            }
            // It may enter a container yet, in one hierarchy after the other, which is better
            // evidence than its id; but not long after what it started is over.
            let over = subject
                .ended_ns
                .is_some_and(|ns| ns.saturating_add(HOLD_NS) <= now_ns);
            let settled = over || now_ns == NEVER_NS;
            let until_ns = if settled { NEVER_NS } else { now_ns };
            let seen = runtime.place.is_some() || self.ran_inside(runtime.image);
            return match self.verdict_by_itself(runtime, until_ns) {
                Verdict::In if seen || settled => Verdict::In,
                _ if !settled => Verdict::Wait,
                verdict => verdict,
            };
        }
        if self.outside.waiting.contains(&runtime) {
            return Verdict::Wait;
        }
        match self.outside.ended.get(&runtime) {
            Some(runtime) if runtime.asked_for => Verdict::In,
            Some(_) => Verdict::Out,
            None => self.verdict_by_itself(subject, now_ns),
        }
    }

    fn verdict_by_itself(&self, subject: Subject<'_>, now_ns: u64) -> Verdict {
        if self.ran_inside(subject.image) {
            return Verdict::In;
        }
        let waits = subject.start_ns.saturating_add(HOLD_NS) > now_ns;
        let containers = &self.outside.containers;
        match containers.of(subject, &self.names, waits) {
            Answer::Found(found) => {
                let recorded = !subject.image.elsewhere || found.inside;
                let now = self.ran_where_asked(subject.image) || self.holds(found.path.as_deref());
                match recorded && now {
                    true => Verdict::In,
                    false => Verdict::Out,
                }
            }
            Answer::NotYet => Verdict::Wait,
            Answer::NoContainer | Answer::Unknown | Answer::Unbelieved => {
                // It may put a process somewhere yet.
                match subject.ended_ns.is_none() && now_ns != NEVER_NS {
                    true => Verdict::Wait,
                    false => Verdict::Out,
                }
            }
        }
    }

    /// The same of a start.
    pub(super) fn takes_start(&self, start: &Start, totals: &mut Totals) -> bool {
        let (process, image) = (start.main, &*start.image);
        if let Some(selection) = &self.selection
            && selection.misses(process.tgid, image).is_some()
        {
            return false;
        }
        if !self.outside.asked || self.ran_inside(image) {
            return true;
        }
        if let Some(runtime) = self.outside.ended.get(&process) {
            return runtime.asked_for;
        }
        if let Some(runtime) = self.pair.subject(process) {
            return self.verdict(runtime, NEVER_NS) == Verdict::In;
        }
        totals.summary.undecided += u64::from(!self.is_strict());
        false
    }

    /// Whether where it ran is enough.
    fn ran_inside(&self, image: &Image) -> bool {
        !image.elsewhere && self.ran_where_asked(image)
    }

    fn ran_where_asked(&self, image: &Image) -> bool {
        let cgroup = self.names.cgroup(image.cgroup_id);
        self.holds(cgroup.map(|cgroup| cgroup.path.as_str()))
    }

    fn holds(&self, path: Option<&str>) -> bool {
        let selection = self.selection.as_ref();
        selection.is_none_or(|selection| selection.holds(path))
    }

    /// The cgroup of the container, of an execution that a runtime ran.
    pub(super) fn container_cgroup(
        &self,
        subject: Subject<'_>,
        labels: &Labels<'_>,
    ) -> Option<String> {
        if !self.outside.keeps_places || labels.runtime.is_none() {
            return None;
        }
        let of_runtime = || {
            let runtime = subject.part_of?;
            match self.pair.subject(runtime) {
                Some(runtime) => self.cgroup_by_itself(runtime),
                None => {
                    let ended = self.outside.ended.get(&runtime)?;
                    ended.container_cgroup.clone()
                }
            }
        };
        self.cgroup_by_itself(subject).or_else(of_runtime)
    }

    fn cgroup_by_itself(&self, subject: Subject<'_>) -> Option<String> {
        let containers = &self.outside.containers;
        match containers.of(subject, &self.names, false) {
            Answer::Found(found) => found.path,
            Answer::NotYet | Answer::NoContainer | Answer::Unknown | Answer::Unbelieved => None,
        }
    }
}

/// What a held execution takes in memory.
fn bytes(execution: &Execution) -> usize {
    let image = &execution.image;
    size_of_val(execution) + size_of_val(&**image) + image.argv.bytes.len()
}

/// The runtime that an image is an invocation of.
fn runtime_of(image: &Image) -> Option<&'static str> {
    let argv = &image.argv;
    let called = runtime::parse(argv.args(), !argv.whole(), image.comm())?;
    Some(called.runtime)
}

/// What a person calls it: the base name of its first argument, or its comm.
fn program(image: &Image) -> String {
    let first = image.argv.first().unwrap_or_default();
    let base = base_name(first);
    let name = if base.is_empty() { image.comm() } else { base };
    String::from_utf8_lossy(name).into_owned()
}
