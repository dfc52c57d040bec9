//! Who descends from whom, by the forks that are reported: a parent that has exited by
//! the exec is not known there, as its child has got another one.

use super::Pair;
use crate::event::{Event, EventKind};

impl Pair {
    /// Keeps whom a process descends from, as it is forked.
    pub(super) fn note_descent(&mut self, event: &Event) {
        let EventKind::Fork { by, .. } = event.kind else {
            return;
        };
        let parent = self.processes.get(&by);
        let below = parent.and_then(|parent| match parent.begun {
            true => Some(by),
            false => parent.below,
        });
        self.processes.entry(event.process).or_default().below = below;
    }
}
