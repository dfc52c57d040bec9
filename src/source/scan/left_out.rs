//! Executions that run already and are not asked for: they may be what was meant, as those
//! that the kernel side leaves out at their exec.

use std::collections::HashMap;

use crate::event::ProcessId;
use crate::nearest::LeftOut;

/// Why one is left out.
#[derive(Debug, Clone, Copy)]
pub enum Why {
    /// It is in another cgroup.
    Cgroup,
    /// It is another user's.
    Uid,
    /// It has another name, perhaps a runtime's.
    Name(Option<&'static str>),
}

/// Each once, however often it is looked at.
#[derive(Debug, Default)]
pub struct LeftOuts(HashMap<ProcessId, Why>);

impl LeftOuts {
    /// Notes what the last look at a process came to; None if it is not left out.
    pub fn note(&mut self, process: ProcessId, why: Option<Why>) {
        match why {
            Some(why) => self.0.insert(process, why),
            None => self.0.remove(&process),
        };
    }

    /// How many there are.
    pub fn count(&self) -> LeftOut {
        let mut all = LeftOut::default();
        for why in self.0.values() {
            match why {
                Why::Cgroup => all.by_cgroup += 1,
                Why::Uid => all.by_uid += 1,
                Why::Name(runtime) => all.add_name(*runtime),
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_counts_once_by_the_last_look() {
        let mut left_out = LeftOuts::default();
        let process = |tgid| ProcessId { tgid, start_ns: 7 };
        for why in [Why::Cgroup, Why::Name(Some("runc"))] {
            left_out.note(process(1), Some(why));
        }
        left_out.note(process(2), Some(Why::Name(None)));
        left_out.note(process(3), Some(Why::Uid));
        left_out.note(process(4), Some(Why::Cgroup));
        left_out.note(process(4), None);
        let due = LeftOut {
            by_name: 2,
            runtimes: vec![("runc".into(), 1)],
            by_uid: 1,
            ..LeftOut::default()
        };
        assert_eq!(left_out.count(), due);
    }
}
