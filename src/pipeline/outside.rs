//! Executions from outside the cgroups asked for: they count if a runtime ran them, for a
//! container inside. What tells that may come after their end, so some are held for a
//! while.

use std::collections::HashSet;

use super::{Pipeline, Totals};
use crate::anatomy::Start;
use crate::container_cgroups::{Answer, ContainerCgroups};
use crate::event::{End, Execution, Image, ProcessId};
use crate::filter::{Miss, Selection};
use crate::hash::QuickBuild;
use crate::label::Labels;
use crate::names::Newest;
use crate::nearest::Kind;
use crate::runtime;
use crate::source::About;

/// What may tell an execution's container comes within this time of its start: a file has
/// to be read, by a thread that nobody waits for.
const HOLD_NS: u64 = 1_000_000_000;
/// Runtimes that are over and kept in mind, the newest half of that at least.
const OVER_MAX: usize = 8192;
/// Executions that are held at once; beyond it none waits.
const HELD_MAX: usize = 65_536;

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
    /// Runtimes that are over: what they have started may end, or be decided, later.
    over: Newest<ProcessId, Over, QuickBuild, OVER_MAX>,
    /// Over, but not decided.
    held: Vec<Execution>,
    /// Whose executions are held.
    waiting: HashSet<ProcessId>,
    /// Cgroups were asked for, now or when it was recorded.
    asked: bool,
}

/// What a runtime was taken for.
#[derive(Debug)]
struct Over {
    asked_for: bool,
    container_cgroup: Option<String>,
}

impl Outside {
    pub(super) fn new(about: &About, asked_now: bool) -> Outside {
        Outside {
            containers: ContainerCgroups::new(about),
            asked: asked_now || !about.cgroups.is_empty(),
            ..Outside::default()
        }
    }

    /// Whether something waits for a later batch.
    pub(super) fn waits(&self) -> bool {
        !self.held.is_empty()
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
        if self.outside.asked {
            self.note_runtimes(&ended, now_ns);
        }
        if self.selection.is_some() || ended.iter().any(|e| e.image.elsewhere) {
            let other = |e: &mut Execution| self.verdict(e, now_ns) != Verdict::In;
            let others: Vec<Execution> = ended.extract_if(.., other).collect();
            for execution in others {
                let waits = self.verdict(&execution, now_ns) == Verdict::Wait;
                match waits && self.outside.held.len() < HELD_MAX {
                    true => self.outside.held.push(execution),
                    false => self.leave_out(execution, totals),
                }
            }
        }
        self.ended = ended;
    }

    fn note_runtimes(&mut self, ended: &[Execution], now_ns: u64) {
        self.outside.waiting.clear();
        for execution in ended {
            if execution.part_of.is_some() || !runtime::may_run_again(execution.image.comm()) {
                continue;
            }
            let process = execution.process;
            match self.verdict(execution, now_ns) {
                Verdict::Wait => {
                    self.outside.waiting.insert(process);
                }
                // A wrapper; the runtime that replaced it has a say of its own.
                Verdict::Out if execution.end == End::Exec => {}
                verdict => {
                    let over = Over {
                        asked_for: verdict == Verdict::In,
                        container_cgroup: self.cgroup_by_itself(execution),
                    };
                    self.outside.over.insert(process, over);
                }
            }
        }
    }

    /// Counts what tells why nothing matches, if nothing does.
    fn leave_out(&mut self, execution: Execution, totals: &mut Totals) {
        match self.misses(&execution) {
            Some(Miss::Scope) => {}
            Some(Miss::Uid) => totals.left_out.by_uid += 1,
            Some(Miss::Name) => totals.left_out.add_name(runtime_of(&execution.image)),
            // It is decided as its runtime is.
            None if execution.part_of.is_some() => {}
            None => match runtime_of(&execution.image) {
                Some(runtime) => self.count_elsewhere(&execution, runtime, totals),
                None => totals.left_out.by_cgroup += 1,
            },
        }
        self.spare.give(execution.image);
    }

    /// A runtime's execution that came near: only its container is not one asked for.
    fn count_elsewhere(&self, execution: &Execution, runtime: &str, totals: &mut Totals) {
        let (image, containers) = (&execution.image, &self.outside.containers);
        let answer = containers.of(execution, &self.names, false);
        let ran_in = self.names.cgroup(image.cgroup_id);
        totals.nearest.add(Kind {
            name: runtime.to_owned(),
            ran_in: ran_in.map(|cgroup| cgroup.path.clone()),
            known: matches!(answer, Answer::Found(_)),
        });
        let strict = self.selection.as_ref().is_some_and(Selection::strict);
        totals.summary.undecided += u64::from(answer == Answer::Unknown && !strict);
    }

    fn misses(&self, execution: &Execution) -> Option<Miss> {
        let selection = self.selection.as_ref()?;
        selection.misses(execution.process.tgid, &execution.image)
    }

    /// Whether the execution is asked for, as far as is known by now.
    pub(super) fn verdict(&self, execution: &Execution, now_ns: u64) -> Verdict {
        if self.misses(execution).is_some() {
            return Verdict::Out;
        }
        if !self.outside.asked {
            return Verdict::In;
        }
        let Some(runtime) = execution.part_of else {
            return self.verdict_by_itself(execution, now_ns);
        };
        if self.ran_inside(execution) {
            return Verdict::In;
        }
        if let Some(runtime) = self.pair.running_in(runtime, now_ns) {
            // It may enter a container yet, which tells better than its id.
            let settled = runtime.place.is_some() || self.ran_inside(&runtime);
            return match settled {
                true => self.verdict_by_itself(&runtime, now_ns),
                false => Verdict::Wait,
            };
        }
        if self.outside.waiting.contains(&runtime) {
            return Verdict::Wait;
        }
        match self.outside.over.get(&runtime) {
            Some(over) if over.asked_for => Verdict::In,
            Some(_) => Verdict::Out,
            None => self.verdict_by_itself(execution, now_ns),
        }
    }

    /// The same of a start.
    pub(super) fn takes_start(&self, start: &Start) -> bool {
        let selection = self.selection.as_ref();
        let (process, image) = (start.main, &start.image);
        if selection.is_some_and(|s| s.misses(process.tgid, image).is_some()) {
            return false;
        }
        if !self.outside.asked {
            return true;
        }
        if let Some(over) = self.outside.over.get(&process) {
            return over.asked_for;
        }
        match self.pair.running_in(process, u64::MAX) {
            Some(runtime) => self.verdict(&runtime, u64::MAX) == Verdict::In,
            None => !image.elsewhere && self.ran_where_asked(image),
        }
    }

    fn verdict_by_itself(&self, execution: &Execution, now_ns: u64) -> Verdict {
        if self.ran_inside(execution) {
            return Verdict::In;
        }
        let selection = self.selection.as_ref();
        if selection.is_some_and(|selection| selection.strict()) {
            return Verdict::Out;
        }
        let waits = execution.start_ns.saturating_add(HOLD_NS) > now_ns;
        let running = execution.end == End::Running;
        let containers = &self.outside.containers;
        match containers.of(execution, &self.names, waits) {
            Answer::Found(found) => {
                let recorded = !execution.image.elsewhere || found.inside;
                let path = found.path.as_deref();
                let now = self.ran_where_asked(&execution.image)
                    || selection.is_none_or(|selection| selection.holds(path));
                match recorded && now {
                    true => Verdict::In,
                    false => Verdict::Out,
                }
            }
            Answer::NotYet => Verdict::Wait,
            // It may put a process somewhere yet.
            Answer::NoContainer | Answer::Unknown | Answer::Unbelieved if running => Verdict::Wait,
            Answer::NoContainer | Answer::Unknown | Answer::Unbelieved => Verdict::Out,
        }
    }

    /// Whether where it ran is enough.
    fn ran_inside(&self, execution: &Execution) -> bool {
        !execution.image.elsewhere && self.ran_where_asked(&execution.image)
    }

    fn ran_where_asked(&self, image: &Image) -> bool {
        let cgroup = self.names.cgroup(image.cgroup_id);
        let path = cgroup.map(|cgroup| cgroup.path.as_str());
        let selection = self.selection.as_ref();
        selection.is_none_or(|selection| selection.holds(path))
    }

    /// The cgroup of the container, of an execution that a runtime ran.
    pub(super) fn container_cgroup(
        &self,
        execution: &Execution,
        labels: &Labels<'_>,
    ) -> Option<String> {
        labels.runtime?;
        let of_runtime = || {
            let runtime = execution.part_of?;
            match self.pair.running_in(runtime, execution.end_ns) {
                Some(runtime) => self.cgroup_by_itself(&runtime),
                None => self.outside.over.get(&runtime)?.container_cgroup.clone(),
            }
        };
        self.cgroup_by_itself(execution).or_else(of_runtime)
    }

    fn cgroup_by_itself(&self, execution: &Execution) -> Option<String> {
        let containers = &self.outside.containers;
        match containers.of(execution, &self.names, false) {
            Answer::Found(found) => found.path,
            Answer::NotYet | Answer::NoContainer | Answer::Unknown | Answer::Unbelieved => None,
        }
    }
}

/// The runtime that an image is an invocation of.
fn runtime_of(image: &Image) -> Option<&'static str> {
    if !runtime::may_run_again(image.comm()) {
        return None;
    }
    let argv = &image.argv;
    let called = runtime::parse(argv.args(), !argv.whole(), image.comm())?;
    Some(called.runtime)
}
