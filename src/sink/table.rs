//! Rows as a table for people: a heading once, then a line each.

use std::io::{self, Write};

use unicode_width::UnicodeWidthStr as _;

use super::Sink;
use crate::event::End;
use crate::row::{Column, Row};
use crate::summary::Summary;
use crate::text::{cut, is_plain, pad};

/// How the table looks.
#[derive(Debug, Clone)]
pub struct Style {
    /// Its columns.
    pub columns: Vec<Column>,
    /// Arguments as a shell would read them.
    pub quote: bool,
    /// Failures in colour.
    pub color: bool,
}

/// A line that is kept.
pub struct Line {
    /// Its cells.
    pub text: Box<str>,
    /// Where the last one begins, bytes.
    last_cell: usize,
    color: Option<&'static str>,
}

/// A table. `width` tells the terminal's columns, if it is one.
pub struct Table<W: Write, F: FnMut() -> Option<usize>> {
    out: W,
    style: Style,
    width: F,
    columns: Option<usize>,
    line: String,
}

const RED: &str = "\x1b[31m";
const BOLD: &str = "\x1b[1m";
const RESET: &str = "\x1b[0m";

impl<W: Write, F: FnMut() -> Option<usize>> Table<W, F> {
    /// An empty table.
    pub fn new(out: W, style: Style, mut width: F) -> Self {
        Table {
            out,
            style,
            columns: width(),
            width,
            line: String::new(),
        }
    }

    /// The line of a row, to be written later.
    pub fn line(&mut self, row: &Row<'_>) -> Line {
        let last_cell = self.fill(row);
        Line {
            text: self.line.as_str().into(),
            last_cell,
            color: self.color(row),
        }
    }

    /// Writes a line with its last cell moved by so many blanks, and a mark before it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&mut self, line: &Line, blanks: usize, mark: &str) -> io::Result<()> {
        let (cells, last) = line.text.split_at(line.last_cell);
        self.line.clear();
        self.line.push_str(cells);
        self.line.extend(std::iter::repeat_n(' ', blanks));
        self.line.push_str(mark);
        self.line.push_str(last);
        self.write_line(line.color)
    }

    /// Puts the row's cells into `line`; returns where the last one begins.
    fn fill(&mut self, row: &Row<'_>) -> usize {
        self.line.clear();
        let last = self.style.columns.len().saturating_sub(1);
        let mut start = 0;
        for (i, column) in self.style.columns.iter().enumerate() {
            start = self.line.len();
            column.push_cell(&mut self.line, row, self.style.quote);
            if i < last {
                let used = width(&self.line[start..]);
                pad(&mut self.line, used, column.width());
            }
        }
        start
    }

    fn color(&self, row: &Row<'_>) -> Option<&'static str> {
        let failed = row.execution.end.failed();
        (self.style.color && failed).then_some(RED)
    }

    fn write_line(&mut self, color: Option<&str>) -> io::Result<()> {
        let line = match self.columns {
            Some(columns) => cut(&self.line, columns),
            None => &self.line,
        };
        match color {
            Some(color) => writeln!(self.out, "{color}{line}{RESET}"),
            None if line.len() == self.line.len() => {
                self.line.push('\n');
                self.out.write_all(self.line.as_bytes())
            }
            None => writeln!(self.out, "{line}"),
        }
    }
}

/// Columns of a terminal that text takes; most is ASCII.
fn width(text: &str) -> usize {
    match is_plain(text.as_bytes()) {
        true => text.len(),
        false => text.width(),
    }
}

impl<W: Write, F: FnMut() -> Option<usize>> Sink for Table<W, F> {
    fn begin(&mut self) -> io::Result<()> {
        self.line.clear();
        let last = self.style.columns.len().saturating_sub(1);
        for (i, column) in self.style.columns.iter().enumerate() {
            self.line.push_str(column.heading());
            if i < last {
                pad(&mut self.line, column.heading().len(), column.width());
            }
        }
        let color = self.style.color.then_some(BOLD);
        self.write_line(color)
    }

    fn row(&mut self, row: &Row<'_>) -> io::Result<()> {
        self.fill(row);
        self.write_line(self.color(row))
    }

    /// Listed on stderr, with the summary.
    fn running(&mut self, row: &Row<'_>) -> io::Result<()> {
        debug_assert_eq!(row.execution.end, End::Running);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.columns = (self.width)();
        self.out.flush()
    }

    fn finish(&mut self, _summary: &Summary) -> io::Result<()> {
        self.out.flush()
    }
}
