//! Puts events in the order of their times. The buffers of several CPUs are read
//! one after the other, so events arrive out of order, by much where a virtual
//! CPU was preempted between taking the time and handing over the record.
//!
//! A recording may hold anything: what waits for long is put aside, so that no event is
//! sorted anew in round after round.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::event::{Event, ProcessId};

/// Where an event belongs.
type Key = (u64, ProcessId, u32);

fn key(event: &Event) -> Key {
    (event.ts_ns, event.process, event.seq)
}

/// Events that wait until nothing older can be expected.
#[derive(Debug, Default)]
pub struct Order {
    waiting: Vec<Event>,
    /// What was too late when many were looked at and few were ready.
    aside: BinaryHeap<Aside>,
    put_aside: u64,
}

/// Few are ready if more than so many times their number have to wait.
const FEW: usize = 4;

#[derive(Debug)]
struct Aside {
    event: Event,
    /// Counts up: of equal ones the first comes first.
    nth: u64,
}

impl Aside {
    fn key(&self) -> (Key, u64) {
        (key(&self.event), self.nth)
    }
}

/// The heap hands out its greatest: that is the earliest.
impl Ord for Aside {
    fn cmp(&self, other: &Self) -> Ordering {
        other.key().cmp(&self.key())
    }
}

impl PartialOrd for Aside {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Aside {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Aside {}

impl Order {
    /// Takes an event, in any order.
    pub fn push(&mut self, event: Event) {
        self.waiting.push(event);
    }

    /// Hands out, in order, what is not later than `horizon_ns`.
    pub fn release(&mut self, horizon_ns: u64) -> impl Iterator<Item = Event> + '_ {
        let mut due = Vec::new();
        while let Some(first) = self.aside.peek()
            && first.event.ts_ns <= horizon_ns
        {
            due.extend(self.aside.pop().map(|aside| aside.event));
        }
        // They came before all that waits.
        self.waiting.splice(..0, due);
        // Stable, and quick where runs are in order already: one run per CPU.
        self.waiting.sort_by_key(key);
        let ready = self
            .waiting
            .partition_point(|event| event.ts_ns <= horizon_ns);
        if self.waiting.len() - ready > ready.saturating_mul(FEW) {
            for event in self.waiting.drain(ready..) {
                let nth = self.put_aside;
                self.put_aside += 1;
                self.aside.push(Aside { event, nth });
            }
        }
        self.waiting.drain(..ready)
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len() + self.aside.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.aside.is_empty()
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

    /// Whatever the horizon does, as a plain sort has it; equal ones as they came.
    #[derive(Default)]
    struct Plain(Vec<Event>);

    impl Plain {
        fn release(&mut self, horizon_ns: u64) -> Vec<Event> {
            self.0
                .sort_by_key(|event| (event.ts_ns, event.process, event.seq));
            let (ready, waiting) = self.0.drain(..).partition(|e| e.ts_ns <= horizon_ns);
            self.0 = waiting;
            ready
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

        #[test]
        fn any_rounds_give_what_a_plain_sort_gives(
            rounds in proptest::collection::vec(
                (proptest::collection::vec(0u64..50, 0..9), 0u64..50), 1..20),
        ) {
            let (mut order, mut plain) = (Order::default(), Plain::default());
            let mut nth = 0;
            for (times, horizon_ns) in rounds.into_iter().chain([(vec![], u64::MAX)]) {
                for ts_ns in times {
                    // Which of two equal ones it is.
                    nth += 1;
                    let kind = EventKind::Unmatched {
                        usage: Usage::default(),
                        maxrss_pages: nth,
                        place: None,
                    };
                    let event = Event { kind, ..event(ts_ns) };
                    order.push(event.clone());
                    plain.0.push(event);
                }
                let out: Vec<Event> = order.release(horizon_ns).collect();
                prop_assert_eq!(out, plain.release(horizon_ns));
                prop_assert_eq!(order.len(), plain.0.len());
            }
        }
    }

    /// Sorted anew in each round, these would be some 10^11 comparisons: an hour.
    #[test]
    fn what_waits_for_ever_is_not_sorted_in_each_round() {
        const MANY: u64 = 300_007;
        for falling in [false, true] {
            let mut order = Order::default();
            for i in 0..MANY {
                let ts_ns = if falling { 2 * MANY - i } else { MANY + i };
                order.push(event(ts_ns));
                // One is ready now and then.
                if i % 3 == 0 {
                    order.push(event(i));
                }
                order.release(i).for_each(drop);
            }
            assert_eq!(order.len() as u64, MANY);
            let out: Vec<u64> = order.release(u64::MAX).map(|e| e.ts_ns).collect();
            assert!(out.len() as u64 == MANY && out.is_sorted());
        }
    }
}
