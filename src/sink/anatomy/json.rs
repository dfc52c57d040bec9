//! Starts as JSON lines. After them come a line with the figures of all starts and
//! the summary.

use std::borrow::Cow;
use std::io::{self, Write};

use serde::Serialize;
use serde_json::{Serializer, Value, json};

use super::StartRow;
use crate::anatomy::{Figures, Hook, Mark, Outcome, PERCENTILES, Phase, Start};
use crate::event::{Argv, WaitStatus, signal_name};
use crate::row::Row;
use crate::sink::Sink;
use crate::sink::json::{Harmless, summary_line};
use crate::summary::Summary;

/// Starts as JSON lines.
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

/// Absent is null; times are nanoseconds of `CLOCK_MONOTONIC`, but `start_time`.
#[derive(Serialize)]
struct Fields<'a> {
    start_time: String,
    action: String,
    runtime: &'static str,
    command: &'static str,
    container: Option<Cow<'a, str>>,
    container_name: Option<&'a str>,
    runtime_pid: u32,
    runtime_argv: Vec<Cow<'a, str>>,
    uid: u32,
    pid: Option<u32>,
    argv: Option<Vec<Cow<'a, str>>>,
    outcome: &'static str,
    phase: Option<&'static str>,
    exit_code: Option<u8>,
    signal: Option<u8>,
    signal_name: Option<String>,
    end_ns: u64,
    total_ns: Option<u64>,
    marks_ns: Marks,
    phases_ns: Phases,
    hooks: Vec<HookFields<'a>>,
}

#[derive(Serialize)]
struct Marks {
    begin: Option<u64>,
    init: Option<u64>,
    ready: Option<u64>,
    created: Option<u64>,
    asked: Option<u64>,
    payload: Option<u64>,
}

#[derive(Serialize)]
struct Phases {
    launch: Option<u64>,
    init: Option<u64>,
    setup: Option<u64>,
    caller: Option<u64>,
    start: Option<u64>,
}

#[derive(Serialize)]
struct HookFields<'a> {
    name: Cow<'a, str>,
    pid: u32,
    argv: Vec<Cow<'a, str>>,
    phase: Option<&'static str>,
    begin_ns: u64,
    time_ns: Option<u64>,
    exit_code: Option<u8>,
    signal: Option<u8>,
}

fn args(argv: &Argv) -> Vec<Cow<'_, str>> {
    argv.args().map(String::from_utf8_lossy).collect()
}

impl<'a> Fields<'a> {
    fn new(row: &StartRow<'a>) -> Fields<'a> {
        let start = row.start;
        let status: Option<WaitStatus> = match start.outcome {
            Outcome::Failed { status, .. } => status,
            _ => None,
        };
        let signal = status.and_then(|s| s.signal());
        Fields {
            start_time: row.clock.rfc3339(start.seen_ns()),
            action: start.action(),
            runtime: start.runtime,
            command: start.command.name(),
            container: start.container.as_deref().map(String::from_utf8_lossy),
            container_name: row.name,
            runtime_pid: start.main.tgid,
            runtime_argv: args(&start.image.argv),
            uid: start.image.uid,
            pid: start.payload.map(|p| p.tgid),
            argv: start.payload_image.as_ref().map(|image| args(&image.argv)),
            outcome: start.outcome.name(),
            phase: start.outcome.phase().map(Phase::name),
            exit_code: status.and_then(|s| s.exit_code()),
            signal,
            signal_name: signal.map(signal_name),
            end_ns: start.end_ns,
            total_ns: start.total_ns(),
            marks_ns: marks(start),
            phases_ns: phases(start),
            hooks: start.hooks.iter().map(HookFields::new).collect(),
        }
    }
}

fn marks(start: &Start) -> Marks {
    Marks {
        begin: start.mark(Mark::Begin),
        init: start.mark(Mark::Init),
        ready: start.mark(Mark::Ready),
        created: start.mark(Mark::Created),
        asked: start.mark(Mark::Asked),
        payload: start.mark(Mark::Payload),
    }
}

fn phases(start: &Start) -> Phases {
    Phases {
        launch: start.phase_ns(Phase::Launch),
        init: start.phase_ns(Phase::Init),
        setup: start.phase_ns(Phase::Setup),
        caller: start.phase_ns(Phase::Caller),
        start: start.phase_ns(Phase::Start),
    }
}

impl<'a> HookFields<'a> {
    fn new(hook: &'a Hook) -> HookFields<'a> {
        let status = hook.end.map(|(_, status)| status);
        HookFields {
            name: String::from_utf8_lossy(&hook.name),
            pid: hook.process.tgid,
            argv: args(&hook.argv),
            phase: hook.phase.map(Phase::name),
            begin_ns: hook.begin_ns,
            time_ns: hook.time_ns(),
            exit_code: status.and_then(|s| s.exit_code()),
            signal: status.and_then(|s| s.signal()),
        }
    }
}

fn figures_line(figures: &Figures) -> Value {
    let phases: Vec<Value> = figures
        .each()
        .map(|(action, phase, figure)| {
            let percentiles: serde_json::Map<String, Value> = PERCENTILES
                .iter()
                .map(|(name, p)| ((*name).to_owned(), json!(figure.percentile_ns(*p))))
                .collect();
            json!({
                "action": action,
                "phase": phase,
                "count": figure.count,
                "failed": figure.failed,
                "percentiles_ns": percentiles,
                "max_ns": figure.max_ns(),
            })
        })
        .collect();
    json!({ "anatomy": {
        "started": figures.started,
        "failed": figures.failed,
        "pending": figures.pending,
        "unknown": figures.unknown,
        "given_up": figures.given_up,
        "phases": phases,
    }})
}

impl<W: Write> Sink for Json<W> {
    fn row(&mut self, _row: &Row<'_>) -> io::Result<()> {
        Ok(())
    }

    fn start(&mut self, row: &StartRow<'_>) -> io::Result<()> {
        let fields = Fields::new(row);
        fields.serialize(&mut Serializer::with_formatter(&mut self.out, Harmless))?;
        self.out.write_all(b"\n")
    }

    fn figures(&mut self, figures: &Figures) -> io::Result<()> {
        let line = figures_line(figures);
        line.serialize(&mut Serializer::with_formatter(&mut self.out, Harmless))?;
        self.out.write_all(b"\n")
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn finish(&mut self, summary: &Summary) -> io::Result<()> {
        summary_line(&mut self.out, summary)
    }
}
