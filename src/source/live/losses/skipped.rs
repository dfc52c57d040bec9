//! What was lost by programs that the kernel skipped. Where a program has copies, a skipped
//! run of one is no loss yet: another may have seen the same. Pure, as no kernel skips on
//! demand.

/// One program of the kernel side, with its copies.
#[derive(Debug, Clone)]
pub struct Program {
    /// What it sees.
    pub name: &'static str,
    /// How often the kernel skipped each copy, in the order that they run in; `None` where it
    /// does not tell.
    pub skipped: Vec<Option<u64>>,
    /// Who else tells what it was kept from.
    pub else_told: ElseTold,
}

/// How it is known that a skipped run did no harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ElseTold {
    /// By nothing: each skipped run may be a loss.
    No,
    /// So often did a later copy find that none before it had seen the same.
    ByCopies(u64),
    /// Always: what comes later in a process's life sees it, or counts it as lost.
    Later,
}

impl Program {
    /// A program without copies.
    pub fn once(name: &'static str, skipped: Option<u64>, else_told: ElseTold) -> Program {
        let skipped = vec![skipped];
        Program {
            name,
            skipped,
            else_told,
        }
    }

    /// What no copy saw, of what happened until the kernel was asked; `None` where it does not
    /// tell. The first copy saw what it was not kept from, and the others count what they saw
    /// in its place: the rest is lost. While that is counted it may be too much by what is
    /// under way, and, as copies are detached one after the other, by what the last alone was
    /// kept from; so no more than each of them was kept from.
    pub fn lost(&self) -> Option<u64> {
        let first = self.skipped.first().copied().flatten()?;
        let seen = match self.else_told {
            ElseTold::No => 0,
            ElseTold::ByCopies(seen) => seen,
            ElseTold::Later => return Some(0),
        };
        let most = self.skipped.iter().flatten().min().copied();
        Some(first.saturating_sub(seen).min(most.unwrap_or(first)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copies(skipped: [u64; 3], stood_in: u64) -> Option<u64> {
        let program = Program {
            name: "exec",
            skipped: skipped.map(Some).to_vec(),
            else_told: ElseTold::ByCopies(stood_in),
        };
        program.lost()
    }

    /// Plays a run: for each event, which of the copies the kernel skips. What the programs
    /// and the kernel count is counted here as they do.
    fn played(events: &[[bool; 3]]) -> Option<u64> {
        let (mut skipped, mut stood_in) = ([0; 3], 0);
        for event in events {
            let mut seen = false;
            for (nth, skips) in event.iter().enumerate() {
                skipped[nth] += u64::from(*skips);
                if !skips && !seen {
                    seen = true;
                    stood_in += u64::from(nth > 0);
                }
            }
        }
        copies(skipped, stood_in)
    }

    const RAN: [bool; 3] = [false; 3];

    #[test]
    fn what_each_copy_was_kept_from_is_not_lost_if_it_was_another_time() {
        let apart = [
            RAN,
            [true, false, false],
            [false, true, false],
            [false, false, true],
            [true, true, false],
            [false, true, true],
            [true, false, true],
        ];
        // All three were kept from something, three or four times.
        assert_eq!(played(&apart), Some(0));
        assert_eq!(played(&apart.repeat(7)), Some(0));
    }

    #[test]
    fn what_no_copy_saw_is_lost_and_counted_exactly() {
        let mut events = vec![[true, true, false]; 11];
        events.extend([[true; 3]; 5]);
        events.extend([[false, true, true]; 13]);
        events.extend([[true; 3]; 2]);
        assert_eq!(played(&events), Some(7));
        assert_eq!(played(&[[true; 3]]), Some(1));
    }

    /// Each of all that three events can be.
    #[test]
    fn the_account_is_that_of_who_saw_all() {
        let event = |bits: u32| [bits & 1 != 0, bits & 2 != 0, bits & 4 != 0];
        for bits in 0..512 {
            let events = [event(bits), event(bits >> 3), event(bits >> 6)];
            let lost = events.iter().filter(|skips| **skips == [true; 3]).count();
            assert_eq!(played(&events), Some(lost as u64), "{events:?}");
        }
    }

    #[test]
    fn what_is_under_way_is_no_more_than_each_copy_was_kept_from() {
        // The first was skipped, the second not yet come by.
        assert_eq!(copies([1, 0, 0], 0), Some(0));
        // The others are detached already.
        assert_eq!(copies([9, 3, 2], 2), Some(2));
        // One that took the place of a copy that ran: its mark was another's by then.
        assert_eq!(copies([1, 1, 1], 2), Some(0));
    }

    #[test]
    fn without_copies_each_skipped_run_may_be_a_loss_unless_it_is_told_later() {
        let lost = |skipped, told| Program::once("any", skipped, told).lost();
        assert_eq!(lost(Some(3), ElseTold::No), Some(3));
        assert_eq!(lost(Some(3), ElseTold::Later), Some(0));
        assert_eq!(lost(None, ElseTold::No), None);
        assert_eq!(copies([0; 3], 0), Some(0));
    }
}
