//! What `execlat doctor` found, as a table for people.

use std::io::{self, Write};

use comfy_table::{Table, TableStyle};

use crate::doctor::{Check, Verdict};

/// Writes the checks, and what to do about each lack.
///
/// # Errors
/// They cannot be written.
pub fn write(out: &mut dyn Write, checks: &[Check]) -> io::Result<()> {
    let mut table = Table::new();
    table.load_style(TableStyle::new());
    table.set_header(["", "what", "found"]);
    for check in checks {
        let verdict = match check.verdict {
            Verdict::Ok => "ok",
            Verdict::Note => "note",
            Verdict::Lack => "LACK",
        };
        table.add_row([verdict, check.what, &check.found]);
    }
    for line in table.lines() {
        writeln!(out, "{}", line.trim_end())?;
    }
    for check in checks {
        if let Some(advice) = &check.advice {
            writeln!(out, "{}: {advice}", check.what)?;
        }
    }
    out.flush()
}
