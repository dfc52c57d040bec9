//! What the user gets to see: rows in the form asked for, figures, exports, the
//! list of what still runs and the account. A part that cannot be written is given
//! up, and said; the others go on.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::config::{ExportFormat, Format, View};
use crate::files::Files;
use crate::output::{self, LineFile, Lines, Stream, say, terminal_width};
use crate::pipeline::{Pipeline, Totals};
use crate::sink::anatomy;
use crate::sink::csv::Csv;
use crate::sink::json::Json;
use crate::sink::still::{self, List};
use crate::sink::table::{Style, Table};
use crate::sink::tree::Tree;
use crate::sink::{Sink, histogram};
use crate::source::Ending;
use crate::stats::Stats;
use crate::summary::Summary;

/// All outputs but the recording.
pub struct Report {
    view: View,
    rows: Option<Box<dyn Sink>>,
    exports: Vec<Export>,
    /// Whoever read the rows has gone.
    closed: bool,
    failed: bool,
}

/// A file that gets the figures at the end, and is open from the beginning.
struct Export {
    path: PathBuf,
    format: ExportFormat,
    file: File,
}

impl Report {
    /// Opens what is to be written: what cannot be is found out now, not after an hour
    /// of tracing.
    ///
    /// # Errors
    /// A file cannot be written, or is in use already.
    pub fn open(view: &View, files: &mut Files) -> anyhow::Result<Report> {
        let mut report = Report {
            view: view.clone(),
            rows: None,
            exports: Vec::new(),
            closed: false,
            failed: false,
        };
        for (path, format) in &view.exports {
            report.exports.push(Export {
                path: path.clone(),
                format: *format,
                file: files.open(path)?,
            });
        }
        if !view.quiet || view.output.is_some() {
            let to_stdout = view.output.is_none();
            let out: Box<dyn Write> = match &view.output {
                Some(path) => Box::new(LineFile::new(files.open(path)?)),
                None => Box::new(Stream::Out),
            };
            report.rows = Some(report.open_rows(Lines::new(out), to_stdout));
        }
        Ok(report)
    }

    /// Shows the heading: from here on, rows may come.
    pub fn begin(&mut self) {
        let begun = self.rows.as_mut().map_or(Ok(()), |rows| rows.begin());
        self.check_rows(begun);
    }

    fn open_rows(&self, out: Lines<Box<dyn Write>>, to_stdout: bool) -> Box<dyn Sink> {
        let view = &self.view;
        let width = move || to_stdout.then(|| terminal_width(io::stdout())).flatten();
        match view.format {
            Format::Json if view.anatomy => Box::new(anatomy::Json::new(out)),
            Format::Csv if view.anatomy => Box::new(anatomy::Csv::new(out)),
            Format::Table if view.anatomy => Box::new(anatomy::Table::new(out, view.color, width)),
            Format::Json => Box::new(Json::new(out)),
            Format::Csv => Box::new(Csv::new(out, view.columns.clone())),
            Format::Table => {
                let style = Style {
                    columns: view.columns.clone(),
                    quote: view.quote,
                    color: view.color,
                };
                let table = Table::new(out, style, width);
                match view.tree {
                    true => Box::new(Tree::new(table)),
                    false => Box::new(table),
                }
            }
        }
    }

    /// Where rows go, if anywhere.
    pub fn rows(&mut self) -> Option<&mut (dyn Sink + 'static)> {
        self.rows.as_deref_mut()
    }

    /// Makes rows seen, and takes note of how that went.
    pub fn check_rows(&mut self, written: io::Result<()>) {
        let flushed = self.rows.as_mut().map_or(Ok(()), |rows| rows.flush());
        let Err(error) = written.and(flushed) else {
            return;
        };
        self.rows = None;
        if self.view.output.is_none() && error.kind() == io::ErrorKind::BrokenPipe {
            self.closed = true;
            return;
        }
        self.failed = true;
        let place = self.view.output.as_deref().map(Path::display);
        match place {
            Some(path) => say(format_args!(
                "cannot write rows to {path}, they end here: {error}"
            )),
            None => say(format_args!("cannot write rows, they end here: {error}")),
        }
    }

    /// Whether whoever read the rows has gone.
    pub fn closed(&self) -> bool {
        self.closed
    }

    /// The same, found out without a row to write.
    pub fn look_for_reader(&mut self) {
        let awaited = self.view.output.is_none() && self.view.uses_stdout();
        self.closed |= awaited && output::reader_gone();
    }

    /// Whether there is anybody left to write to.
    pub fn unread(&self) -> bool {
        self.closed && self.exports.is_empty()
    }

    /// Whether a part could not be written.
    pub fn failed(&self) -> bool {
        self.failed
    }

    /// Where the figures go: with the rows if those are for people, else they would
    /// spoil them.
    fn write_figures(&mut self, text: &[u8]) {
        let beside_rows = self.view.format != Format::Table && self.view.output.is_none();
        // Set apart from rows, or from a terminal's ^C.
        let text = match self.view.quiet {
            true => text,
            false => &[b"\n", text].concat(),
        };
        let mut stream = match beside_rows && !self.view.quiet {
            true => Stream::Err,
            false => Stream::Out,
        };
        match stream.write_all(text) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.closed |= matches!(stream, Stream::Out);
            }
            Err(error) => {
                self.failed = true;
                say(format_args!("cannot write the histogram: {error}"));
            }
            Ok(()) => {}
        }
    }

    /// The figures of an interval that is over; the next begins.
    pub fn interval(&mut self, totals: &mut Totals) {
        let Some(stats) = &mut totals.interval else {
            return;
        };
        let stats = std::mem::take(stats);
        if !self.closed {
            self.write_figures(&figures(&stats, totals));
        }
    }

    /// Lists what still runs; of several sources, `source` is the name of this one.
    pub fn running(
        &mut self,
        pipeline: &mut Pipeline,
        ending: &Ending,
        totals: &mut Totals,
        source: Option<&str>,
    ) {
        let told = pipeline.end_starts(ending.ended_ns, totals, self.rows());
        self.check_rows(told);
        let mut list = self.list_of(" (--json has them all)");
        let mut written = Ok(());
        let rows = &mut self.rows;
        // All are counted, whether their rows can be written or not.
        let _ = pipeline.each_left_running(ending.ended_ns, totals, |row, standing| {
            list.push(row, &standing);
            if let (Some(rows), true) = (&mut *rows, written.is_ok()) {
                written = rows.running(row);
            }
            Ok(())
        });
        let ended = rows.as_mut().map_or(Ok(0), |rows| rows.end_source());
        totals.summary.not_in_tree += *ended.as_ref().unwrap_or(&0);
        self.check_rows(written.and(ended.map(|_| ())));
        totals.summary.running += list.count;
        // Of starts, what goes on is among the rows.
        if list.is_empty() || self.closed || self.view.anatomy {
            return;
        }
        match source {
            Some(name) => say(format_args!("{name}: still running{list}")),
            None => say(format_args!("still running{list}")),
        }
    }

    /// Lists what runs at `now_ns`, for whoever asks while tracing goes on.
    pub fn list(&self, pipeline: &mut Pipeline, now_ns: u64) {
        let mut list = self.list_of("");
        // Writing to memory does not fail.
        let _ = pipeline.each_running(now_ns, &self.view.rows, |row, standing| {
            list.push(row, &standing);
            Ok(())
        });
        match list.is_empty() {
            true => say("nothing that matches runs now"),
            false => say(format_args!("running now{list}")),
        }
    }

    fn list_of(&self, elsewhere: &'static str) -> List {
        List::new(
            terminal_width(io::stderr()),
            self.view.lists_before,
            elsewhere,
        )
    }

    /// Tells what has passed the limit of `--slow` by `now_ns`, and still runs.
    pub fn slow(&self, pipeline: &mut Pipeline, now_ns: u64) {
        const SLOW: &str = "slow, still running:";
        let width = terminal_width(io::stderr()).unwrap_or(still::COLUMNS);
        let width = width.saturating_sub("execlat: ".len() + SLOW.len());
        pipeline.each_slow(now_ns, &self.view.rows, |row, above| {
            say(format_args!("{SLOW}{}", still::line(row, above, width)));
        });
    }

    /// Nothing was traced: what is for machines says so, people were told why.
    pub fn abandon(&mut self, totals: &Totals) {
        self.export(totals);
        if self.view.format != Format::Table {
            let summary = Summary::default();
            let finished = self
                .rows
                .as_mut()
                .map_or(Ok(()), |rows| rows.finish(&summary));
            self.check_rows(finished);
        }
    }

    /// Figures, exports and the account.
    pub fn finish(&mut self, totals: &Totals) {
        let summary = totals.summary();
        let finished = self.rows.as_mut().map_or(Ok(()), |rows| {
            if let Some(starts) = &totals.anatomy {
                rows.figures(starts)?;
            }
            rows.finish(&summary)
        });
        self.check_rows(finished);
        if let Some(starts) = totals
            .anatomy
            .as_ref()
            .filter(|s| !s.is_empty() && !self.closed)
        {
            let mut text = Vec::new();
            // Writing to memory does not fail.
            let _ = anatomy::write_figures(&mut text, starts);
            self.write_figures(&text);
        }
        if self.view.histogram && !self.closed && !totals.stats.is_empty() {
            self.write_figures(&figures(&totals.stats, totals));
        }
        self.export(totals);
        if !self.closed {
            totals.anatomy.iter().for_each(say);
            say(summary);
        }
    }

    fn export(&mut self, totals: &Totals) {
        let summary = totals.summary();
        for Export { path, format, file } in std::mem::take(&mut self.exports) {
            let mut out = BufWriter::new(file);
            let written = histogram::write(&mut out, format, totals.key, &totals.stats, &summary);
            if let Err(error) = written.and_then(|()| out.flush()) {
                self.failed = true;
                let path = path.display();
                say(format_args!(
                    "cannot export the histogram to {path}: {error}"
                ));
            }
        }
    }
}

fn figures(stats: &Stats, totals: &Totals) -> Vec<u8> {
    let mut text = Vec::new();
    // Writing to memory does not fail.
    let _ = histogram::write_text(&mut text, totals.key, stats);
    text
}
