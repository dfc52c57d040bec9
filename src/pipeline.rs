//! The way of an event: wire → order → pair → filter → stats and sinks. Knows no
//! clock, no terminal and no kernel: batches come in, rows and figures go out.

mod left_out;
mod outside;
mod still;
mod totals;

use std::io;
use std::time::Duration;

use crate::anatomy::{Anatomy, Start};
use crate::clock::Clock;
use crate::event::{EventKind, Execution};
use crate::filter::Selection;
use crate::label::Labels;
use crate::names::Names;
use crate::order::Order;
use crate::pair::{Longest, Pair, Subject};
use crate::row::Row;
use crate::sink::Sink;
use crate::sink::anatomy::StartRow;
use crate::slow::Slow;
use crate::source::{About, Alive, Batch, Ending};
use crate::unmet::Unmet;
use crate::wire::{Record, Records, Spare};
use outside::{Outside, Verdict};

pub use still::{Above, Standing};
pub use totals::Totals;

/// The state of one source's events.
pub struct Pipeline {
    order: Order,
    pair: Pair,
    names: Names,
    clock: Clock,
    page_bytes: u64,
    selection: Option<Selection>,
    outside: Outside,
    slow: Option<Slow>,
    /// A look at all processes, until all that was before it is here.
    look: Option<Alive>,
    ended: Vec<Execution>,
    spare: Spare,
    anatomy: Option<Anatomy>,
    starts: Vec<Start>,
}

impl Pipeline {
    /// For the events of one source; `selection` chooses among what it recorded.
    pub fn new(about: &About, selection: Option<Selection>) -> Pipeline {
        Pipeline {
            order: Order::default(),
            pair: Pair::default(),
            names: Names::default(),
            clock: Clock {
                wall_offset_ns: about.wall_offset_ns,
                began_ns: about.began_ns,
            },
            page_bytes: about.page_bytes,
            outside: Outside::new(about, selection.as_ref()),
            selection,
            slow: None,
            look: None,
            ended: Vec::new(),
            spare: Spare::default(),
            anatomy: None,
            starts: Vec::new(),
        }
    }

    /// Watches for executions that run for longer than this.
    pub fn watch_slow(&mut self, limit: Duration) {
        self.pair.note_begun();
        self.slow = Some(Slow::new(limit, self.clock.began_ns));
    }

    /// Also follows starts of containers.
    pub fn with_anatomy(mut self) -> Pipeline {
        self.anatomy = Some(Anatomy::default());
        self
    }

    /// Also finds out where the containers are that runtimes are called for.
    pub fn with_places(mut self) -> Pipeline {
        self.outside.keep_places();
        self
    }

    /// Takes a batch; rows go to the sink.
    ///
    /// # Errors
    /// The sink failed; the figures are complete all the same.
    pub fn feed(
        &mut self,
        batch: &mut Batch,
        totals: &mut Totals,
        sink: Option<&mut (dyn Sink + '_)>,
    ) -> io::Result<()> {
        self.clock.wall_offset_ns = batch.wall_offset_ns;
        for named in batch.names.drain(..) {
            self.names.add_container(named.id, &named.name);
        }
        self.outside.add_directories(&batch.places.cgroups);
        for record in Records::new(&batch.bytes, &mut self.spare) {
            match record {
                Ok(Record::Event(event)) => self.order.push(event),
                Ok(Record::Cgroup(cgroup)) => {
                    self.outside.add_cgroup(&cgroup);
                    self.names.add_cgroup(cgroup);
                }
                Err(_) => totals.decode_errors += 1,
            }
        }
        self.pair_until(batch.horizon_ns);
        self.outside.add_states(batch.places.states.drain(..));
        self.give_up_lost(batch.horizon_ns, batch.alive.take());
        if let Some(slow) = &mut self.slow {
            for (process, start_ns) in self.pair.take_begun() {
                slow.begin(process, start_ns);
            }
            for execution in &self.ended {
                slow.end(execution.process, execution.start_ns);
            }
        }
        self.leave_asked_for(batch.horizon_ns, totals);
        if let Some(anatomy) = &mut self.anatomy {
            anatomy.advance(batch.horizon_ns, &mut self.starts);
        }
        self.report(totals, sink)
    }

    /// Makes executions of the events up to the horizon.
    fn pair_until(&mut self, horizon_ns: u64) {
        for event in self.order.release(horizon_ns) {
            if let (Some(selection), Some(image)) = (&mut self.selection, event.image()) {
                selection.note_exec(event.process, image.ppid);
            }
            if let Some(anatomy) = &mut self.anatomy
                && !matches!(event.kind, EventKind::Attach { .. })
            {
                anatomy.push(event.clone());
            }
            let before = self.ended.len();
            self.pair.push(event, &mut self.ended);
            // One after the other: what an id means may change from one to the next.
            let (placed, ended) = (self.pair.take_placed(), &mut self.ended[before..]);
            self.outside.bind(&placed, ended, &self.names);
        }
    }

    /// Does not wait for records that are lost, nor for processes that are gone.
    fn give_up_lost(&mut self, horizon_ns: u64, alive: Option<Alive>) {
        let before = self.ended.len();
        self.pair.advance(horizon_ns, &mut self.ended);
        if let Some(look) = alive {
            if let Some(anatomy) = &mut self.anatomy {
                anatomy.look(look.clone());
            }
            self.look = Some(look);
        }
        if let Some(look) = self.look.take_if(|look| look.seen_ns <= horizon_ns) {
            let has = |process| look.has(process);
            self.pair.reconcile(look.seen_ns, has, &mut self.ended);
        }
        let (placed, ended) = (self.pair.take_placed(), &mut self.ended[before..]);
        self.outside.bind(&placed, ended, &self.names);
    }

    /// Tells the starts that go on still, now that tracing has ended.
    ///
    /// # Errors
    /// The sink failed; the figures are complete all the same.
    pub fn end_starts(
        &mut self,
        now_ns: u64,
        totals: &mut Totals,
        sink: Option<&mut (dyn Sink + '_)>,
    ) -> io::Result<()> {
        if let Some(anatomy) = &mut self.anatomy {
            anatomy.end(now_ns, &mut self.starts);
            if let Some(figures) = &mut totals.anatomy {
                figures.given_up += anatomy.given_up;
            }
        }
        self.report_starts(totals, sink)
    }

    fn report_starts(
        &mut self,
        totals: &mut Totals,
        mut sink: Option<&mut (dyn Sink + '_)>,
    ) -> io::Result<()> {
        let mut result = Ok(());
        for start in std::mem::take(&mut self.starts) {
            if !self.takes_start(&start, totals) {
                continue;
            }
            if let Some(figures) = &mut totals.anatomy {
                figures.add(&start);
            }
            if let (Ok(()), Some(sink)) = (&result, sink.as_mut())
                && totals.rows.passes_start(&start)
            {
                let id = start.container.as_deref();
                let id = id.and_then(|id| str::from_utf8(id).ok());
                result = sink.start(&StartRow {
                    start: &start,
                    name: id.and_then(|id| self.names.container(id)),
                    clock: self.clock,
                });
            }
        }
        result
    }

    fn report(
        &mut self,
        totals: &mut Totals,
        mut sink: Option<&mut (dyn Sink + '_)>,
    ) -> io::Result<()> {
        let mut result = self.report_starts(totals, sink.as_deref_mut());
        let mut ended = std::mem::take(&mut self.ended);
        for execution in ended.drain(..) {
            let sink = sink.as_deref_mut().filter(|_| result.is_ok());
            let reported = self.report_one(&execution, totals, sink);
            result = result.and(reported);
            self.spare.give(execution.image);
        }
        self.ended = ended;
        result
    }

    fn report_one(
        &self,
        execution: &Execution,
        totals: &mut Totals,
        sink: Option<&mut (dyn Sink + '_)>,
    ) -> io::Result<()> {
        let mut labels = self.names.labels(execution);
        totals.count(execution, &labels);
        let Some(sink) = sink.filter(|_| totals.rows.passes(execution)) else {
            return Ok(());
        };
        labels.container_cgroup = self.container_cgroup(execution.into(), &labels);
        sink.row(&self.row(execution, &labels))
    }

    fn row<'a>(&self, execution: &'a Execution, labels: &'a Labels<'a>) -> Row<'a> {
        Row {
            execution,
            labels,
            clock: self.clock,
            page_bytes: self.page_bytes,
        }
    }

    /// Whether something waits for a later batch, be it one without records.
    pub fn waits(&self) -> bool {
        !self.order.is_empty() || self.pair.waits() || self.look.is_some() || self.outside.waits()
    }

    /// The longest of what runs still, see [`Pair::longest_running`], with what each
    /// is called.
    pub fn longest_running(
        &self,
        most: usize,
        now_ns: u64,
        mut each: impl FnMut(&Row<'_>),
    ) -> Longest {
        let taken = |subject: Subject<'_>| self.verdict(subject, now_ns) == Verdict::In;
        let longest = self.pair.longest_running(most, now_ns, taken);
        for execution in &longest.executions {
            each(&self.row(execution, &self.names.labels(execution)));
        }
        longest
    }

    /// Adds what was asked for and what there is of cgroups, of a source that is over.
    pub fn close_cgroups(&self, unmet: &mut Unmet) {
        if let Some(selection) = &self.selection {
            let of_containers = self.outside.containers.paths();
            unmet.add(selection, self.names.cgroup_paths().chain(of_containers));
        }
    }

    /// Adds what this source came to.
    pub fn close(&mut self, ending: &Ending, totals: &mut Totals) {
        totals.close(ending, self.pair.unpaired(), self.clock.began_ns);
    }
}
