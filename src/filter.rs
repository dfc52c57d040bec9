//! Choices made in userspace: which executions become rows, which of a recording
//! are meant, and the rule by which a name matches.

use std::collections::HashMap;
use std::path::Path;

use crate::anatomy::{Outcome, Start};
use crate::cgroup::{Mount, below};
use crate::config::{KernelFilter, RowFilter};
use crate::event::{Execution, Image, ProcessId};
use crate::text::{argv_line, base_name};

/// A name of more bytes than this is cut in a task's comm.
const COMM_MAX_BYTES: usize = 15;

/// Whether a program called one of `names` runs: by the task's comm or the base
/// name of argv[0]; a name that comm cannot hold is judged by the base name alone,
/// or by comm's 15 bytes where argv[0] is not known. The kernel side has the same
/// rule.
pub fn name_matches(names: &[Vec<u8>], comm: &[u8], argv0: Option<&[u8]>) -> bool {
    let comm = comm.split(|&b| b == 0).next().unwrap_or_default();
    let base = argv0.map(base_name);
    names.iter().any(|name| {
        let by_comm = match name.len() <= COMM_MAX_BYTES {
            true => name == comm,
            false => base.is_none() && &name[..COMM_MAX_BYTES] == comm,
        };
        by_comm || base == Some(name)
    })
}

impl RowFilter {
    /// Whether the execution becomes a row.
    pub fn passes(&self, execution: &Execution) -> bool {
        let min_ns = u64::try_from(self.min_time.as_nanos()).unwrap_or(u64::MAX);
        (!self.failed || execution.end.failed())
            && (min_ns == 0 || execution.time_ns() >= min_ns)
            && self.line_passes(&execution.image)
    }

    /// The part of it that can be told while it still runs.
    pub fn line_passes(&self, image: &Image) -> bool {
        self.line
            .as_ref()
            .is_none_or(|regex| regex.is_match(&argv_line(&image.argv)))
    }

    /// Whether the start becomes a row: `line` is asked of the runtime's arguments, the
    /// time is the total.
    pub fn passes_start(&self, start: &Start) -> bool {
        let min_ns = u64::try_from(self.min_time.as_nanos()).unwrap_or(u64::MAX);
        let well = matches!(start.outcome, Outcome::Started | Outcome::Pending { .. });
        (!self.failed || !well)
            && (min_ns == 0 || start.total_ns().is_some_and(|ns| ns >= min_ns))
            && self
                .line
                .as_ref()
                .is_none_or(|regex| regex.is_match(&argv_line(&start.image.argv)))
    }
}

/// The filters of `execlat report`: the kernel side's, applied to what it let
/// through when the recording was made.
#[derive(Debug)]
pub struct Selection {
    filter: KernelFilter,
    /// Paths within the hierarchy.
    cgroups: Vec<String>,
    /// Members of the trees asked for, as far as execs tell; and when they began, of
    /// those that have.
    in_scope: HashMap<u32, Option<u64>>,
}

/// The filter that an execution does not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Miss {
    /// Another tree of processes.
    Scope,
    /// Another user.
    Uid,
    /// Another name.
    Name,
}

impl Selection {
    /// `mount` is where the recorded hierarchy was mounted.
    pub fn new(filter: &KernelFilter, mount: &Mount) -> Selection {
        let within = |path: &Path| {
            let path = path.to_string_lossy();
            let is_path = || format!("/{}", path.trim_matches('/'));
            mount.path(&path).unwrap_or_else(is_path)
        };
        Selection {
            cgroups: filter.cgroups.iter().map(|path| within(path)).collect(),
            in_scope: filter.pids.iter().map(|pid| (*pid, None)).collect(),
            filter: filter.clone(),
        }
    }

    /// Takes note of who started whom; in the order of the execs, so that parents
    /// come first.
    pub fn note_exec(&mut self, process: ProcessId, ppid: u32) {
        let ProcessId { tgid, start_ns } = process;
        let began = Some(start_ns);
        // A member stays one, whoever its parent is by now.
        let member = self.in_scope.get(&tgid) == Some(&began);
        if member || self.filter.pids.contains(&tgid) || self.in_scope.contains_key(&ppid) {
            self.in_scope.insert(tgid, began);
        } else {
            // An earlier process had that number.
            self.in_scope.remove(&tgid);
        }
    }

    /// Why an image in a process is not meant; its cgroup is not looked at.
    pub fn misses(&self, tgid: u32, image: &Image) -> Option<Miss> {
        let filter = &self.filter;
        let argv0 = image.argv.first();
        if filter.scoped() && !self.in_scope.contains_key(&tgid) {
            Some(Miss::Scope)
        } else if !filter.uids.is_empty() && !filter.uids.contains(&image.uid) {
            Some(Miss::Uid)
        } else if !filter.names.is_empty() && !name_matches(&filter.names, &image.comm, argv0) {
            Some(Miss::Name)
        } else {
            None
        }
    }

    /// Whether only some cgroups are meant.
    pub fn asks_cgroups(&self) -> bool {
        !self.cgroups.is_empty()
    }

    /// Their paths.
    pub fn cgroups(&self) -> &[String] {
        &self.cgroups
    }

    /// Whether only what ran in these cgroups is meant.
    pub fn strict(&self) -> bool {
        self.filter.cgroup_strict || self.filter.cgroup_exact
    }

    /// Whether the cgroup with this path is meant; one that is not known is not, if only
    /// some are.
    pub fn holds(&self, cgroup: Option<&str>) -> bool {
        !self.asks_cgroups()
            || cgroup.is_some_and(|path| self.cgroups.iter().any(|c| self.is_in(path, c)))
    }

    /// Whether all that is below this cgroup is meant as well.
    pub fn holds_below(&self, cgroup: Option<&str>) -> bool {
        !self.filter.cgroup_exact && self.holds(cgroup)
    }

    /// Whether a cgroup is one that is asked for, or below it.
    pub fn is_in(&self, path: &str, asked: &str) -> bool {
        match self.filter.cgroup_exact {
            true => path == asked,
            false => below(path, asked).is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{End, WaitStatus};
    use crate::fixture;
    use regex::bytes::Regex;
    use std::time::Duration;

    fn execution(args: &str, code: u32) -> Execution {
        Execution {
            process: ProcessId {
                tgid: 7,
                start_ns: 1,
            },
            start_ns: 10,
            end_ns: 10 + 5_000_000,
            end: End::Exit(WaitStatus(code << 8)),
            ..fixture::execution(Image {
                ppid: 3,
                uid: 1000,
                comm: *b"exe\0\0\0\0\0\0\0\0\0\0\0\0\0",
                ..fixture::image(args)
            })
        }
    }

    fn passes(selection: &Selection, execution: &Execution) -> bool {
        let (process, image) = (execution.process, &execution.image);
        selection.misses(process.tgid, image).is_none()
    }

    #[test]
    fn names_match_comm_or_base_name() {
        let names = |name: &str| vec![name.as_bytes().to_vec()];
        let matches = |name: &str, comm: &str, argv0: Option<&str>| {
            name_matches(&names(name), comm.as_bytes(), argv0.map(str::as_bytes))
        };
        assert!(matches("runc", "runc\0\0", Some("/x")));
        assert!(matches("runc", "exe", Some("/usr/sbin/runc")));
        assert!(matches("runc", "6", Some("runc")));
        assert!(!matches("runc", "runc:[2:INIT]", Some("init")));
        assert!(!matches("runc", "exe", Some("/runc/x")));
        let long = "containerd-shim-runc-v2";
        assert!(matches(
            long,
            "containerd-shim",
            Some("/usr/bin/containerd-shim-runc-v2")
        ));
        assert!(!matches(
            long,
            "containerd-shim",
            Some("/usr/bin/containerd-shim-runc-v1")
        ));
        assert!(matches(long, "containerd-shim", None));
    }

    #[test]
    fn rows_are_chosen() {
        let ok = execution("runc\0state\0", 0);
        let bad = execution("runc\0exec\0", 1);
        assert!(RowFilter::default().passes(&ok));
        let failed = RowFilter {
            failed: true,
            ..RowFilter::default()
        };
        assert!(!failed.passes(&ok) && failed.passes(&bad));
        let long = RowFilter {
            min_time: Duration::from_millis(6),
            ..RowFilter::default()
        };
        assert!(!long.passes(&ok));
        let line = RowFilter {
            line: Regex::new("runc st").ok(),
            ..RowFilter::default()
        };
        assert!(line.passes(&ok) && !line.passes(&bad));
    }

    #[test]
    fn recorded_cgroups_are_paths() {
        let filter = |path: &str, exact| KernelFilter {
            cgroups: vec![path.into()],
            cgroup_exact: exact,
            ..KernelFilter::default()
        };
        let passes = |path, exact, cgroup| {
            let mount = Mount::new("/sys/fs/cgroup", "/");
            Selection::new(&filter(path, exact), &mount).holds(cgroup)
        };
        assert!(passes("/sys/fs/cgroup/garden", false, Some("/garden/a")));
        assert!(passes("/garden/", false, Some("/garden")));
        assert!(!passes("/garden", false, Some("/garden2")));
        assert!(!passes("/garden", true, Some("/garden/a")));
        assert!(!passes("/garden", false, None));
        assert!(passes("/sys/fs/cgroup", false, Some("/any")));
        let private = Mount::new("/sys/fs/cgroup", "/docker/0f");
        let holds = |path, cgroup| Selection::new(&filter(path, false), &private).holds(cgroup);
        assert!(holds("/sys/fs/cgroup/a", Some("/docker/0f/a/b")));
        assert!(holds("/docker/0f/a", Some("/docker/0f/a/b")));
        assert!(!holds("/sys/fs/cgroup/a", Some("/a/b")));
    }

    #[test]
    fn recorded_trees_are_followed_by_their_parents() {
        let filter = KernelFilter {
            pids: vec![3],
            ..KernelFilter::default()
        };
        let mut selection = Selection::new(&filter, &Mount::default());
        let mut grandchild = execution("x\0", 0);
        grandchild.process.tgid = 8;
        grandchild.image.ppid = 7;
        assert!(!passes(&selection, &grandchild));
        let process = |tgid, start_ns| ProcessId { tgid, start_ns };
        selection.note_exec(process(7, 70), 3);
        selection.note_exec(process(8, 80), 7);
        // It ends before its parent does.
        assert!(passes(&selection, &grandchild));
        assert!(passes(&selection, &execution("x\0", 0)));
        // It execs once more, when its parent is no member any longer.
        selection.note_exec(process(7, 71), 1);
        selection.note_exec(process(8, 80), 1);
        assert!(passes(&selection, &grandchild));
        // Another process has its number.
        selection.note_exec(process(8, 81), 1);
        assert!(!passes(&selection, &grandchild));
    }

    #[test]
    fn a_name_that_was_cut_is_none() {
        let filter = |name: &str| KernelFilter {
            names: vec![name.as_bytes().to_vec()],
            ..KernelFilter::default()
        };
        let mut cut = execution("/usr/sbin/my", 0);
        cut.image.argv.true_bytes = 40;
        assert!(!passes(
            &Selection::new(&filter("my"), &Mount::default()),
            &cut
        ));
        cut.image.argv.true_bytes = 12;
        assert!(passes(
            &Selection::new(&filter("my"), &Mount::default()),
            &cut
        ));
    }
}
