//! When a start is over, and what has become of it.

use super::super::open::{Fate, Open, bad};
use super::super::{Command, Mark, Start};
use super::Anatomy;
use crate::event::{ProcessId, WaitStatus};
use crate::source::Alive;

impl Anatomy {
    /// Whether it is over, now that one of its processes has ended.
    pub(super) fn judge(&mut self, start: u64, ts_ns: u64, out: &mut Vec<Start>) {
        let Some(open) = self.starts.get(&start) else {
            return;
        };
        let (goes_on, failed) = (open.goes_on(), runtime_failed(open));
        let called = match (open.main_end, open.starter) {
            (None, _) => true,
            (Some(_), Some(_)) => open.starter_end.is_none(),
            (Some(_), None) => false,
        };
        // Created, and nothing of it is known but that: `start` will tell.
        let unborn = open.has(Mark::Created) && open.starter.is_none() && !open.known();
        match (called, goes_on) {
            (true, _) => {}
            (false, false) if unborn => {}
            (false, false) => self.over(start, out),
            (false, true) if failed => self.failing.push_back((ts_ns, start)),
            (false, true) => {}
        }
    }

    /// It has failed, or it is not known what became of it.
    pub(super) fn over(&mut self, start: u64, out: &mut Vec<Start>) {
        let Some(open) = self.starts.get(&start) else {
            return;
        };
        let Some((end_ns, status)) = open.failure() else {
            return;
        };
        let well = !bad(status);
        if well && open.call.container.is_none() && !open.known() {
            // `runc run --help`.
            self.remove(start);
            return;
        }
        let fate = match well || open.missing {
            true => Fate::Unknown,
            false => Fate::Failed(status),
        };
        self.finish(start, fate, end_ns, out);
    }

    pub(super) fn finish(&mut self, start: u64, fate: Fate, end_ns: u64, out: &mut Vec<Start>) {
        if let Some(open) = self.remove(start) {
            out.push(open.finish(fate, end_ns));
        }
    }

    /// Forgets a start, and what its processes were to it.
    pub(super) fn remove(&mut self, start: u64) -> Option<Open> {
        let open = self.starts.remove(&start)?;
        let mains = [Some(open.main), open.starter].into_iter().flatten();
        for id in open.members().chain(mains) {
            if let Some(role) = self.processes.get_mut(&id) {
                role.forget(start);
            }
        }
        self.created.forget(&open.call, start);
        Some(open)
    }

    /// Processes are gone whose end was lost.
    pub(super) fn reconcile(&mut self, look: &Alive, out: &mut Vec<Start>) {
        let mut gone: Vec<(u64, ProcessId)> = self
            .processes
            .iter()
            .filter(|(id, role)| role.last_ns < look.seen_ns && !look.has(**id))
            .map(|(id, role)| (role.last_ns, *id))
            .collect();
        gone.sort_unstable();
        for (last_ns, id) in gone {
            let Some(role) = self.processes.remove(&id) else {
                continue;
            };
            if let Some(start) = role.member_of
                && let Some(open) = self.starts.get_mut(&start)
            {
                open.gone(id);
                self.judge(start, last_ns, out);
            }
            if let Some(start) = role.main_of
                && let Some(open) = self.starts.get_mut(&start)
            {
                open.gone(id);
                if open.call.command == Command::Create && open.main == id && open.goes_on() {
                    // It will have gone well, for what it made is there.
                    open.main_end = Some((last_ns, Some(WaitStatus(0))));
                    self.created.sure(&open.call, start);
                } else {
                    self.main_ended(start, id, last_ns, None, out);
                }
            }
        }
    }
}

pub(super) fn runtime_failed(open: &Open) -> bool {
    let end = match open.starter {
        Some(_) => open.starter_end,
        None => open.main_end,
    };
    end.is_some_and(|(_, status)| bad(status))
}
