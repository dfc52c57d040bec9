//! Where a runtime puts its container: what the kernel saw of the processes that it
//! moves and starts is kept with its execution.

use super::Pair;
use crate::event::{Event, EventKind, Image, Place, ProcessId};
use crate::runtime;

impl Pair {
    /// Keeps what an event tells of the place of a container.
    pub(super) fn note_place(&mut self, event: &Event) {
        let id = event.process;
        if let Some(image) = event.image() {
            self.note_runtime(id, image);
        }
        match &event.kind {
            EventKind::Attach { by, place } => self.attached(id, *by, *place),
            EventKind::Fork { by, place, .. } => {
                let runtime = self.runtime_of(*by);
                self.processes.entry(id).or_default().part_of = Some(runtime);
                if let Some(place) = *place {
                    self.found(runtime, place);
                }
            }
            EventKind::Unmatched {
                place: Some(place), ..
            } => self.found_member(id, *place),
            EventKind::Exec(image) if !image.elsewhere => {
                let (cgroup_id, inside) = (image.cgroup_id, true);
                self.found_member(id, Place { cgroup_id, inside });
            }
            EventKind::Exec(_)
            | EventKind::Unmatched { .. }
            | EventKind::Running(_)
            | EventKind::Exit { .. } => {}
        }
    }

    /// A runtime's work is its own, even if another one called it, or what looks like one;
    /// that of its init is not.
    fn note_runtime(&mut self, process: ProcessId, image: &Image) {
        let Some(process) = self.processes.get_mut(&process) else {
            return;
        };
        let argv = &image.argv;
        if process.part_of.is_some()
            && runtime::parse(argv.args(), !argv.whole(), image.comm())
                .is_some_and(|called| !called.is_init())
        {
            process.part_of = None;
        }
    }

    /// The image that runs in a process now.
    pub fn open_image(&self, process: ProcessId) -> Option<&Image> {
        let open = self.processes.get(&process)?.open.as_ref()?;
        Some(&open.image)
    }

    /// Runtimes that have put a process somewhere since the last call.
    pub fn take_placed(&mut self) -> Vec<(Box<Image>, Place)> {
        std::mem::take(&mut self.placed)
    }

    fn runtime_of(&self, process: ProcessId) -> ProcessId {
        let known = self.processes.get(&process);
        known.and_then(|p| p.part_of).unwrap_or(process)
    }

    /// Of a runtime's process it tells, whoever moved it: with systemd's driver that is pid
    /// 1. Who moves himself has moved no container.
    fn attached(&mut self, moved: ProcessId, by: ProcessId, place: Place) {
        let part_of = self.processes.get(&moved).and_then(|p| p.part_of);
        let runtime = part_of.or_else(|| (moved != by).then(|| self.runtime_of(by)));
        if let Some(runtime) = runtime {
            self.found(runtime, place);
        }
    }

    /// What a runtime started is in a container once it is elsewhere than the runtime: a
    /// hook stays where that is.
    fn found_member(&mut self, member: ProcessId, place: Place) {
        let part_of = self.processes.get(&member).and_then(|p| p.part_of);
        let runtime = part_of.and_then(|runtime| Some((runtime, self.open_image(runtime)?)));
        let moved = runtime.filter(|(_, image)| {
            let other = place.cgroup_id != 0 && place.cgroup_id != image.cgroup_id;
            other || (place.inside && image.elsewhere)
        });
        if let Some((runtime, _)) = moved {
            self.found(runtime, place);
        }
    }

    fn found(&mut self, runtime: ProcessId, place: Place) {
        let process = self.processes.get_mut(&runtime);
        let open = process.and_then(|process| process.open.as_mut());
        let place = open.map(|open| {
            let place = place.and(open.place);
            open.place = Some(place);
            (open.image.clone(), place)
        });
        self.placed.extend(place);
    }
}
