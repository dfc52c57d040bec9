//! Where a runtime puts its container: what the kernel saw of the processes that it
//! moves and starts is kept with its execution.

use super::running::Subject;
use super::{Pair, Placed};
use crate::event::{Event, EventKind, Image, Place, ProcessId};
use crate::runtime;

impl Pair {
    /// Keeps what an event says of the place of a container, as it is applied.
    pub(super) fn note_place(&mut self, event: &Event) {
        let (id, at_ns) = (event.process, event.ts_ns);
        match &event.kind {
            EventKind::Fork {
                of_runtime: false, ..
            } => {}
            EventKind::Fork { by, place, .. } => {
                // Its exec may come later than its fork, from another CPU.
                let unknown = self.subject(*by).is_none().then_some(*by);
                let runtime = self.runtime_of(*by).or(unknown);
                self.processes.entry(id).or_default().part_of = runtime;
                if let (Some(runtime), Some(place)) = (runtime, *place) {
                    self.found(runtime, place, at_ns);
                }
            }
            EventKind::Unmatched {
                place: Some(place), ..
            } => self.found_member(id, *place, at_ns),
            EventKind::Exec(image) => {
                self.note_runtime(id, image);
                let (cgroup_id, inside) = (image.cgroup_id, image.in_cgroup);
                self.found_member(id, Place { cgroup_id, inside }, at_ns);
            }
            EventKind::Attach { .. }
            | EventKind::Unmatched { .. }
            | EventKind::Running(_)
            | EventKind::InExec
            | EventKind::Exit { .. } => {}
        }
    }

    /// A runtime's work is its own, even if another one called it; that of its init is not.
    fn note_runtime(&mut self, process: ProcessId, image: &Image) {
        if let Some(process) = self.processes.get_mut(&process)
            && process.part_of.is_some()
            && is_called(image)
        {
            process.part_of = None;
        }
    }

    /// Runtimes that have put a process somewhere since the last call.
    pub fn take_placed(&mut self) -> Vec<Placed> {
        std::mem::take(&mut self.placed)
    }

    /// The runtime whose work it is what this process does. A daemon whose name begins as a
    /// runtime's does is none.
    fn runtime_of(&self, process: ProcessId) -> Option<ProcessId> {
        let known = self.processes.get(&process)?;
        let is_one = || is_called(&known.open.as_ref()?.image).then_some(process);
        known.part_of.or_else(is_one)
    }

    /// Of a runtime's process it says where the container is, whoever moved it: with
    /// systemd's driver that is pid 1. Who moves himself has moved no container.
    pub(super) fn attached(&mut self, moved: ProcessId, by: ProcessId, place: Place, at_ns: u64) {
        let part_of = self.processes.get(&moved).and_then(|p| p.part_of);
        let by_runtime = || (moved != by).then(|| self.runtime_of(by))?;
        if let Some(runtime) = part_of.or_else(by_runtime) {
            self.found(runtime, place, at_ns);
        }
    }

    /// What a runtime started is in a container once it is elsewhere than the runtime: a
    /// hook stays where that is.
    fn found_member(&mut self, member: ProcessId, place: Place, at_ns: u64) {
        let part_of = self.processes.get(&member).and_then(|p| p.part_of);
        let runtime = part_of.and_then(|runtime| self.subject(runtime));
        let moved = runtime.filter(|Subject { image, .. }| {
            let other = place.cgroup_id != 0 && place.cgroup_id != image.cgroup_id;
            other || (place.inside && image.elsewhere)
        });
        if let Some(runtime) = moved.map(|runtime| runtime.process) {
            self.found(runtime, place, at_ns);
        }
    }

    fn found(&mut self, runtime: ProcessId, place: Place, at_ns: u64) {
        // In a hierarchy that is not shown, and not inside: that says nothing.
        if place.cgroup_id == 0 && !place.inside {
            return;
        }
        let process = self.processes.get_mut(&runtime);
        let open = process.and_then(|process| process.open.as_mut());
        self.placed.extend(open.map(|open| {
            let place = place.and(open.place);
            open.place = Some(place);
            let image = open.image.clone();
            Placed {
                image,
                place,
                at_ns,
            }
        }));
    }
}

/// Whether this is a runtime that somebody called, not its own `init`.
fn is_called(image: &Image) -> bool {
    let argv = &image.argv;
    let called = runtime::parse(argv.args(), !argv.whole(), image.comm());
    called.is_some_and(|called| !called.is_init())
}
