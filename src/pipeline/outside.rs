//! Executions from outside the cgroups asked for: they count if a runtime ran them, for a
//! container inside. What decides that may come after their end, so some are held for a
//! while.

mod verdict;

use std::collections::HashSet;

use super::{Pipeline, Totals};
use crate::container_cgroups::ContainerCgroups;
use crate::event::{Execution, ProcessId};
use crate::filter::Selection;
use crate::hash::QuickBuild;
use crate::names::{Names, Newest};
use crate::pair::{Placed, Subject};
use crate::source;
use crate::state::StatePlace;
use crate::wire::CgroupName;
pub(super) use verdict::{Verdict, runtime_of};

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
}

/// What a held execution takes in memory.
fn bytes(execution: &Execution) -> usize {
    let image = &execution.image;
    size_of_val(execution) + size_of_val(&**image) + image.argv.bytes.len()
}
