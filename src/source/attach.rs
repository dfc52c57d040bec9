//! Attaches the kernel side: the two flavours, and for each probe the next best
//! where the best cannot be had. Both flavours run the same handlers.

use std::io;
use std::os::fd::{AsRawFd as _, IntoRawFd as _};

use anyhow::{Context as _, Result, bail};
use libbpf_rs::{Link, ProgramMut};

use super::host::Facts;
use super::sys;
use super::tracefs::{KRETPROBE_INSTANCES, TraceEvents};
use crate::config::{KernelFilter, Probe};
use crate::skel::types::xl_limits;
use crate::skel::{ExeclatProgs, OpenExeclatSkel};

/// The flavour that is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// kretprobe on execve, kprobes on the way out.
    Kprobe,
    /// The scheduler's tracepoints.
    Tracepoint,
}

impl Flavour {
    /// As the user names it.
    pub fn name(self) -> &'static str {
        match self {
            Flavour::Kprobe => "kprobe",
            Flavour::Tracepoint => "tracepoint",
        }
    }
}

/// The flavour to use here, and why.
///
/// # Errors
/// kprobes are asked for, and the kernel has none.
pub fn choose(asked: Probe, facts: &Facts) -> Result<(Flavour, &'static str)> {
    match asked {
        Probe::Tracepoint => Ok((Flavour::Tracepoint, "as asked")),
        Probe::Kprobe if facts.kprobes => Ok((Flavour::Kprobe, "as asked")),
        Probe::Kprobe => {
            bail!("this kernel has no kprobes (CONFIG_KPROBE_EVENTS): use --probe tracepoint")
        }
        Probe::Auto if facts.kprobes => Ok((Flavour::Kprobe, "this kernel has kprobes")),
        Probe::Auto => Ok((Flavour::Tracepoint, "this kernel has no kprobes")),
    }
}

/// The first kernel whose tracepoints are preemptible.
const PREEMPTIBLE: (u32, u32) = (7, 0);

/// How many copies of a tracepoint's program are attached. Where a tracepoint is
/// preemptible, the kernel skips a program on a CPU on which the same one waits to go
/// on; a copy, another program to it, does what the first could not.
pub fn copies(facts: &Facts) -> u32 {
    match facts.version() >= PREEMPTIBLE {
        true => xl_limits::XL_COPIES.0,
        false => 1,
    }
}

/// Leaves unloaded what the flavour does not use.
pub fn set_autoload(
    skel: &mut OpenExeclatSkel<'_>,
    flavour: Flavour,
    filter: &KernelFilter,
    copies: u32,
) {
    let kprobe = flavour == Flavour::Kprobe;
    let progs = &mut skel.progs;
    let of_exec = [
        &mut progs.tp_exec,
        &mut progs.tp_exec_2,
        &mut progs.tp_exec_3,
    ];
    let of_exit = [
        &mut progs.tp_exit,
        &mut progs.tp_exit_2,
        &mut progs.tp_exit_3,
    ];
    let of_fork = [
        &mut progs.tp_fork,
        &mut progs.tp_fork_2,
        &mut progs.tp_fork_3,
    ];
    for (programs, used) in [
        (of_exec, !kprobe),
        (of_exit, !kprobe),
        (of_fork, needs_forks(filter)),
    ] {
        for (program, nth) in programs.into_iter().zip(0..) {
            program.set_autoload(used && nth < copies);
        }
    }
    progs.tp_attach.set_autoload(filter.runtimes);
    progs.tp_rmdir.set_autoload(filter.runtimes);
    progs.tp_signal.set_autoload(!kprobe);
    progs.tp_free.set_autoload(!kprobe);
    for program in [
        &mut progs.kp_execve,
        &mut progs.kp_finalize_exec,
        &mut progs.kp_do_exit,
        &mut progs.kp_disassociate_ctty,
        &mut progs.kp_acct_process,
        &mut progs.kp_taskstats_exit,
    ] {
        program.set_autoload(kprobe);
    }
}

/// Whether children take something from their parents. If not, forks are not looked
/// at, which they all would pay for.
fn needs_forks(filter: &KernelFilter) -> bool {
    let reported = filter.anatomy || filter.runtimes || filter.forks;
    filter.scoped() || filter.follow || reported
}

/// What is attached; dropping it detaches.
#[derive(Debug, Default)]
pub struct Attached {
    links: Vec<Link>,
    /// Sees execs that were under way when the kretprobes came; see [`Attached::over_scan`].
    beside: Option<Link>,
    events: Option<TraceEvents>,
    /// What was attached and how, a sentence each.
    pub notes: Vec<String>,
}

/// Attaches a flavour. Starts last, so that no execution is seen whose end is not.
/// `tells_status`: the kernel knows a process's status when its last thread ends, so
/// that do_exit, which every thread passes, is left alone. `copies`: see [`copies`].
///
/// # Errors
/// A probe cannot be attached, and no other can stand for it.
pub fn attach(
    progs: &ExeclatProgs<'_>,
    flavour: Flavour,
    filter: &KernelFilter,
    tells_status: bool,
    copies: u32,
) -> Result<Attached> {
    let mut attached = Attached::default();
    if filter.runtimes {
        attached.add(progs.tp_attach.attach(), "tracepoint cgroup_attach_task")?;
        attached.add(progs.tp_rmdir.attach(), "tracepoint cgroup_rmdir")?;
    }
    if needs_forks(filter) {
        let programs = [&progs.tp_fork, &progs.tp_fork_2, &progs.tp_fork_3];
        attached.copies(programs, copies, "tracepoint sched_process_fork")?;
    }
    match flavour {
        Flavour::Tracepoint => {
            attached.add(progs.tp_free.attach(), "tracepoint sched_process_free")?;
            attached.add(progs.tp_signal.attach(), "tracepoint signal_generate")?;
            let programs = [&progs.tp_exit, &progs.tp_exit_2, &progs.tp_exit_3];
            attached.copies(programs, copies, "tracepoint sched_process_exit")?;
            let programs = [&progs.tp_exec, &progs.tp_exec_2, &progs.tp_exec_3];
            attached.copies(programs, copies, "tracepoint sched_process_exec")?;
        }
        Flavour::Kprobe => {
            match TraceEvents::open() {
                Ok(events) => attached.events = Some(events),
                Err(why) => attached
                    .notes
                    .push(format!("misses are not counted: {why:#}")),
            }
            if !tells_status {
                attached.kprobe(&progs.kp_do_exit, "do_exit")?;
            }
            attach_end(&mut attached, progs)?;
            attach_start(&mut attached, progs)?;
        }
    }
    Ok(attached)
}

impl Attached {
    /// In reverse order: starts are the first to be seen no more, so that no end is
    /// taken for that of an image whose own start was not seen.
    pub fn detach(&mut self) {
        self.beside = None;
        while let Some(link) = self.links.pop() {
            drop(link);
        }
    }

    fn add(&mut self, link: libbpf_rs::Result<Link>, what: &str) -> Result<()> {
        let link = link.with_context(|| format!("failed to attach {what}"))?;
        self.links.push(link);
        self.notes.push(format!("attached {what}"));
        Ok(())
    }
}

impl Attached {
    /// What was under way when this began is over, or was listed: the returns are enough.
    pub fn over_scan(&mut self) {
        self.beside = None;
    }

    /// Whether finalize_exec is watched beside the returns of execve.
    pub fn is_beside(&self) -> bool {
        self.beside.is_some()
    }

    /// How often each probe was missed by the kernel.
    pub fn missed(&self) -> Vec<(String, u64)> {
        self.events
            .as_ref()
            .map(TraceEvents::missed)
            .unwrap_or_default()
    }

    fn copies<const N: usize>(
        &mut self,
        programs: [&ProgramMut<'_>; N],
        copies: u32,
        what: &str,
    ) -> Result<()> {
        let mut programs = programs.into_iter().take(copies as usize);
        programs.try_for_each(|program| self.add(program.attach(), what))
    }

    /// On a function's entry; through tracefs if that is to be had.
    fn kprobe(&mut self, program: &ProgramMut<'_>, function: &str) -> Result<()> {
        let what = format!("kprobe {function}");
        match self.through_tracefs(program, function, false) {
            Ok(Some(link)) => self.add(Ok(link), &what),
            Ok(None) => self.add(program.attach_kprobe(false, function), &what),
            Err(error) => Err(error).with_context(|| format!("failed to attach {what}")),
        }
    }

    fn through_tracefs(
        &mut self,
        program: &ProgramMut<'_>,
        function: &str,
        on_return: bool,
    ) -> io::Result<Option<Link>> {
        let Some(events) = &mut self.events else {
            return Ok(None);
        };
        let event = sys::open_trace_event(events.add(function, on_return)?)?;
        let link = program.attach_perf_event(event.as_raw_fd());
        let link = link.map_err(io::Error::other)?;
        // libbpf closes the descriptor with the link.
        let _ = event.into_raw_fd();
        Ok(Some(link))
    }
}

/// Functions that the last thread of a process calls, and no other; the first of
/// them comes after everything is torn down, as near as can be to the moment that
/// the parent is told. The others stand for it in kernels without terminals.
fn attach_end(attached: &mut Attached, progs: &ExeclatProgs<'_>) -> Result<()> {
    attached
        .kprobe(&progs.kp_disassociate_ctty, "disassociate_ctty")
        .or_else(|_| attached.kprobe(&progs.kp_acct_process, "acct_process"))
        .or_else(|_| attached.kprobe(&progs.kp_taskstats_exit, "taskstats_exit"))
        .context("no probe tells the last thread, neither disassociate_ctty nor acct_process")
}

/// Entry points of execve by architecture: the first must be there, the others are
/// if the kernel was built with them.
const EXECVE: &[&str] = if cfg!(target_arch = "aarch64") {
    &[
        "__arm64_sys_execve",
        "__arm64_sys_execveat",
        "__arm64_compat_sys_execve",
        "__arm64_compat_sys_execveat",
    ]
} else {
    &[
        "__x64_sys_execve",
        "__x64_sys_execveat",
        "__ia32_compat_sys_execve",
        "__ia32_compat_sys_execveat",
        "__x32_compat_sys_execve",
        "__x32_compat_sys_execveat",
    ]
};

fn attach_start(attached: &mut Attached, progs: &ExeclatProgs<'_>) -> Result<()> {
    match attach_kretprobes(attached, progs) {
        Ok(true) => {
            attach_beside(attached, progs);
            Ok(())
        }
        Ok(false) => attached.kprobe(&progs.kp_finalize_exec, "finalize_exec"),
        Err(why) => {
            attached
                .notes
                .push(format!("no kretprobes on execve: {why:#}"));
            attached.kprobe(&progs.kp_finalize_exec, "finalize_exec")
        }
    }
}

/// A kretprobe sees no return of a call that began before it: who was in an exec then, and is
/// adopted as what it ran before, would end unseen.
fn attach_beside(attached: &mut Attached, progs: &ExeclatProgs<'_>) {
    match attached.through_tracefs(&progs.kp_finalize_exec, "finalize_exec", false) {
        Ok(link) => attached.beside = link,
        Err(why) => attached
            .notes
            .push(format!("execs under way are not seen: {why}")),
    }
}

/// False where there is no tracefs to make them with.
fn attach_kretprobes(attached: &mut Attached, progs: &ExeclatProgs<'_>) -> Result<bool> {
    let mut links = Vec::new();
    for (i, function) in EXECVE.iter().enumerate() {
        match attached.through_tracefs(&progs.kp_execve, function, true) {
            Ok(Some(link)) => links.push((link, function)),
            Ok(None) => return Ok(false),
            Err(error) if i > 0 && error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("failed to attach kretprobe {function}"));
            }
        }
    }
    for (link, function) in links {
        let what = format!("kretprobe {function} with {KRETPROBE_INSTANCES} instances");
        attached.add(Ok(link), &what)?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_that_skip_programs_get_copies() {
        let copies = |kernel: &str| {
            copies(&Facts {
                kernel: kernel.to_owned(),
                ..Facts::default()
            })
        };
        assert_eq!(copies("5.10.0-46-cloud-amd64"), 1);
        assert_eq!(copies("6.19.2"), 1);
        assert_eq!(copies("7.0.13+deb13-cloud-amd64"), xl_limits::XL_COPIES.0);
        assert_eq!(copies("7.3-cloud-amd64"), xl_limits::XL_COPIES.0);
    }
}
