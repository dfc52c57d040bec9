//! Where rows go. Each sink takes anything that can be written to.

pub mod anatomy;
pub mod checks;
pub mod csv;
pub mod histogram;
pub mod json;
pub mod still;
pub mod table;
pub mod tree;

use std::io;

use crate::anatomy::Figures;
use crate::row::Row;
use crate::summary::Summary;

use anatomy::StartRow;

/// Takes rows as they come.
pub trait Sink {
    /// Rows may come from now on: a heading is shown, so that one sees that it works.
    ///
    /// # Errors
    /// It cannot be written.
    fn begin(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// A row. Whole lines only.
    ///
    /// # Errors
    /// It cannot be written.
    fn row(&mut self, row: &Row<'_>) -> io::Result<()>;

    /// A row of what still runs, at the end. People are told in other words.
    ///
    /// # Errors
    /// It cannot be written.
    fn running(&mut self, row: &Row<'_>) -> io::Result<()> {
        self.row(row)
    }

    /// A source is over, and all its rows are here. Returns how many of them could not
    /// be kept until now.
    ///
    /// # Errors
    /// It cannot be written.
    fn end_source(&mut self) -> io::Result<u64> {
        Ok(0)
    }

    /// A start of a container; only what is made for these shows them.
    ///
    /// # Errors
    /// It cannot be written.
    fn start(&mut self, _start: &StartRow<'_>) -> io::Result<()> {
        Ok(())
    }

    /// The figures of all starts, when there are no more.
    ///
    /// # Errors
    /// They cannot be written.
    fn figures(&mut self, _figures: &Figures) -> io::Result<()> {
        Ok(())
    }

    /// What is written so far must be seen.
    ///
    /// # Errors
    /// It cannot be written.
    fn flush(&mut self) -> io::Result<()>;

    /// The end. What is for machines carries the account of what was lost.
    ///
    /// # Errors
    /// It cannot be written.
    fn finish(&mut self, summary: &Summary) -> io::Result<()>;
}
