//! A row and its columns, whatever the form it is shown in.

use std::str::FromStr;

use crate::clock::Clock;
use crate::event::{End, Execution, WaitStatus};
use crate::label::Labels;
use crate::text::{push_argv, push_number, push_printable, push_seconds, short_id};

/// An execution with all that is said about it.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// The execution.
    pub execution: &'a Execution,
    /// What it is called.
    pub labels: &'a Labels<'a>,
    /// How its times are shown.
    pub clock: Clock,
    /// Size of a page where it ran, bytes.
    pub page_bytes: u64,
}

impl Row<'_> {
    /// Peak of resident memory, bytes.
    pub fn maxrss_bytes(&self) -> Option<u64> {
        let pages = self.execution.maxrss_pages?;
        Some(pages.saturating_mul(self.page_bytes))
    }
}

/// A column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// Thread group id.
    Pid,
    /// Parent at the exec.
    Ppid,
    /// Real user id.
    Uid,
    /// How it ended.
    Code,
    /// How long it ran.
    Time,
    /// Its arguments.
    Argv,
    /// The task's name at the exec.
    Comm,
    /// Wall-clock time of the start.
    Start,
    /// Wall-clock time of the end.
    End,
    /// `runc create`, or the task's name.
    Action,
    /// Container.
    Container,
    /// What its engine calls the container.
    Name,
    /// Path of the cgroup that it ran in.
    Cgroup,
    /// Path of the cgroup of the container that a runtime was called for.
    ContainerCgroup,
    /// The pod of its container.
    Pod,
    /// CPU time of all its threads.
    Cpu,
    /// Time without a thread on a CPU.
    Off,
    /// Peak of resident memory.
    Maxrss,
    /// Whether that peak is its own.
    MaxrssKnown,
    /// Page faults that waited for I/O.
    Majflt,
    /// Context switches.
    Switches,
    /// Execs of itself.
    Reexecs,
    /// Whether the start is the exec's.
    StartKnown,
    /// Time of day of the end (`--time`).
    TimeOfDay,
    /// Seconds from the beginning of tracing to the end (`--timestamp`).
    Elapsed,
}

/// Name for `--columns`, heading, width (the last column has none).
const COLUMNS: [(Column, &str, &str, usize); 25] = [
    (Column::Pid, "pid", "PID", 7),
    (Column::Ppid, "ppid", "PPID", 7),
    (Column::Uid, "uid", "UID", 6),
    (Column::Code, "code", "CODE", 8),
    (Column::Time, "time", "TIME(s)", 9),
    (Column::Argv, "argv", "ARGV", 40),
    (Column::Comm, "comm", "COMM", 15),
    (Column::Start, "start", "START", 27),
    (Column::End, "end", "END", 27),
    (Column::Action, "action", "ACTION", 14),
    (Column::Container, "container", "CONTAINER", 20),
    (Column::Name, "name", "NAME", 20),
    (Column::Cgroup, "cgroup", "CGROUP", 30),
    (
        Column::ContainerCgroup,
        "container_cgroup",
        "CONTAINER-CGROUP",
        30,
    ),
    (Column::Pod, "pod", "POD", 36),
    (Column::Cpu, "cpu", "CPU(s)", 9),
    (Column::Off, "off", "OFF(s)", 9),
    (Column::Maxrss, "maxrss", "RSS(KiB)", 9),
    (Column::MaxrssKnown, "maxrss_known", "OWN", 5),
    (Column::Majflt, "majflt", "MAJFLT", 6),
    (Column::Switches, "switches", "SWITCHES", 8),
    (Column::Reexecs, "reexecs", "REEXECS", 7),
    (Column::StartKnown, "start_known", "KNOWN", 5),
    (Column::TimeOfDay, "time_of_day", "TIME", 13),
    (Column::Elapsed, "elapsed", "AT(s)", 11),
];

/// The columns of a table by default.
pub const TABLE: [Column; 5] = [
    Column::Pid,
    Column::Ppid,
    Column::Code,
    Column::Time,
    Column::Argv,
];

/// The columns of CSV by default: all that can be named.
pub const CSV: [Column; 23] = [
    Column::Start,
    Column::End,
    Column::Pid,
    Column::Ppid,
    Column::Uid,
    Column::Code,
    Column::Time,
    Column::Cpu,
    Column::Off,
    Column::Maxrss,
    Column::MaxrssKnown,
    Column::Majflt,
    Column::Switches,
    Column::Comm,
    Column::Action,
    Column::Container,
    Column::Name,
    Column::Pod,
    Column::Cgroup,
    Column::ContainerCgroup,
    Column::Reexecs,
    Column::StartKnown,
    Column::Argv,
];

impl Column {
    fn entry(self) -> &'static (Column, &'static str, &'static str, usize) {
        let found = COLUMNS.iter().find(|(column, ..)| *column == self);
        found.unwrap_or(&COLUMNS[0])
    }

    /// The name for `--columns` and in CSV.
    pub fn name(self) -> &'static str {
        self.entry().1
    }

    /// The heading.
    pub fn heading(self) -> &'static str {
        self.entry().2
    }

    /// Columns of a terminal that its cells take, filled up with blanks.
    pub fn width(self) -> usize {
        self.entry().3
    }

    /// Appends the cell as a program reads it: a number is one, arguments are quoted
    /// so that one sees where each ends, and what is not known is empty.
    pub fn push_value(self, out: &mut String, row: &Row<'_>) {
        let execution = row.execution;
        match self {
            Column::Time if execution.end == End::Unknown => {}
            Column::Time => push_seconds(out, execution.time_ns()),
            Column::Maxrss => {
                if let Some(bytes) = row.maxrss_bytes() {
                    push_number(out, bytes / 1024);
                }
            }
            Column::Container => out.push_str(row.labels.container.as_deref().unwrap_or_default()),
            column => {
                let start = out.len();
                column.push_cell(out, row, true);
                if &out[start..] == NOT_KNOWN && column != Column::Argv {
                    out.truncate(start);
                }
            }
        }
    }

    /// Appends the cell as a person reads it; what is not known is `-`.
    pub fn push_cell(self, out: &mut String, row: &Row<'_>, quote: bool) {
        let execution = row.execution;
        let image = &execution.image;
        match self {
            Column::Pid => push_number(out, execution.process.tgid.into()),
            Column::Ppid => push_number(out, image.ppid.into()),
            Column::Uid => push_number(out, image.uid.into()),
            Column::Code => match execution.end {
                End::Exit(WaitStatus(0)) => out.push('0'),
                end => out.push_str(&end.to_string()),
            },
            Column::Time => push_time(out, execution),
            Column::Argv => push_argv(out, &image.argv, quote),
            Column::Comm => push_printable(out, image.comm()),
            Column::Start => out.push_str(&row.clock.rfc3339(execution.start_ns)),
            Column::End => push_if(out, ended(execution), |out, ns| {
                out.push_str(&row.clock.rfc3339(ns));
            }),
            Column::Action => out.push_str(&row.labels.action),
            Column::Container => {
                let id = row.labels.container.as_deref();
                out.push_str(id.map_or(NOT_KNOWN, short_id));
            }
            Column::Name => out.push_str(row.labels.name.unwrap_or(NOT_KNOWN)),
            Column::Cgroup => {
                push_printable(out, row.labels.cgroup.unwrap_or(NOT_KNOWN).as_bytes())
            }
            Column::ContainerCgroup => {
                let path = row.labels.container_cgroup.as_deref();
                push_printable(out, path.unwrap_or(NOT_KNOWN).as_bytes());
            }
            Column::Pod => out.push_str(row.labels.pod.as_deref().unwrap_or(NOT_KNOWN)),
            Column::Cpu => push_if(out, execution.used, |out, used| {
                push_seconds(out, used.cpu_ns);
            }),
            Column::Off => push_if(out, execution.off_cpu_ns(), push_seconds),
            Column::Maxrss => push_maxrss(out, row),
            Column::MaxrssKnown => push_if(out, execution.maxrss_known(), push_bool),
            Column::Majflt => push_if(out, execution.used, |out, used| {
                push_number(out, used.major_faults);
            }),
            Column::Switches => push_if(out, execution.used, |out, used| {
                push_number(out, used.switches());
            }),
            Column::Reexecs => push_number(out, execution.reexecs.into()),
            Column::StartKnown => push_bool(out, execution.start_known),
            Column::TimeOfDay => push_if(out, ended(execution), |out, ns| {
                out.push_str(&row.clock.time_of_day(ns));
            }),
            Column::Elapsed => push_if(out, ended(execution), |out, ns| {
                push_seconds(out, row.clock.elapsed_ns(ns));
            }),
        }
    }
}

/// Stands in a table for what is not known.
const NOT_KNOWN: &str = "-";

/// When it ended, if that was seen.
pub fn ended(execution: &Execution) -> Option<u64> {
    match execution.end {
        End::Exit(_) | End::Exec => Some(execution.end_ns),
        End::Running | End::Unknown => None,
    }
}

fn push_if<T>(out: &mut String, value: Option<T>, push: impl FnOnce(&mut String, T)) {
    match value {
        Some(value) => push(out, value),
        None => out.push_str(NOT_KNOWN),
    }
}

fn push_bool(out: &mut String, value: bool) {
    out.push_str(if value { "true" } else { "false" });
}

/// KiB; `<=` says that an earlier image of the process had so much, and this one no more.
fn push_maxrss(out: &mut String, row: &Row<'_>) {
    if row.execution.maxrss_known() == Some(false) {
        out.push_str("<=");
    }
    push_if(out, row.maxrss_bytes(), |out, bytes| {
        push_number(out, bytes / 1024)
    });
}

/// `>` says that it ran longer than execlat: the start is the process's. Where the
/// end was lost, the time is not known.
fn push_time(out: &mut String, execution: &Execution) {
    if execution.end == End::Unknown {
        out.push('?');
        return;
    }
    if !execution.start_known {
        out.push('>');
    }
    push_seconds(out, execution.time_ns());
}

impl FromStr for Column {
    type Err = String;

    fn from_str(name: &str) -> Result<Column, String> {
        let found = COLUMNS.iter().find(|(_, known, ..)| *known == name);
        match found {
            Some((column, ..)) if CSV.contains(column) => Ok(*column),
            _ => {
                let names: Vec<_> = CSV.iter().map(|column| column.name()).collect();
                Err(format!(
                    "no column {name:?}; there are {}",
                    names.join(", ")
                ))
            }
        }
    }
}

/// The columns that `--columns` names: a list, or with `+` added to `default`.
///
/// # Errors
/// A name is no column.
pub fn parse_columns(list: &str, default: &[Column]) -> Result<Vec<Column>, String> {
    let mut columns = Vec::new();
    for name in list.split(',').map(str::trim) {
        match name.strip_prefix('+') {
            Some(name) => {
                if columns.is_empty() {
                    columns.extend(default);
                }
                let column = name.parse()?;
                // What is added comes before the arguments, which have no width.
                let last = columns.last() == Some(&Column::Argv);
                let at = columns.len() - usize::from(last);
                if !columns.contains(&column) {
                    columns.insert(at, column);
                }
            }
            None => columns.push(name.parse()?),
        }
    }
    Ok(columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_named_or_added() {
        let parse = |list| parse_columns(list, &TABLE);
        assert_eq!(parse("pid,argv"), Ok(vec![Column::Pid, Column::Argv]));
        let added = parse("+uid,+cpu").expect("known");
        assert_eq!(added.len(), 7);
        assert_eq!(added[4..], [Column::Uid, Column::Cpu, Column::Argv]);
        assert!(
            parse("pid,colour")
                .unwrap_err()
                .starts_with("no column \"colour\"; there are start")
        );
        assert!(parse("").is_err());
        assert!(parse("time_of_day").is_err());
    }
}
