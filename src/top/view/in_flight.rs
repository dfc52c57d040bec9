//! The table of what is in flight.

use super::super::frame::{Line, Style};
use super::super::snapshot::{RunningRow, Snapshot};
use super::super::state::State;
use super::{place, window};

const PID: usize = 7;
const AGE: usize = 9;
const CONTAINER: usize = 14;
/// Narrower screens have no room for containers.
const CONTAINERS_FROM: usize = 80;

/// What of what is in flight is shown.
pub fn running<'a>(snapshot: &'a Snapshot, state: &State) -> Vec<&'a RunningRow> {
    let hidden = |row: &RunningRow| row.ran_before && state.hide_before;
    snapshot.running.iter().filter(|row| !hidden(row)).collect()
}

/// Its table, on so many lines.
pub fn in_flight(
    snapshot: &Snapshot,
    running: &[&RunningRow],
    state: &State,
    columns: usize,
    rows: usize,
) -> Vec<Line> {
    let hidden = match state.hide_before {
        true => snapshot.ran_before,
        false => 0,
    };
    let of = usize::try_from(snapshot.in_flight.saturating_sub(hidden)).unwrap_or(usize::MAX);
    let window = window(running.len(), state.first, rows.saturating_sub(1));
    let contained = columns >= CONTAINERS_FROM && running.iter().any(|row| row.container.is_some());
    let mut heading = Line::new(columns);
    heading.cell(Style::Heading, "PID", PID, true);
    heading.push(Style::Heading, " ");
    heading.cell(Style::Sorted, "AGE▼", AGE, true);
    heading.push(Style::Heading, " ");
    if contained {
        heading.cell(Style::Heading, "CONTAINER", CONTAINER, false);
        heading.push(Style::Heading, " ");
    }
    let title = match hidden {
        0 => format!("IN FLIGHT{}", place(&window, of)),
        _ => format!("IN FLIGHT{}, without what ran before", place(&window, of)),
    };
    heading.push(Style::Heading, &title);
    heading.fill(Style::Heading);
    let mut lines = vec![heading];
    if running.is_empty() {
        let mut line = Line::new(columns);
        line.push(Style::Faint, "nothing is in flight");
        lines.push(line);
    }
    for row in &running[window] {
        let mark = if row.ran_before { ">" } else { "" };
        let mut line = Line::new(columns);
        line.cell(Style::Plain, &row.pid.to_string(), PID, true);
        line.push(Style::Plain, " ");
        line.cell(
            Style::Plain,
            &format!("{mark}{}", age(row.age_ns)),
            AGE,
            true,
        );
        line.push(Style::Plain, " ");
        if contained {
            let name = row.container.as_deref().unwrap_or("-");
            line.cell(Style::Plain, name, CONTAINER, false);
            line.push(Style::Plain, " ");
        }
        let style = if row.ran_before {
            Style::Faint
        } else {
            Style::Plain
        };
        line.push(style, &row.argv);
        lines.push(line);
    }
    lines.truncate(rows);
    lines
}

/// An age in two units at most, with tenths of seconds below a minute.
pub fn age(ns: u64) -> String {
    let tenths = ns / 100_000_000;
    let seconds = tenths / 10;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}.{}s", tenths % 10),
        (0, 0, _) => format!("{minutes}m{:02}s", seconds % 60),
        (0, _, _) => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}
