//! Starts of containers as rows: a table for people, JSON lines and CSV; and the
//! figures of all of them. All forms hold the same times.

mod json;

use std::io::{self, Write};

use comfy_table::{CellAlignment, Table as Figured, TableStyle};
use unicode_width::UnicodeWidthStr as _;

pub use json::Json;

use super::{Sink, csv};
use crate::anatomy::{Figures, Hook, Outcome, PERCENTILES, PHASES, Phase, Start};
use crate::clock::Clock;
use crate::event::{End, WaitStatus};
use crate::row::Row;
use crate::summary::Summary;
use crate::text::{
    cut, pad, printable, push_argv, push_number, push_seconds, short_duration, short_id,
};

/// A start, and how its times are shown.
#[derive(Debug, Clone, Copy)]
pub struct StartRow<'a> {
    /// The start.
    pub start: &'a Start,
    /// What its engine calls the container.
    pub name: Option<&'a str>,
    /// How its times are shown.
    pub clock: Clock,
}

/// Headings of the table and widths of its cells; the last has none.
const HEAD: [(&str, usize); 11] = [
    ("ACTION", 17),
    ("CONTAINER", 12),
    ("PID", 7),
    ("STATE", 21),
    ("TOTAL(s)", 9),
    ("LAUNCH", 9),
    ("INIT", 9),
    ("SETUP", 9),
    ("CALLER", 9),
    ("START", 9),
    ("HOOKS", 0),
];

/// Stands for what is not known, and for a phase that was not reached.
const NONE: &str = "-";

/// Starts as a table. `width` tells the terminal's columns, if it is one.
pub struct Table<W: Write, F: FnMut() -> Option<usize>> {
    out: W,
    color: bool,
    width: F,
    columns: Option<usize>,
}

impl<W: Write, F: FnMut() -> Option<usize>> Table<W, F> {
    /// An empty table; failures are red with `color`.
    pub fn new(out: W, color: bool, mut width: F) -> Self {
        Table {
            out,
            color,
            columns: width(),
            width,
        }
    }

    fn write_line(&mut self, cells: &[String], color: Option<&str>) -> io::Result<()> {
        let mut line = String::new();
        for (i, (cell, (_, width))) in cells.iter().zip(HEAD).enumerate() {
            line.push_str(cell);
            if i + 1 < cells.len() {
                pad(&mut line, cell.width(), width);
            }
        }
        let line = cut(line.trim_end(), self.columns.unwrap_or(usize::MAX));
        match color.filter(|_| self.color) {
            Some(color) => writeln!(self.out, "{color}{line}\x1b[0m"),
            None => writeln!(self.out, "{line}"),
        }
    }
}

impl<W: Write, F: FnMut() -> Option<usize>> Sink for Table<W, F> {
    fn begin(&mut self) -> io::Result<()> {
        let cells = HEAD.map(|(heading, _)| heading.to_owned());
        self.write_line(&cells, Some("\x1b[1m"))
    }

    fn row(&mut self, _row: &Row<'_>) -> io::Result<()> {
        Ok(())
    }

    fn start(&mut self, row: &StartRow<'_>) -> io::Result<()> {
        let start = row.start;
        let mut cells = vec![
            start.action(),
            named(row).unwrap_or_else(|| NONE.to_owned()),
            start
                .payload
                .map_or_else(|| NONE.to_owned(), |p| p.tgid.to_string()),
            state(start.outcome),
            seconds(start.total_ns()),
        ];
        cells.extend(PHASES.map(|phase| seconds(start.phase_ns(phase))));
        let hooks: Vec<String> = start.hooks.iter().map(hook_cell).collect();
        cells.push(hooks.join(", "));
        let failed = matches!(start.outcome, Outcome::Failed { .. } | Outcome::Unknown);
        self.write_line(&cells, failed.then_some("\x1b[31m"))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.columns = (self.width)();
        self.out.flush()
    }

    fn finish(&mut self, _summary: &Summary) -> io::Result<()> {
        self.out.flush()
    }
}

fn seconds(ns: Option<u64>) -> String {
    let mut cell = String::new();
    match ns {
        Some(ns) => push_seconds(&mut cell, ns),
        None => cell.push_str(NONE),
    }
    cell
}

fn container(start: &Start) -> Option<String> {
    start.container.as_deref().map(printable)
}

/// A name, else an id.
fn named(row: &StartRow<'_>) -> Option<String> {
    let name = row.name.map(str::to_owned);
    name.or_else(|| container(row.start).map(|id| short_id(&id).to_owned()))
}

/// `255`, `SIGKILL`; nothing where it is not known.
fn code(status: Option<WaitStatus>) -> String {
    status.map_or_else(String::new, |status| End::Exit(status).to_string())
}

fn state(outcome: Outcome) -> String {
    match outcome {
        Outcome::Started => "ok".to_owned(),
        Outcome::Failed { phase, status } => {
            let text = format!("failed {} {}", phase.name(), code(status));
            text.trim_end().to_owned()
        }
        Outcome::Pending { phase } => format!("pending {}", phase.name()),
        Outcome::Unknown => "unknown".to_owned(),
    }
}

/// `sleep 0.110422`, with the code where that is not 0.
fn hook_cell(hook: &Hook) -> String {
    let mut cell = printable(&hook.name);
    cell.push(' ');
    cell.push_str(&seconds(hook.time_ns()));
    if let Some((_, status)) = hook.end.filter(|(_, status)| status.0 != 0) {
        cell.push_str(&format!(" ({})", code(Some(status))));
    }
    cell
}

/// Names of the columns of CSV.
pub const CSV: [&str; 17] = [
    "start_time",
    "action",
    "container",
    "name",
    "pid",
    "runtime_pid",
    "outcome",
    "phase",
    "code",
    "total_ns",
    "launch_ns",
    "init_ns",
    "setup_ns",
    "caller_ns",
    "start_ns",
    "hooks",
    "payload",
];

/// Starts as CSV; the last line is a comment with the account.
pub struct Csv<W: Write> {
    /// Taken at the end, to write what is no record.
    out: Option<::csv::Writer<W>>,
}

impl<W: Write> Csv<W> {
    /// No rows yet.
    pub fn new(out: W) -> Self {
        Csv {
            out: Some(csv::writer(out)),
        }
    }
}

impl<W: Write> Sink for Csv<W> {
    fn begin(&mut self) -> io::Result<()> {
        if let Some(out) = self.out.as_mut() {
            out.write_record(CSV).map_err(csv::io_error)?;
        }
        Ok(())
    }

    fn row(&mut self, _row: &Row<'_>) -> io::Result<()> {
        Ok(())
    }

    fn start(&mut self, row: &StartRow<'_>) -> io::Result<()> {
        match self.out.as_mut() {
            Some(out) => out.write_record(values(row)).map_err(csv::io_error),
            None => Ok(()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.as_mut().map_or(Ok(()), ::csv::Writer::flush)
    }

    fn finish(&mut self, summary: &Summary) -> io::Result<()> {
        csv::end(self.out.take(), summary)
    }
}

/// The cells of CSV; what is not known is empty.
fn values(row: &StartRow<'_>) -> Vec<String> {
    let start = row.start;
    let number = |number: Option<u64>| {
        let mut cell = String::new();
        if let Some(number) = number {
            push_number(&mut cell, number);
        }
        cell
    };
    let status = match start.outcome {
        Outcome::Failed { status, .. } => status,
        _ => None,
    };
    let mut cells = vec![
        row.clock.rfc3339(start.seen_ns()),
        start.action(),
        container(start).unwrap_or_default(),
        row.name.unwrap_or_default().to_owned(),
        number(start.payload.map(|p| p.tgid.into())),
        number(Some(start.main.tgid.into())),
        start.outcome.name().to_owned(),
        start.outcome.phase().map_or("", Phase::name).to_owned(),
        code(status),
        number(start.total_ns()),
    ];
    cells.extend(PHASES.map(|phase| number(start.phase_ns(phase))));
    let hooks = start.hooks.iter();
    let hooks: Vec<String> = hooks
        .map(|hook| format!("{}={}", printable(&hook.name), number(hook.time_ns())))
        .collect();
    cells.push(hooks.join(";"));
    let mut payload = String::new();
    if let Some(image) = &start.payload_image {
        push_argv(&mut payload, &image.argv, true);
    }
    cells.push(payload);
    cells
}

/// A table of all phases, by action.
///
/// # Errors
/// It cannot be written.
pub fn write_figures(out: &mut dyn Write, figures: &Figures) -> io::Result<()> {
    let mut table = Figured::new();
    table.load_style(TableStyle::new());
    let mut head = vec!["action", "phase", "count", "failed"];
    head.extend(PERCENTILES.iter().map(|(name, _)| *name));
    head.push("max");
    table.set_header(head);
    for (action, phase, figure) in figures.each() {
        let mut cells = vec![
            action.to_owned(),
            phase,
            figure.count.to_string(),
            figure.failed.to_string(),
        ];
        let percentiles = PERCENTILES.iter();
        cells.extend(percentiles.map(|(_, p)| short_duration(figure.percentile_ns(*p))));
        cells.push(short_duration(figure.max_ns()));
        table.add_row(cells);
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for line in table.lines() {
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}
