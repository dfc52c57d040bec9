//! What the user wants, checked and resolved; no type of the command-line parser
//! gets past this. A test of the pipeline fills these by hand.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use regex::bytes::Regex;

use crate::label::Key;
use crate::row::Column;

/// Which executions: what the kernel side filters by.
#[derive(Debug, Clone, Default)]
pub struct KernelFilter {
    /// Directories of cgroups; none means any.
    pub cgroups: Vec<PathBuf>,
    /// Only these, not what is below.
    pub cgroup_exact: bool,
    /// Only what executes in them, not what runtimes do to their containers from outside.
    pub cgroup_strict: bool,
    /// Names of programs, 1 to 63 bytes each; none means any.
    pub names: Vec<Vec<u8>>,
    /// Real user ids; none means any.
    pub uids: Vec<u32>,
    /// Processes whose trees are meant; none means any.
    pub pids: Vec<u32>,
    /// Also everything that a matched process starts.
    pub follow: bool,
    /// Only what a command of ours starts.
    pub command: bool,
    /// Also what a matched one forks, up to its first other program.
    pub anatomy: bool,
    /// Also where runtimes put their containers.
    pub runtimes: bool,
    /// Also all that a matched one forks, and what is forked below it.
    pub forks: bool,
}

impl KernelFilter {
    /// Whether only some trees of processes are meant.
    pub fn scoped(&self) -> bool {
        self.command || !self.pids.is_empty()
    }

    /// Whether what runtimes do to containers is meant, wherever they run.
    pub fn from_outside(&self) -> bool {
        !self.cgroups.is_empty() && !self.cgroup_exact && !self.cgroup_strict
    }

    /// Whether everything is meant.
    pub fn takes_all(&self) -> bool {
        !self.scoped() && self.cgroups.is_empty() && self.names.is_empty() && self.uids.is_empty()
    }
}

/// Which of the executions become rows.
#[derive(Debug, Clone, Default)]
pub struct RowFilter {
    /// The argument line matches.
    pub line: Option<Regex>,
    /// At least this long.
    pub min_time: Duration,
    /// Did not end with code 0.
    pub failed: bool,
}

/// Which of the two flavours of the kernel side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Probe {
    /// The first that works here.
    #[default]
    Auto,
    /// kretprobe on execve, kprobes on the way out.
    Kprobe,
    /// The scheduler's tracepoints.
    Tracepoint,
}

/// How to look at the live kernel.
#[derive(Debug, Clone)]
pub struct Live {
    /// Which executions.
    pub filter: KernelFilter,
    /// Flavour.
    pub probe: Probe,
    /// Buffer for all CPUs together; absent: a default that fits the machine.
    pub buffer_bytes: Option<u64>,
    /// The most of an argv that is captured.
    pub args_bytes: u32,
    /// Stop after this time.
    pub duration: Option<Duration>,
    /// A program to run and trace, with its arguments.
    pub command: Vec<OsString>,
    /// Look for the names of containers, where engines keep them.
    pub names: bool,
    /// Keep the raw events here.
    pub record: Option<PathBuf>,
}

impl Live {
    /// Just to see whether it works.
    pub fn trial(filter: KernelFilter) -> Live {
        Live {
            filter,
            probe: Probe::Auto,
            buffer_bytes: None,
            args_bytes: 1,
            duration: None,
            command: Vec::new(),
            names: false,
            record: None,
        }
    }
}

/// The form of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// A table for people.
    #[default]
    Table,
    /// JSON lines.
    Json,
    /// Comma-separated values.
    Csv,
}

/// The form of an exported histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportFormat {
    /// As on the terminal.
    Text,
    /// The same figures as JSON.
    Json,
    /// The table of figures as CSV.
    Csv,
}

/// A live table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Top {
    /// It is drawn anew this often.
    pub interval: Duration,
    /// In colours.
    pub color: bool,
}

/// What to show.
#[derive(Debug, Clone)]
pub struct View {
    /// Which executions become rows.
    pub rows: RowFilter,
    /// No rows at all.
    pub quiet: bool,
    /// Rows are starts of containers, in phases.
    pub anatomy: bool,
    /// Their form.
    pub format: Format,
    /// Their columns; JSON has all.
    pub columns: Vec<Column>,
    /// A table that is written at the end, rows below who started them.
    pub tree: bool,
    /// Arguments as a shell would read them.
    pub quote: bool,
    /// Colours, already decided.
    pub color: bool,
    /// Rows go here, not to stdout.
    pub output: Option<PathBuf>,
    /// Latency figures and bars at the end.
    pub histogram: bool,
    /// Files that they go to as well.
    pub exports: Vec<(PathBuf, ExportFormat)>,
    /// Figures of each such time as well.
    pub interval: Option<Duration>,
    /// What runs for longer than this is told while it runs.
    pub slow: Option<Duration>,
    /// What figures are grouped by.
    pub by: Key,
    /// A live table on the terminal.
    pub top: Option<Top>,
    /// Any loss makes the exit status 3.
    pub strict: bool,
    /// What ran before tracing began is listed with what still runs: it was asked for.
    pub lists_before: bool,
    /// Say what is done, and how.
    pub verbose: bool,
}

impl View {
    /// Whether anything but messages goes to a terminal or a pipe.
    pub fn uses_stdout(&self) -> bool {
        let rows = self.output.is_none() && !self.quiet;
        rows || self.histogram || self.anatomy || self.top.is_some()
    }

    /// Whether rows have the cgroups of the containers that runtimes are called for.
    pub fn shows_places(&self) -> bool {
        let rows = !self.quiet || self.output.is_some();
        let shown = self.format == Format::Json || self.columns.contains(&Column::ContainerCgroup);
        rows && shown && !self.anatomy
    }
}

/// Where executions come from.
#[derive(Debug, Clone)]
pub enum Origin {
    /// The live kernel.
    Live(Live),
    /// Recordings, and which of the executions in them.
    Replay(KernelFilter, Vec<PathBuf>),
}

/// All of it.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where executions come from.
    pub origin: Origin,
    /// What to show of them.
    pub view: View,
}
