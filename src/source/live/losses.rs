//! What the live kernel could not deliver: what its programs have counted, and the
//! programs and probes that it skipped itself.

use std::os::fd::AsFd as _;

use libbpf_rs::ProgramMut;

use super::Live;
use crate::loss::SourceLosses;
use crate::nearest::LeftOut;
use crate::runtime;
use crate::skel::types::xl_counters;
use crate::source::attach::Attached;
use crate::source::sys;
use skipped::{ElseTold, Program};

mod skipped;

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
            stale: sum(|c| c.stale),
            cgroup_unknown: sum(|c| c.cgroup_unknown),
            cgroup_names: sum(|c| c.names_failed),
            made_good: sum(|c| c.stood_in_execs + c.stood_in_forks + c.stood_in_exits),
            ..SourceLosses::default()
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
    /// the CPU, and probes that it missed: what was lost by that.
    pub(super) fn skipped_programs(&self) -> Vec<(String, u64)> {
        let programs = self.programs();
        let skipped = programs.iter().filter_map(|program| {
            let lost = program.lost().filter(|lost| *lost > 0)?;
            Some((program.name.to_owned(), lost))
        });
        let missed = self.attached.iter().flat_map(Attached::missed);
        skipped.chain(missed).collect()
    }

    /// How often the kernel skipped each program, and what copies of it saw instead.
    fn programs(&self) -> Vec<Program> {
        let progs = &self.skel.progs;
        // First what the kernel skipped, then what was seen instead.
        let skipped = |program: &ProgramMut<'_>| sys::recursion_misses(program.as_fd()).ok();
        let execs = [&progs.tp_exec, &progs.tp_exec_2, &progs.tp_exec_3].map(skipped);
        let forks = [&progs.tp_fork, &progs.tp_fork_2, &progs.tp_fork_3].map(skipped);
        let exits = [&progs.tp_exit, &progs.tp_exit_2, &progs.tp_exit_3].map(skipped);
        let counters = &self.bss().counters;
        let seen = |field: fn(&xl_counters) -> u64| counters.iter().map(field).sum();
        let copied = |name, skipped: [Option<u64>; 3], else_told| Program {
            name,
            skipped: skipped.to_vec(),
            else_told,
        };
        let by_copies = |field| ElseTold::ByCopies(seen(field));
        // The signal to the parent tells an end whose exit was skipped; where there is none,
        // or it was skipped as well, the process's being freed does, or counts it.
        let later = match self.copies() {
            1 => ElseTold::No,
            _ => ElseTold::Later,
        };
        let once = [
            ("attach", &progs.tp_attach),
            ("rmdir", &progs.tp_rmdir),
            ("free", &progs.tp_free),
            ("execve", &progs.kp_execve),
            ("finalize_exec", &progs.kp_finalize_exec),
            ("do_exit", &progs.kp_do_exit),
            ("disassociate_ctty", &progs.kp_disassociate_ctty),
            ("acct_process", &progs.kp_acct_process),
            ("taskstats_exit", &progs.kp_taskstats_exit),
        ];
        let mut programs = vec![
            copied("exec", execs, by_copies(|c| c.stood_in_execs)),
            copied("fork", forks, by_copies(|c| c.stood_in_forks)),
            copied("exit", exits, later),
            Program::once("signal", skipped(&progs.tp_signal), later),
        ];
        let once = once.map(|(name, program)| Program::once(name, skipped(program), ElseTold::No));
        programs.extend(once);
        programs
    }

    /// How many copies the tracepoints' programs have.
    fn copies(&self) -> u32 {
        let rodata = self.skel.maps.rodata_data.as_ref();
        rodata.map_or(1, |rodata| rodata.targ_copies)
    }
}
