//! Whether an execution is one of those asked for, by what is known so far.

use super::{HOLD_NS, NEVER_NS};
use crate::anatomy::Start;
use crate::cgroup::Cgroup;
use crate::container_cgroups::Answer;
use crate::event::{Image, ProcessId};
use crate::filter::{Miss, Selection};
use crate::label::Labels;
use crate::pair::Subject;
use crate::pipeline::{Pipeline, Totals};
use crate::runtime;

/// Whether an execution is one of those asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pipeline) enum Verdict {
    In,
    Out,
    /// It may be one: more is to come.
    Wait,
}

impl Pipeline {
    /// Whether the execution is asked for, as far as is known by now.
    pub(in crate::pipeline) fn verdict(&self, subject: Subject<'_>, now_ns: u64) -> Verdict {
        match self.misses(subject) {
            Some(_) => Verdict::Out,
            None => self.belongs(subject, now_ns),
        }
    }

    pub(in crate::pipeline) fn misses(&self, subject: Subject<'_>) -> Option<Miss> {
        let selection = self.selection.as_ref()?;
        selection.misses(subject.process.tgid, subject.image)
    }

    pub(in crate::pipeline) fn is_strict(&self) -> bool {
        self.selection.as_ref().is_some_and(Selection::strict)
    }

    /// Whether it belongs to the cgroups asked for, whatever other filters say: it ran there,
    /// or is about a container there.
    pub(super) fn belongs(&self, subject: Subject<'_>, now_ns: u64) -> Verdict {
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
    pub(in crate::pipeline) fn runtime_that_counts(
        &self,
        subject: Subject<'_>,
    ) -> Option<ProcessId> {
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
    pub(in crate::pipeline) fn open_runtime(&self, process: ProcessId) -> Option<Subject<'_>> {
        let running = self.pair.subject(process);
        running.filter(|subject| runtime_of(subject.image).is_some())
    }

    /// Whether nothing tells where the container is of a runtime that is over; None if it is
    /// not known that there was one.
    pub(in crate::pipeline) fn is_past_undecided(&self, runtime: ProcessId) -> Option<bool> {
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
    pub(in crate::pipeline) fn takes_start(&self, start: &Start, totals: &mut Totals) -> bool {
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
    pub(in crate::pipeline) fn container_cgroup(
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

    pub(super) fn cgroup_by_itself(&self, subject: Subject<'_>) -> Option<String> {
        let containers = &self.outside.containers;
        match containers.of(subject, &self.names, false) {
            Answer::Found(found) => found.path,
            Answer::NotYet | Answer::NoContainer | Answer::Unknown | Answer::Unbelieved => None,
        }
    }
}

/// The runtime that an image is an invocation of.
pub(in crate::pipeline) fn runtime_of(image: &Image) -> Option<&'static str> {
    runtime::name_of(&image.argv, image.comm())
}
