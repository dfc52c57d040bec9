//! Puts events in the order of their times. The buffers of several CPUs are read
//! one after the other, so events arrive out of order, by much where a virtual
//! CPU was preempted between taking the time and handing over the record.

use crate::event::Event;

/// Events that wait until nothing older can be expected.
#[derive(Debug, Default)]
pub struct Order {
    waiting: Vec<Event>,
}

impl Order {
    /// Takes an event, in any order.
    pub fn push(&mut self, event: Event) {
        self.waiting.push(event);
    }

    /// Hands out, in order, what is not later than `horizon_ns`.
    pub fn release(&mut self, horizon_ns: u64) -> impl Iterator<Item = Event> + '_ {
        // Stable, and quick where runs are in order already: one run per CPU.
        self.waiting
            .sort_by_key(|event| (event.ts_ns, event.process, event.seq));
        let ready = self
            .waiting
            .partition_point(|event| event.ts_ns <= horizon_ns);
        self.waiting.drain(..ready)
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventKind, ProcessId, Usage};
    use proptest::prelude::*;

    fn event(ts_ns: u64) -> Event {
        Event {
            process: ProcessId {
                tgid: 1,
                start_ns: 1,
            },
            seq: ts_ns as u32,
            ts_ns,
            unseen_exec: false,
            taken_midway: false,
            kind: EventKind::Unmatched {
                usage: Usage::default(),
                maxrss_pages: 0,
                place: None,
            },
        }
    }

    proptest! {
        #[test]
        fn everything_comes_out_once_and_in_order(
            rounds in proptest::collection::vec(proptest::collection::vec(0u64..100, 0..20), 1..8),
        ) {
            let mut order = Order::default();
            let mut out = Vec::new();
            let total: usize = rounds.iter().map(Vec::len).sum();
            // Each round's times lie after the horizon of the one before.
            for (round, times) in rounds.iter().enumerate() {
                let base = round as u64 * 100;
                for ts in times {
                    order.push(event(base + 50 + ts));
                }
                out.extend(order.release(base + 100).map(|e| e.ts_ns));
            }
            out.extend(order.release(u64::MAX).map(|e| e.ts_ns));
            prop_assert_eq!(out.len(), total);
            prop_assert!(out.is_sorted());
            prop_assert!(order.is_empty());
        }
    }
}
