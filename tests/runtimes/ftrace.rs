//! The kernel's own word on execs and exits: an ftrace instance that sees what the
//! driver and its descendants do, by the same clock as execlat.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::{InTime as _, skip};

const CLONE_THREAD: u64 = 0x10000;

/// A trace of one process and its descendants.
pub struct Ftrace {
    dir: PathBuf,
    /// Where tracefs has been mounted for us.
    mount: Option<PathBuf>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Kind {
    /// Made by this thread: a process, or a thread of the same one.
    New { by: u32, thread: bool },
    /// By a process.
    Exec,
    /// Of a thread; the last of its process, where the kernel tells it.
    Exit { comm: String, last: bool },
}

#[derive(Debug)]
pub struct Event {
    pub kind: Kind,
    pub tid: u32,
    pub at_ns: u64,
}

impl Ftrace {
    /// `None`, with a word, where the kernel has no tracefs.
    pub fn of(pid: u32, name: &str) -> Option<Ftrace> {
        let standard = Path::new("/sys/kernel/tracing");
        let mount = (!standard.join("instances").exists()).then(|| {
            // Not below what a test removes with all that is in it.
            std::env::temp_dir().join(format!("execlat-tracefs-{name}"))
        });
        if let Some(dir) = &mount {
            fs::create_dir(dir).expect("a place for tracefs");
            let mut command = Command::new("mount");
            let output = command
                .args(["-t", "tracefs", "none"])
                .arg(dir)
                .in_time()
                .output();
            if !output.is_ok_and(|o| o.status.success()) {
                fs::remove_dir(dir).expect("an empty directory");
                skip("needs tracefs");
                return None;
            }
        }
        let root = mount.as_deref().unwrap_or(standard);
        let ftrace = Ftrace {
            dir: root.join("instances").join(name),
            mount,
        };
        fs::create_dir(&ftrace.dir).expect("an ftrace instance");
        ftrace.set("trace_clock", "mono");
        ftrace.set("buffer_size_kb", "4096");
        ftrace.set("options/event-fork", "1");
        ftrace.set("set_event_pid", &pid.to_string());
        for event in [
            "task/task_newtask",
            "sched/sched_process_exec",
            "sched/sched_process_exit",
        ] {
            ftrace.set(&format!("events/{event}/enable"), "1");
        }
        Some(ftrace)
    }

    fn set(&self, file: &str, value: &str) {
        let path = self.dir.join(file);
        fs::write(&path, value).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }

    /// What has happened so far, in order.
    pub fn events(&self) -> Vec<Event> {
        let trace = fs::read(self.dir.join("trace")).expect("the trace");
        let trace = String::from_utf8_lossy(&trace);
        assert!(!trace.contains("LOST"), "ftrace lost events");
        trace.lines().filter_map(event).collect()
    }
}

impl Drop for Ftrace {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.dir);
        if let Some(dir) = &self.mount {
            let _ = Command::new("umount").arg("-l").arg(dir).in_time().output();
            let _ = fs::remove_dir(dir);
        }
    }
}

/// `comm-tid [cpu] flags seconds: event: fields`; a comm may hold anything.
fn event(line: &str) -> Option<Event> {
    let (before, what, fields) = ["task_newtask", "sched_process_exec", "sched_process_exit"]
        .iter()
        .find_map(|what| {
            let (before, fields) = line.split_once(&format!(": {what}: "))?;
            Some((before, *what, fields))
        })?;
    let (seconds, micros) = before.rsplit_once(' ')?.1.split_once('.')?;
    let at_us = seconds.parse::<u64>().ok()? * 1_000_000 + micros.parse::<u64>().ok()?;
    let value = |name: &str| {
        let (_, rest) = fields.rsplit_once(&format!("{name}="))?;
        rest.split(' ').next()
    };
    let (kind, pid) = match what {
        "task_newtask" => {
            let flags = u64::from_str_radix(value("clone_flags")?, 16).ok()?;
            let by = before.rsplit_once(" [")?.0.trim_end().rsplit_once('-')?.1;
            let kind = Kind::New {
                by: by.parse().ok()?,
                thread: flags & CLONE_THREAD != 0,
            };
            (kind, fields.strip_prefix("pid=")?.split(' ').next()?)
        }
        "sched_process_exec" => (Kind::Exec, value(" pid")?),
        _ => {
            let (comm, _) = fields.strip_prefix("comm=")?.rsplit_once(" pid=")?;
            let kind = Kind::Exit {
                comm: comm.to_owned(),
                last: value("group_dead") == Some("true"),
            };
            (kind, value(" pid")?)
        }
    };
    Some(Event {
        kind,
        tid: pid.parse().ok()?,
        at_ns: at_us * 1000,
    })
}
