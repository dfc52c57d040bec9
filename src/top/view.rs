//! Draws the table: a pure function from the figures, how they are looked at and
//! the size of the screen to a frame.

use super::column::{self, Column, short_count, short_rate};
use super::frame::{Frame, Line, Size, Style, width};
use super::snapshot::{GroupRow, Snapshot, TREND};
use super::state::{KEYS, Pane, Room, State};
use crate::label::Key;
use crate::sink::histogram::key_name;

mod in_flight;

use in_flight::{in_flight, running};

/// Screens of fewer lines have no title and no line of keys.
const LOW: usize = 8;
/// The least that what is in flight gets of a screen, with its heading.
const IN_FLIGHT_LEAST: usize = 3;
/// The least that groups get, with their heading and a blank line.
const GROUPS_LEAST: usize = 4;
/// Names are given more room than their column's width, but not more than this.
const NAME_MOST: usize = 60;

/// The keys, the more important first.
const HINTS: [(&str, &str); 9] = [
    ("q", "quit"),
    ("h", "help"),
    ("p", "pause"),
    ("g", "group by"),
    ("←→", "sort by"),
    ("r", "reverse"),
    ("↑↓", "scroll"),
    ("b", "what ran before"),
    ("i", "layout"),
];

/// Draws it.
pub fn frame(snapshot: &Snapshot, state: &State, size: Size) -> Frame {
    let high = size.rows >= LOW;
    let mut lines = Vec::with_capacity(size.rows);
    if high {
        lines.push(title(snapshot, state, size.columns));
    }
    lines.push(account(snapshot, size.columns));
    for (what, style) in [
        (&snapshot.lost, Style::Alarm),
        (&snapshot.message, Style::Alarm),
    ] {
        if let Some(text) = what {
            let mut line = Line::new(size.columns);
            line.push(style, text);
            lines.push(line);
        }
    }
    let body = body(snapshot, size);
    let mut shown = match state.help {
        true => help(size.columns),
        false => tables(snapshot, state, size.columns, body),
    };
    shown.resize(body, Line::new(size.columns));
    lines.append(&mut shown);
    if high {
        lines.push(hints(size.columns));
    }
    lines.truncate(size.rows);
    Frame { size, lines }
}

fn title(snapshot: &Snapshot, state: &State, columns: usize) -> Line {
    let mut line = Line::new(columns);
    line.push(Style::Strong, "execlat");
    line.push_whole(Style::Plain, &format!("  {}", clock(snapshot.traced_ns)));
    if state.paused {
        line.push_whole(Style::Plain, "  ");
        line.push_whole(Style::Heading, " PAUSED ");
    }
    line.push_whole(Style::Plain, &format!("  by {}", key_name(state.by)));
    // More than a round apart: the groups were not gathered from the beginning.
    if snapshot.gathered_ns + 1_000_000_000 < snapshot.traced_ns {
        let since = format!(" for {}", clock(snapshot.gathered_ns));
        line.push_whole(Style::Plain, &since);
    }
    let groups = snapshot.groups.len();
    let plural = if groups == 1 { "" } else { "s" };
    line.push_whole(Style::Plain, &format!("  {groups} group{plural}"));
    line
}

fn account(snapshot: &Snapshot, columns: usize) -> Line {
    let mut line = Line::new(columns);
    let rate = format!("{:>6}/s", short_rate(snapshot.rate));
    line.push(Style::Strong, &rate);
    let failed = match snapshot.failed {
        0 => Style::Plain,
        _ => Style::Bad,
    };
    let before = match snapshot.ran_before {
        0 => String::new(),
        before => format!(" ({before} ran before)"),
    };
    let lost = match snapshot.lost {
        Some(_) => "",
        None => "  nothing lost",
    };
    let plural = if snapshot.executions == 1 { "" } else { "s" };
    let executions = short_count(snapshot.executions);
    line.push_whole(Style::Plain, &format!("  {executions} execution{plural}"));
    let text = format!("  {} failed", short_count(snapshot.failed));
    line.push_whole(failed, &text);
    line.push_whole(Style::Plain, &format!("  {} in flight", snapshot.in_flight));
    line.push_whole(Style::Faint, &before);
    line.push_whole(Style::Plain, lost);
    line
}

fn hints(columns: usize) -> Line {
    let mut line = Line::new(columns);
    for (i, (key, what)) in HINTS.into_iter().enumerate() {
        let gap = if i == 0 { "" } else { "  " };
        let wide = width(gap) + width(key) + 1 + width(what);
        if line.width() + wide > columns {
            break;
        }
        line.push(Style::Plain, gap);
        line.push(Style::Strong, key);
        line.push(Style::Plain, " ");
        line.push(Style::Faint, what);
    }
    line
}

fn help(columns: usize) -> Vec<Line> {
    let plain = |text: &str| {
        let mut line = Line::new(columns);
        line.push(Style::Plain, text);
        line
    };
    let mut lines = vec![plain("")];
    for (keys, what) in KEYS {
        let mut line = Line::new(columns);
        line.push(Style::Plain, "  ");
        line.cell(Style::Strong, keys, 9, false);
        line.push(Style::Plain, what);
        lines.push(line);
    }
    lines.push(plain(""));
    let trend =
        format!("TREND: mean time in each of the last {TREND} intervals, the newest at the right,");
    lines.push(plain(&trend));
    lines.push(plain(
        "       against the highest of its line; blank where nothing ended",
    ));
    lines.push(plain(
        "AGE:   since the exec; with > since the process's start, it ran before",
    ));
    lines
}

/// Lines between the head and the line of keys.
fn body(snapshot: &Snapshot, size: Size) -> usize {
    let alarms = [&snapshot.lost, &snapshot.message].into_iter().flatten();
    let around = 1 + alarms.count() + if size.rows >= LOW { 2 } else { 0 };
    size.rows.saturating_sub(around)
}

/// Lines for groups, with a blank one at their end if there is more, and for what is
/// in flight.
fn split(groups: usize, pane: Pane, rows: usize) -> (usize, usize) {
    match pane {
        Pane::InFlight => (0, rows),
        Pane::Groups => (rows, 0),
        // There must be something of each.
        Pane::Both if rows < IN_FLIGHT_LEAST + GROUPS_LEAST => (rows, 0),
        Pane::Both => {
            // Where the one ends depends on the number of groups alone: it does not
            // jump with every program that begins or ends.
            let needed = 1 + groups.max(1) + 1;
            let least = (rows / 3).max(IN_FLIGHT_LEAST);
            let above = needed.min(rows - least);
            (above, rows - above)
        }
    }
}

/// How far the table that is scrolled goes on such a screen.
pub fn room(snapshot: &Snapshot, state: &State, size: Size) -> Room {
    let groups = snapshot.groups.len();
    let (above, below) = split(groups, state.pane, body(snapshot, size));
    let (lines, rows) = match (above, below) {
        (0, rows) => (running(snapshot, state).len(), rows),
        (rows, 0) => (groups, rows),
        (above, _) => (groups, above - 1),
    };
    let page = rows.saturating_sub(1);
    Room {
        most: lines.saturating_sub(page),
        page,
    }
}

/// Groups above, what is in flight below.
fn tables(snapshot: &Snapshot, state: &State, columns: usize, rows: usize) -> Vec<Line> {
    let running = running(snapshot, state);
    match split(snapshot.groups.len(), state.pane, rows) {
        (rows, 0) => groups(snapshot, state, columns, rows),
        (0, rows) => in_flight(snapshot, &running, state, columns, rows),
        (above, below) => {
            let mut lines = groups(snapshot, state, columns, above - 1);
            lines.resize(above, Line::new(columns));
            let unscrolled = State {
                first: 0,
                ..state.clone()
            };
            lines.extend(in_flight(snapshot, &running, &unscrolled, columns, below));
            lines
        }
    }
}

/// The part of so many lines that is scrolled to.
fn window(lines: usize, first: usize, room: usize) -> std::ops::Range<usize> {
    let first = first.min(lines.saturating_sub(room));
    first..lines.min(first + room)
}

/// ` 11-20/57` where not all is shown.
fn place(window: &std::ops::Range<usize>, of: usize) -> String {
    match window.len() < of && !window.is_empty() {
        true => format!(" {}-{}/{of}", window.start + 1, window.end),
        false => String::new(),
    }
}

/// What of the table there is room for.
struct Layout {
    columns: Vec<(Column, usize)>,
}

impl Layout {
    /// `title` is the heading of the names.
    fn new(groups: &[GroupRow], title: &str, columns: usize) -> Layout {
        let mut shown: Vec<Column> = column::ALL.to_vec();
        let needed = |shown: &[Column]| {
            let widths = shown.iter().map(|column| column.width() + 1);
            widths.sum::<usize>().saturating_sub(1)
        };
        for column in column::EXPENDABLE {
            if needed(&shown) <= columns {
                break;
            }
            shown.retain(|kept| *kept != column);
        }
        let mut room = columns.saturating_sub(needed(&shown));
        let longest = groups.iter().map(|row| width(&row.name)).max();
        let mut layout = Layout {
            columns: shown.into_iter().map(|c| (c, c.width())).collect(),
        };
        let longest = longest.unwrap_or(0).min(NAME_MOST).max(width(title));
        for (column, wide) in &mut layout.columns {
            let wanted = match column {
                Column::Name => longest,
                Column::Trend => TREND,
                _ => *wide,
            };
            let more = wanted.saturating_sub(*wide).min(room);
            *wide += more;
            room -= more;
        }
        layout
    }
}

fn groups(snapshot: &Snapshot, state: &State, columns: usize, rows: usize) -> Vec<Line> {
    let mut sorted: Vec<&GroupRow> = snapshot.groups.iter().collect();
    sorted.sort_by(|a, b| match state.reverse {
        true => state.sort.order(b, a),
        false => state.sort.order(a, b),
    });
    let window = window(sorted.len(), state.first, rows.saturating_sub(1));
    let mark = match state.sort {
        Column::Name => mark(state),
        _ => "",
    };
    let place = place(&window, sorted.len());
    let title = format!("{}{mark}{place}", by_heading(state.by));
    let layout = Layout::new(&snapshot.groups, &title, columns);
    let mut lines = vec![heading(&layout, state, &title, columns)];
    for row in &sorted[window] {
        lines.push(group(&layout, row, columns));
    }
    if sorted.is_empty() {
        let mut line = Line::new(columns);
        line.push(Style::Faint, "nothing has ended yet");
        lines.push(line);
    }
    lines.truncate(rows);
    lines
}

/// Which way it is sorted.
fn mark(state: &State) -> &'static str {
    // Names go up unless reversed, figures go down.
    match state.reverse == (state.sort == Column::Name) {
        true => "▼",
        false => "▲",
    }
}

fn heading(layout: &Layout, state: &State, title: &str, columns: usize) -> Line {
    let mut line = Line::new(columns);
    for (i, (column, wide)) in layout.columns.iter().enumerate() {
        if i > 0 {
            line.push(Style::Heading, " ");
        }
        let sorted = *column == state.sort;
        let text = match column {
            Column::Name => title.to_owned(),
            column if sorted => format!("{}{}", column.heading(), mark(state)),
            column => column.heading().to_owned(),
        };
        let style = if sorted {
            Style::Sorted
        } else {
            Style::Heading
        };
        line.cell(style, &text, *wide, is_figure(*column));
    }
    line.fill(Style::Heading);
    line
}

fn by_heading(key: Key) -> &'static str {
    match key {
        Key::Action => "ACTION",
        Key::Comm => "COMM",
        Key::Container => "CONTAINER",
        Key::Name => "NAME",
        Key::Cgroup => "CGROUP",
        Key::Code => "CODE",
        Key::Argv0 => "ARGV0",
        Key::None => "ALL",
    }
}

/// All but the name stands at the right of its cell.
fn is_figure(column: Column) -> bool {
    column != Column::Name
}

fn group(layout: &Layout, row: &GroupRow, columns: usize) -> Line {
    let mut line = Line::new(columns);
    for (i, (column, wide)) in layout.columns.iter().enumerate() {
        if i > 0 {
            line.push(Style::Plain, " ");
        }
        let style = match column {
            Column::Failed if row.failed > 0 => Style::Bad,
            _ => Style::Plain,
        };
        let text = match column {
            Column::Name => row.name.clone(),
            Column::Trend => sparkline(&row.trend_us, *wide),
            column => column.cell(row),
        };
        line.cell(style, &text, *wide, is_figure(*column));
    }
    line
}

/// The newest of the values as blocks, against the highest of all.
fn sparkline(values: &[u32], columns: usize) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let newest = &values[values.len().saturating_sub(columns)..];
    let highest = u64::from(newest.iter().copied().max().unwrap_or(0));
    let blanks = std::iter::repeat_n(' ', columns - newest.len());
    let block = |value: &u32| match u64::from(*value) {
        0 => ' ',
        value => BLOCKS[(value * 8).div_ceil(highest) as usize - 1],
    };
    blanks.chain(newest.iter().map(block)).collect()
}

/// Hours, minutes and seconds.
fn clock(ns: u64) -> String {
    let seconds = ns / 1_000_000_000;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    match hours {
        0 => format!("{minutes:02}:{:02}", seconds % 60),
        hours => format!("{hours}:{minutes:02}:{:02}", seconds % 60),
    }
}

#[cfg(test)]
mod tests;
