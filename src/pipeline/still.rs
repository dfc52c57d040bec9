//! What still runs: the lists of it, and what has run for too long.

use std::collections::HashMap;
use std::io;
use std::rc::Rc;

use super::outside::Verdict;
use super::{Pipeline, Totals};
use crate::chain::{Chains, Node};
use crate::config::RowFilter;
use crate::event::{Execution, ProcessId};
use crate::pair::Subject;
use crate::row::Row;
use crate::runtime;
use crate::slow::Late;

/// Ancestors that a line names.
const NAMED_MAX: usize = 3;

/// What a line about an execution says of those above it.
#[derive(Debug, Clone, Default)]
pub struct Above {
    /// The nearest ones: what each is called, its pid and its time so far, nanoseconds.
    pub named: Vec<(String, u32, u64)>,
    /// How many more there are.
    pub more: usize,
    /// The container of the nearest that has one; printable.
    pub container: Option<String>,
}

/// What lines say of a process that is above many others, so that it is found once.
#[derive(Debug, Clone, Default)]
struct Upwards {
    /// How many are above it.
    above: usize,
    /// The container of the nearest that has one, from itself on.
    container: Option<Rc<str>>,
}

/// Of all that were looked at for a list.
type Looked = HashMap<ProcessId, Upwards>;

/// How something that runs stands in a list.
#[derive(Debug)]
pub enum Standing {
    /// It has a line.
    Listed(Above),
    /// It is named in the line of what it waits for.
    Waits,
    /// `--line` leaves it out.
    NotAsked,
}

/// Which are told of once a limit is passed.
struct Told {
    /// Each with a line of its own.
    lines: Vec<ProcessId>,
    undecided: Vec<(ProcessId, u64)>,
}

impl Pipeline {
    /// What runs still, longest first, with what each is called, and how it stands in a
    /// list of those that `rows` asks for.
    ///
    /// # Errors
    /// Of `each`, which is not called again.
    pub fn each_running(
        &self,
        now_ns: u64,
        rows: &RowFilter,
        each: impl FnMut(&Row<'_>, Standing) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut running = self.pair.running(now_ns);
        running.retain(|one| self.verdict(one.into(), now_ns) == Verdict::In);
        self.show_running(&running, rows, each)
    }

    /// The same when tracing has ended at `now_ns`: what is not decided by now is left out,
    /// and counted.
    ///
    /// # Errors
    /// Of `each`, which is not called again.
    pub fn each_left_running(
        &self,
        now_ns: u64,
        totals: &mut Totals,
        each: impl FnMut(&Row<'_>, Standing) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut running = self.pair.running(now_ns);
        running.retain(|one| {
            let taken = self.verdict(one.into(), u64::MAX) == Verdict::In;
            if !taken {
                self.count_left_out(one.into(), totals);
            }
            taken
        });
        let rows = totals.rows.clone();
        self.show_running(&running, &rows, each)
    }

    fn show_running(
        &self,
        running: &[Execution],
        rows: &RowFilter,
        mut each: impl FnMut(&Row<'_>, Standing) -> io::Result<()>,
    ) -> io::Result<()> {
        let asked = |one: &&Execution| rows.line_passes(&one.image);
        let nodes: Vec<Node> = running
            .iter()
            .filter(asked)
            .filter_map(|one| node(one.into()))
            .collect();
        let chains = Chains::new(&nodes);
        let mut looked = Looked::new();
        for execution in running {
            let standing = if !rows.line_passes(&execution.image) {
                Standing::NotAsked
            } else if chains.child(execution.process).is_some() {
                Standing::Waits
            } else {
                let (process, now_ns) = (execution.process, execution.end_ns);
                Standing::Listed(self.above(&chains, &mut looked, process, now_ns))
            };
            let mut labels = self.names.labels(execution);
            labels.container_cgroup = self.container_cgroup(execution.into(), &labels);
            each(&self.row(execution, &labels), standing)?;
        }
        Ok(())
    }

    /// What is above a process, up to `now_ns`.
    fn above(
        &self,
        chains: &Chains,
        looked: &mut Looked,
        process: ProcessId,
        now_ns: u64,
    ) -> Above {
        let mut above = Above::default();
        for process in chains.above(process).take(NAMED_MAX) {
            if let Some(execution) = self.pair.running_in(process, now_ns) {
                let called = self.names.labels(&execution).action.to_string();
                above
                    .named
                    .push((called, process.tgid, execution.time_ns()));
            }
        }
        if let Some(parent) = chains.above(process).next() {
            let upwards = self.upwards(chains, looked, parent, now_ns);
            above.more = (upwards.above + 1).saturating_sub(NAMED_MAX);
            above.container = upwards.container.as_deref().map(str::to_owned);
        }
        above
    }

    /// What is said of a process and those above it. With a walk for each line, a deep chain
    /// with many ends would take the square of its length.
    fn upwards(
        &self,
        chains: &Chains,
        looked: &mut Looked,
        process: ProcessId,
        now_ns: u64,
    ) -> Upwards {
        let mut way = Vec::new();
        let mut found = None;
        for process in std::iter::once(process).chain(chains.above(process)) {
            if let Some(upwards) = looked.get(&process) {
                found = Some(upwards.clone());
                break;
            }
            way.push(process);
        }
        for process in way.into_iter().rev() {
            let mut upwards = found.map_or_else(Upwards::default, |next: Upwards| Upwards {
                above: next.above + 1,
                container: next.container,
            });
            if let Some(execution) = self.pair.running_in(process, now_ns)
                && let Some(own) = self.names.labels(&execution).name_or_id()
            {
                upwards.container = Some(own.into());
            }
            looked.insert(process, upwards.clone());
            found = Some(upwards);
        }
        found.unwrap_or_default()
    }

    /// What has passed the limit of [`Self::watch_slow`] by `now_ns` and still runs, if
    /// its arguments are asked for; each once, longest first. What waits for a child is
    /// told with that one, once it has passed the limit as well.
    pub fn each_slow(
        &mut self,
        now_ns: u64,
        rows: &RowFilter,
        mut each: impl FnMut(&Row<'_>, &Above),
    ) {
        let Some(slow) = &mut self.slow else {
            return;
        };
        let due = slow.due(now_ns);
        if due.is_empty() {
            return;
        }
        let asked = |one: &Subject<'_>| {
            rows.line_passes(one.image) && self.verdict(*one, now_ns) == Verdict::In
        };
        let nodes: Vec<Node> = self
            .pair
            .subjects()
            .filter(asked)
            .filter_map(node)
            .collect();
        let chains = Chains::new(&nodes);
        let told = self.tell(due, &chains, now_ns, rows);
        let mut looked = Looked::new();
        for process in told.lines {
            if let Some(execution) = self.pair.running_in(process, now_ns) {
                let above = self.above(&chains, &mut looked, process, now_ns);
                each(
                    &self.row(&execution, &self.names.labels(&execution)),
                    &above,
                );
            }
        }
        if let Some(slow) = &mut self.slow {
            slow.again(&told.undecided);
        }
    }

    /// Decides on those that are due.
    fn tell(&mut self, due: Vec<Late>, chains: &Chains, now_ns: u64, rows: &RowFilter) -> Told {
        let mut told = Told {
            lines: Vec::new(),
            undecided: Vec::new(),
        };
        for late in due {
            let subject = self.pair.subject(late.process);
            let subject = subject.filter(|one| one.start_ns == late.start_ns);
            let verdict = subject.map(|one| match self.verdict(one, now_ns) {
                Verdict::In if !rows.line_passes(one.image) => Verdict::Out,
                verdict => verdict,
            });
            let Some(slow) = &mut self.slow else {
                break;
            };
            match verdict {
                Some(Verdict::In) => {
                    let child = chains.child(late.process);
                    if slow.decide(late, child.map(|child| (child.process, child.start_ns))) {
                        told.lines.push(late.process);
                    }
                }
                Some(Verdict::Wait) => told.undecided.push((late.process, late.start_ns)),
                Some(Verdict::Out) | None => slow.pass_over(late),
            }
        }
        told
    }
}

/// What a runtime executes of itself in the container is its own work, and no child.
fn node(subject: Subject<'_>) -> Option<Node> {
    let argv = &subject.image.argv;
    let is_init = || {
        runtime::parse(argv.args(), !argv.whole(), subject.image.comm())
            .is_some_and(|called| called.is_init())
    };
    if subject.part_of.is_some() && is_init() {
        return None;
    }
    Some(Node {
        process: subject.process,
        ppid: subject.image.ppid,
        start_ns: subject.start_ns,
        ran_before: subject.ran_before,
    })
}
