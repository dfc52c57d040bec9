//! Executions from outside the cgroups asked for: they count if a runtime ran them, for a
//! container inside. What decides that may come after their end, so some are held for a
//! while.

use std::collections::HashSet;

use super::{Pipeline, Totals};
use crate::anatomy::Start;
use crate::cgroup::Cgroup;
use crate::container_cgroups::{Answer, ContainerCgroups};
use crate::event::{Execution, Image, ProcessId};
use crate::filter::{Miss, Selection};
use crate::hash::QuickBuild;
use crate::label::Labels;
use crate::names::{Names, Newest};
use crate::pair::{Placed, Subject};
use crate::runtime;
use crate::source;
use crate::state::StatePlace;
use crate::wire::CgroupName;

/// What decides on an execution's container comes within this time of its start: a file has
/// to be read, by a thread that nobody waits for.
const HOLD_NS: u64 = 1_000_000_000;
/// Runtimes that are over and are kept in mind, the newest half of that at least.
const PAST_MAX: usize = 8192;
/// What is held is looked at again after this time, however many rounds there are in it.
const AGAIN_NS: u64 = 10_000_000;
/// What held executions may take in memory; where it is more, all are decided by what is
/// known.
const HELD_MAX_BYTES: usize = 16 << 20;
/// What the time is when nothing more can come: what is known has to do.
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
    pub(super) containers: ContainerCgroups,
    /// Runtimes that are over and decided: what they started may end, or be decided, later.
    past_runtimes: Newest<ProcessId, PastRuntime, QuickBuild, PAST_MAX>,
    /// What is over, and not decided.
    held: Vec<Execution>,
    /// What they take in memory.
    held_bytes: usize,
    /// When they were last looked at.
    looked_ns: u64,
    /// Runtimes among these.
    held_runtimes: HashSet<ProcessId>,
    /// Cgroups were asked for, now or when it was recorded.
    asked: bool,
    /// All that were asked for when it was recorded are asked for now: the kernel has decided.
    asks_for_all: bool,
    /// It is kept where containers are: rows show it, or cgroups were asked for.
    keeps_places: bool,
    /// All that a runtime starts counts as its work, not its `init` alone.
    follows: bool,
}

/// What a runtime was taken for.
#[derive(Debug)]
struct PastRuntime {
    /// Its container was asked for, or where it ran.
    belongs: bool,
    /// Nothing tells where its container is.
    undecided: bool,
    container_cgroup: Option<String>,
}

impl Outside {
    pub(super) fn new(about: &source::About, selection: Option<&Selection>) -> Outside {
        let asked_now = selection.is_some_and(Selection::asks_cgroups);
        let asked = asked_now || !about.cgroups.is_empty();
        let mount = about.mount();
        let mut recorded = about.cgroups.iter().map(|directory| mount.path(directory));
        let asks_for_all = !about.cgroups.is_empty()
            && selection.is_some_and(|selection| {
                recorded.all(|path| selection.holds_below(path.as_deref()))
            });
        Outside {
            asks_for_all,
            containers: ContainerCgroups::new(about),
            asked,
            keeps_places: asked,
            follows: about.follows,
            ..Outside::default()
        }
    }

    /// From now on, it is kept where containers are.
    pub(super) fn keep_places(&mut self) {
        self.keeps_places = true;
    }

    /// Whether something waits for a later batch.
    pub(super) fn waits(&self) -> bool {
        !self.held.is_empty()
    }

    fn hold(&mut self, waiting: Vec<Execution>) {
        self.held_bytes += waiting.iter().map(bytes).sum::<usize>();
        self.held.extend(waiting);
    }

    fn take_held(&mut self) -> Vec<Execution> {
        self.held_runtimes.clear();
        self.held_bytes = 0;
        std::mem::take(&mut self.held)
    }

    /// What is held, if it is time to look at it again.
    fn take_due(&mut self, now_ns: u64) -> Option<Vec<Execution>> {
        let due = now_ns == NEVER_NS || now_ns.saturating_sub(self.looked_ns) >= AGAIN_NS;
        due.then(|| {
            self.looked_ns = now_ns;
            self.take_held()
        })
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
        if let Some(held) = self.outside.take_due(now_ns) {
            ended.splice(..0, held);
        }
        if self.outside.keeps_places {
            self.note_runtimes(&ended, now_ns);
        }
        if self.selection.is_some() || ended.iter().any(|e| e.image.elsewhere) {
            let waiting = self.decide(&mut ended, now_ns, totals);
            self.outside.hold(waiting);
            if self.outside.held_bytes > HELD_MAX_BYTES {
                let mut held = self.outside.take_held();
                self.note_runtimes(&held, NEVER_NS);
                let none = self.decide(&mut held, NEVER_NS, totals);
                debug_assert!(none.is_empty(), "nothing waits for what never comes");
                ended.append(&mut held);
            }
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
        let taken = Vec::with_capacity(executions.len());
        let mut waiting = Vec::new();
        for execution in std::mem::replace(executions, taken) {
            match self.verdict((&execution).into(), now_ns) {
                Verdict::In => executions.push(execution),
                Verdict::Wait => waiting.push(execution),
                Verdict::Out => {
                    self.count_left_out((&execution).into(), totals);
                    self.spare.give(execution.image);
                }
            }
        }
        waiting
    }

    /// Notes what the runtimes are taken for that are over, whether they pass the filters or
    /// not: what they started may.
    fn note_runtimes(&mut self, over: &[Execution], now_ns: u64) {
        for execution in over {
            let subject = Subject::from(execution);
            if subject.part_of.is_some() || runtime_of(subject.image).is_none() {
                continue;
            }
            let process = subject.process;
            match self.belongs(subject, now_ns) {
                Verdict::Wait => {
                    self.outside.held_runtimes.insert(process);
                }
                verdict => {
                    let belongs = verdict == Verdict::In;
                    let past = PastRuntime {
                        belongs,
                        undecided: !belongs && self.is_undecided(subject),
                        container_cgroup: self.cgroup_by_itself(subject),
                    };
                    self.outside.past_runtimes.insert(process, past);
                }
            }
        }
    }

    /// Whether the execution is asked for, as far as is known by now.
    pub(super) fn verdict(&self, subject: Subject<'_>, now_ns: u64) -> Verdict {
        match self.misses(subject) {
            Some(_) => Verdict::Out,
            None => self.belongs(subject, now_ns),
        }
    }

    pub(super) fn misses(&self, subject: Subject<'_>) -> Option<Miss> {
        let selection = self.selection.as_ref()?;
        selection.misses(subject.process.tgid, subject.image)
    }

    pub(super) fn is_strict(&self) -> bool {
        self.selection.as_ref().is_some_and(Selection::strict)
    }

    /// Whether it belongs to the cgroups asked for, whatever other filters say: it ran there,
    /// or is about a container there.
    fn belongs(&self, subject: Subject<'_>, now_ns: u64) -> Verdict {
        if !self.outside.asked || self.ran_inside(subject.image) {
            return Verdict::In;
        }
        if self.is_strict() {
            return Verdict::Out;
        }
        match self.runtime_that_counts(subject) {
            Some(runtime) => self.belongs_by_runtime(runtime, subject, now_ns),
            None => self.belongs_by_itself(subject, now_ns),
        }
    }

    /// The runtime that decides: of its `init`, and of all that it started where that is
    /// followed.
    pub(super) fn runtime_that_counts(&self, subject: Subject<'_>) -> Option<ProcessId> {
        let runtime = subject.part_of?;
        let follows = self.outside.follows && subject.image.elsewhere;
        (follows || runtime_of(subject.image).is_some()).then_some(runtime)
    }

    fn belongs_by_runtime(&self, runtime: ProcessId, subject: Subject<'_>, now_ns: u64) -> Verdict {
        if let Some(runtime) = self.open_runtime(runtime) {
            // It may enter a container yet, in one hierarchy after the other, which is better
            // evidence than its id; but not long after what it started is over.
            let ended_ns = subject.ended_ns;
            let over = ended_ns.is_some_and(|ns| ns.saturating_add(HOLD_NS) <= now_ns);
            let now_ns = if over { NEVER_NS } else { now_ns };
            let seen = runtime.place.is_some() || self.ran_inside(runtime.image);
            return match self.belongs_by_itself(runtime, now_ns) {
                verdict if now_ns == NEVER_NS => verdict,
                Verdict::In if seen => Verdict::In,
                _ => Verdict::Wait,
            };
        }
        if self.outside.held_runtimes.contains(&runtime) {
            return Verdict::Wait;
        }
        match self.outside.past_runtimes.get(&runtime) {
            Some(runtime) if runtime.belongs => Verdict::In,
            Some(_) => Verdict::Out,
            None => self.belongs_by_itself(subject, now_ns),
        }
    }

    /// What runs in this process still, if it is a runtime.
    pub(super) fn open_runtime(&self, process: ProcessId) -> Option<Subject<'_>> {
        let running = self.pair.subject(process);
        running.filter(|subject| runtime_of(subject.image).is_some())
    }

    /// Whether nothing tells where the container is of a runtime that is over; None if it is
    /// not known that there was one.
    pub(super) fn is_past_undecided(&self, runtime: ProcessId) -> Option<bool> {
        let past = self.outside.past_runtimes.get(&runtime)?;
        Some(past.undecided)
    }

    fn belongs_by_itself(&self, subject: Subject<'_>, now_ns: u64) -> Verdict {
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
        if let Some(runtime) = self.outside.past_runtimes.get(&process) {
            return runtime.belongs;
        }
        if let Some(runtime) = self.pair.subject(process) {
            return self.belongs(runtime, NEVER_NS) == Verdict::In;
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
        self.holds(cgroup.and_then(Cgroup::whole_path))
    }

    fn holds(&self, path: Option<&str>) -> bool {
        let selection = self.selection.as_ref();
        self.outside.asks_for_all || selection.is_none_or(|selection| selection.holds(path))
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
                    let past = self.outside.past_runtimes.get(&runtime)?;
                    past.container_cgroup.clone()
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
pub(super) fn runtime_of(image: &Image) -> Option<&'static str> {
    runtime::name_of(&image.argv, image.comm())
}
