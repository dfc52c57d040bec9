//! Rows as comma-separated values with a head line. The last line is a comment,
//! `# summary: …`, with the account of what was lost.

use std::io::{self, Write};

use super::Sink;
use crate::row::{Column, Row};
use crate::summary::Summary;

/// Rows as CSV.
pub struct Csv<W: Write> {
    /// Taken at the end, to write what is no record.
    out: Option<::csv::Writer<W>>,
    columns: Vec<Column>,
    cell: String,
}

impl<W: Write> Csv<W> {
    /// No rows yet.
    pub fn new(out: W, columns: Vec<Column>) -> Self {
        Csv {
            out: Some(writer(out)),
            columns,
            cell: String::new(),
        }
    }
}

impl<W: Write> Sink for Csv<W> {
    fn begin(&mut self) -> io::Result<()> {
        if let Some(out) = self.out.as_mut() {
            let names = self.columns.iter().map(|column| column.name());
            out.write_record(names).map_err(io_error)?;
        }
        Ok(())
    }

    fn row(&mut self, row: &Row<'_>) -> io::Result<()> {
        let Some(out) = self.out.as_mut() else {
            return Ok(());
        };
        for column in &self.columns {
            self.cell.clear();
            column.push_value(&mut self.cell, row);
            out.write_field(&self.cell).map_err(io_error)?;
        }
        out.write_record(None::<&[u8]>).map_err(io_error)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.as_mut().map_or(Ok(()), ::csv::Writer::flush)
    }

    fn finish(&mut self, summary: &Summary) -> io::Result<()> {
        end(self.out.take(), summary)
    }
}

/// A cell with a `#` is quoted: a line that begins with one is ours, whatever a program is
/// called.
pub(super) fn writer<W: Write>(out: W) -> ::csv::Writer<W> {
    ::csv::WriterBuilder::new()
        .comment(Some(b'#'))
        .from_writer(out)
}

/// What it came from: a reader that has gone is known by that.
pub(super) fn io_error(error: ::csv::Error) -> io::Error {
    match error.into_kind() {
        ::csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

/// The last line, for which the CSV writer is given up.
pub(super) fn end<W: Write>(out: Option<::csv::Writer<W>>, summary: &Summary) -> io::Result<()> {
    let Some(out) = out else {
        return Ok(());
    };
    let mut out = out
        .into_inner()
        .map_err(|error| io::Error::from(error.error().kind()))?;
    writeln!(out, "# summary: {summary}")?;
    out.flush()
}
