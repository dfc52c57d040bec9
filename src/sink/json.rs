//! Rows as JSON lines; the last line is the summary. The man page documents the
//! schema; a change of a field's meaning changes [`SCHEMA`].

use std::borrow::Cow;
use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;

use super::Sink;
use crate::event::{End, signal_name};
use crate::row::{Row, ended};
use crate::summary::Summary;

/// Version of the schema.
pub const SCHEMA: u32 = 1;

/// Rows as JSON lines.
#[derive(Debug)]
pub struct Json<W: Write> {
    out: W,
}

impl<W: Write> Json<W> {
    /// No rows yet.
    pub fn new(out: W) -> Self {
        Json { out }
    }
}

/// JSON allows DEL and the C1 controls as they are; a terminal obeys them.
pub(super) struct Harmless;

impl Formatter for Harmless {
    fn write_string_fragment<W>(&mut self, out: &mut W, text: &str) -> io::Result<()>
    where
        W: ?Sized + Write,
    {
        if text.bytes().all(|byte| byte < 0x7f) {
            return out.write_all(text.as_bytes());
        }
        let mut rest = text;
        while let Some(at) = rest.find(|c| matches!(c, '\u{7f}'..='\u{9f}')) {
            out.write_all(&rest.as_bytes()[..at])?;
            let mut chars = rest[at..].chars();
            let code = chars.next().map_or(0, u32::from);
            write!(out, "\\u{code:04x}")?;
            rest = chars.as_str();
        }
        out.write_all(rest.as_bytes())
    }
}

/// Absent is null; times are nanoseconds of `CLOCK_MONOTONIC`, but `start_time`.
#[derive(Serialize)]
struct Fields<'a> {
    start_ns: u64,
    end_ns: Option<u64>,
    time_ns: Option<u64>,
    start_time: String,
    start_known: bool,
    pid: u32,
    ppid: u32,
    uid: u32,
    comm: Cow<'a, str>,
    argv: Vec<Cow<'a, str>>,
    /// Only where an argument is not UTF-8: all of them, exactly.
    #[serde(skip_serializing_if = "Option::is_none")]
    argv_base64: Option<Vec<String>>,
    argv_bytes: u32,
    argv_truncated: bool,
    argv_unreadable: bool,
    end: &'static str,
    exit_code: Option<u8>,
    signal: Option<u8>,
    signal_name: Option<String>,
    core_dumped: bool,
    cgroup_id: Option<u64>,
    cgroup: Option<&'a str>,
    container_cgroup: Option<&'a str>,
    action: &'a str,
    runtime: Option<&'static str>,
    container: Option<&'a str>,
    container_name: Option<&'a str>,
    pod: Option<&'a str>,
    lasting: bool,
    reexecs: u32,
    cpu_ns: Option<u64>,
    off_cpu_ns: Option<u64>,
    maxrss_bytes: Option<u64>,
    maxrss_known: Option<bool>,
    major_faults: Option<u64>,
    voluntary_switches: Option<u64>,
    involuntary_switches: Option<u64>,
}

impl<'a> Fields<'a> {
    fn new(row: &Row<'a>) -> Fields<'a> {
        let execution = row.execution;
        let image = &execution.image;
        let argv: Vec<Cow<'a, str>> = image.argv.args().map(String::from_utf8_lossy).collect();
        let exact = image
            .argv
            .args()
            .all(|arg| std::str::from_utf8(arg).is_ok());
        let status = match execution.end {
            End::Exit(status) => Some(status),
            End::Exec | End::Running | End::Unknown => None,
        };
        let signal = status.and_then(|s| s.signal());
        let used = execution.used;
        Fields {
            start_ns: execution.start_ns,
            end_ns: ended(execution),
            time_ns: (execution.end != End::Unknown).then(|| execution.time_ns()),
            start_time: row.clock.rfc3339(execution.start_ns),
            start_known: execution.start_known,
            pid: execution.process.tgid,
            ppid: image.ppid,
            uid: image.uid,
            comm: String::from_utf8_lossy(image.comm()),
            argv_base64: (!exact)
                .then(|| image.argv.args().map(|arg| STANDARD.encode(arg)).collect()),
            argv,
            argv_bytes: image.argv.true_bytes,
            argv_truncated: image.argv.truncated(),
            argv_unreadable: image.argv.fault,
            end: end_name(execution.end),
            exit_code: status.and_then(|s| s.exit_code()),
            signal,
            signal_name: signal.map(signal_name),
            core_dumped: status.is_some_and(|s| s.core_dumped()),
            cgroup_id: (image.cgroup_id != 0).then_some(image.cgroup_id),
            cgroup: row.labels.cgroup,
            container_cgroup: row.labels.container_cgroup.as_deref(),
            action: &row.labels.action,
            runtime: row.labels.runtime,
            container: row.labels.container.as_deref(),
            container_name: row.labels.name,
            pod: row.labels.pod.as_deref(),
            lasting: row.labels.lasting,
            reexecs: execution.reexecs,
            cpu_ns: used.map(|used| used.cpu_ns),
            off_cpu_ns: execution.off_cpu_ns(),
            maxrss_bytes: row.maxrss_bytes(),
            maxrss_known: execution.maxrss_known(),
            major_faults: used.map(|used| used.major_faults),
            voluntary_switches: used.map(|used| used.voluntary_switches),
            involuntary_switches: used.map(|used| used.involuntary_switches),
        }
    }
}

fn end_name(end: End) -> &'static str {
    match end {
        End::Exit(_) => "exit",
        End::Exec => "exec",
        End::Running => "running",
        End::Unknown => "unknown",
    }
}

#[derive(Serialize)]
struct SummaryLine<'a> {
    summary: SummaryFields<'a>,
}

#[derive(Serialize)]
struct SummaryFields<'a> {
    schema: u32,
    #[serde(flatten)]
    summary: &'a Summary,
}

impl<W: Write> Sink for Json<W> {
    fn row(&mut self, row: &Row<'_>) -> io::Result<()> {
        let fields = Fields::new(row);
        fields.serialize(&mut Serializer::with_formatter(&mut self.out, Harmless))?;
        self.out.write_all(b"\n")
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn finish(&mut self, summary: &Summary) -> io::Result<()> {
        summary_line(&mut self.out, summary)
    }
}

/// The last line.
pub(super) fn summary_line(out: &mut dyn Write, summary: &Summary) -> io::Result<()> {
    let line = SummaryLine {
        summary: SummaryFields {
            schema: SCHEMA,
            summary,
        },
    };
    serde_json::to_writer(&mut *out, &line)?;
    out.write_all(b"\n")?;
    out.flush()
}
