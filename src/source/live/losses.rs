//! What the live kernel could not deliver: what its programs have counted, and the
//! programs and probes that it skipped itself.

use std::os::fd::AsFd as _;

use super::Live;
use crate::loss::SourceLosses;
use crate::nearest::LeftOut;
use crate::runtime;
use crate::skel::types::xl_counters;
use crate::source::attach::Attached;
use crate::source::sys;

impl Live {
    /// How many records the kernel side could not deliver.
    pub(super) fn lost_so_far(&self) -> u64 {
        let total = |c: &xl_counters| c.output_failed + c.table_full + c.stale;
        self.bss().counters.iter().map(total).sum()
    }

    /// What the kernel side has counted.
    pub(super) fn count(&self) -> SourceLosses {
        let counters = &self.bss().counters;
        let sum = |field: fn(&xl_counters) -> u64| counters.iter().map(field).sum();
        let buffer_full = (0u32..)
            .zip(counters.iter().map(|c| c.output_failed))
            .filter(|(_, lost)| *lost > 0)
            .collect();
        SourceLosses {
            buffer_full,
            table_full: sum(|c| c.table_full),
            skipped: Vec::new(),
            stale: sum(|c| c.stale),
            cgroup_unknown: sum(|c| c.cgroup_unknown),
            cgroup_names: sum(|c| c.names_failed),
            malformed: 0,
            places_unread: 0,
            names_unread: 0,
            argv_unread: 0,
        }
    }

    /// What the filters have left out, in the kernel and among what ran before.
    pub(super) fn count_left_out(&self) -> LeftOut {
        let mut all = self.left_out_running.clone();
        for left_out in &self.bss().left_out {
            let runtimes = runtime::WORDS.iter().zip(left_out.runtimes);
            let named = runtimes
                .filter(|(_, count)| *count > 0)
                .filter_map(|((_, whose), count)| Some(((*whose)?.to_owned(), count)));
            all.add(&LeftOut {
                by_cgroup: left_out.by_cgroup,
                by_name: left_out.by_name,
                by_uid: left_out.by_uid,
                runtimes: named.collect(),
            });
        }
        all
    }

    pub(super) fn skipped_since_live(&self) -> Vec<(String, u64)> {
        let before = |name: &str| {
            let known = self.skipped_before.iter().find(|(known, _)| known == name);
            known.map_or(0, |(_, count)| *count)
        };
        let now = self.skipped_programs().into_iter();
        now.map(|(name, count)| (before(&name), name, count))
            .filter(|(before, _, count)| count > before)
            .map(|(before, name, count)| (name, count - before))
            .collect()
    }

    /// Programs that the kernel skipped, as it does where one is already running on
    /// the CPU, and probes that it missed. Where there are copies, an event is lost if
    /// all are skipped: no more often than any of them, and not where one stood in.
    pub(super) fn skipped_programs(&self) -> Vec<(String, u64)> {
        let progs = &self.skel.progs;
        let copied = [
            ("exec", [&progs.tp_exec, &progs.tp_exec_2, &progs.tp_exec_3]),
            ("fork", [&progs.tp_fork, &progs.tp_fork_2, &progs.tp_fork_3]),
            ("exit", [&progs.tp_exit, &progs.tp_exit_2, &progs.tp_exit_3]),
        ];
        let stood_in = |name| match name {
            "exec" => self.bss().counters.iter().map(|c| c.stood_in).sum(),
            _ => 0,
        };
        let copied = copied.into_iter().filter_map(|(name, programs)| {
            let misses = programs.map(|program| sys::recursion_misses(program.as_fd()).ok());
            let first = misses[0]?.saturating_sub(stood_in(name));
            Some((name, misses.into_iter().flatten().fold(first, u64::min)))
        });
        let once = [
            ("attach", &progs.tp_attach),
            ("rmdir", &progs.tp_rmdir),
            ("signal", &progs.tp_signal),
            ("free", &progs.tp_free),
            ("execve", &progs.kp_execve),
            ("finalize_exec", &progs.kp_finalize_exec),
            ("do_exit", &progs.kp_do_exit),
            ("disassociate_ctty", &progs.kp_disassociate_ctty),
            ("acct_process", &progs.kp_acct_process),
            ("taskstats_exit", &progs.kp_taskstats_exit),
        ];
        let once = once.into_iter().filter_map(|(name, program)| {
            let misses = sys::recursion_misses(program.as_fd()).ok()?;
            Some((name, misses))
        });
        let skipped = copied.chain(once).filter(|(_, misses)| *misses > 0);
        let skipped = skipped.map(|(name, misses)| (name.to_owned(), misses));
        let missed = self.attached.iter().flat_map(Attached::missed);
        skipped.chain(missed).collect()
    }
}
