//! Drives the pipeline from a source to the outputs, until something says stop.

mod replay;

use std::io::{self, IsTerminal as _, Write};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::anatomy::Figures;
use crate::cgroup::Mount;
use crate::command::Command;
use crate::config::{Config, KernelFilter, Live as LiveConfig, Origin, View};
use crate::doctor;
use crate::files::Files;
use crate::filter::Selection;
use crate::loss::Losses;
use crate::nearest::LeftOut;
use crate::output::say;
use crate::pair::Unpaired;
use crate::pipeline::{Pipeline, Totals};
use crate::recording::Writer;
use crate::report::Report;
use crate::sink;
use crate::source::host::Facts;
use crate::source::live::Live;
use crate::source::urgency::Urgency;
use crate::source::{About, Batch, Source};
use crate::stop::Stop;
use crate::top::{Flow, Top};

/// Exit status where something could not be done.
pub const FAILED: u8 = 1;
/// Exit status of `--strict` where something was lost.
pub const LOST: u8 = 3;

/// A loss is told when it happens, but not more often than this.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// Who has seen nothing for so long is told what came nearest.
const NEAREST_AFTER: Duration = Duration::from_secs(10);

/// Does what is configured; returns the exit status.
///
/// # Errors
/// It could not begin, or the source failed.
pub fn run(config: &Config) -> Result<u8> {
    match &config.origin {
        Origin::Live(live) => trace(live, &config.view),
        Origin::Replay(filter, paths) => replay::replay(filter, paths, &config.view),
    }
}

/// Looks at the host, and tries. Returns 0 if tracing works, else 1.
///
/// # Errors
/// The answer cannot be written.
pub fn doctor(json: bool) -> Result<u8> {
    libbpf_rs::set_print(None);
    let mut checks = doctor::judge(&Facts::read());
    // Nothing matches a user that cannot be: the trial disturbs nobody.
    let nobody = KernelFilter {
        uids: vec![u32::MAX],
        ..KernelFilter::default()
    };
    let tried = Live::open(&LiveConfig::trial(nobody));
    let tried = tried.map(|live| format!("works, in the {} flavour", live.flavour()));
    checks.push(doctor::trial(&tried));
    let mut out = io::stdout();
    match json {
        true => {
            serde_json::to_writer_pretty(&mut out, &checks).map_err(io::Error::from)?;
            writeln!(out)?;
        }
        false => sink::checks::write(&mut out, &checks)?,
    }
    Ok(match tried {
        Ok(_) => 0,
        Err(_) => FAILED,
    })
}

fn totals(view: &View) -> Totals {
    let mut totals = Totals::new(view.by, view.rows.clone(), view.interval.is_some());
    totals.anatomy = view.anatomy.then(Figures::default);
    totals
}

fn pipeline(about: &About, selection: Option<Selection>, view: &View) -> Pipeline {
    let mut pipeline = Pipeline::new(about, selection);
    if view.anatomy {
        pipeline = pipeline.with_anatomy();
    }
    if view.shows_places() {
        pipeline = pipeline.with_places();
    }
    pipeline
}

/// Whoever mistypes a name, or names the wrong cgroup, is to see that. False if there is
/// nothing to say.
fn say_nearest(
    what: &str,
    filter: &KernelFilter,
    totals: &Totals,
    left_out: &LeftOut,
    mount: &Mount,
) -> bool {
    let line = totals.nearest.line(filter, left_out, mount);
    if let Some(line) = &line {
        say(format_args!("{what}: {line}"));
    }
    line.is_some()
}

/// 1 beats 3 beats the command's.
fn status(report: &Report, totals: &Totals, view: &View, command: Option<u8>) -> u8 {
    let starts_unknown = totals.anatomy.as_ref().is_some_and(Figures::lossy);
    if report.failed() {
        FAILED
    } else if view.strict && (totals.summary().lossy() || starts_unknown) {
        LOST
    } else {
        command.unwrap_or(0)
    }
}

/// A live run.
struct Tracing<'a> {
    source: Live,
    pipeline: Pipeline,
    totals: Totals,
    report: Report,
    recording: Option<Writer<Box<dyn Write>>>,
    /// The source, the command or the recording let us down.
    failed: bool,
    command: Option<Command>,
    told: (Instant, Losses),
    urgency: Urgency,
    top: Option<Top>,
    filter: &'a KernelFilter,
    /// When to say what came nearest, if nothing has matched; once.
    nearest_at: Option<Instant>,
    view: &'a View,
}

fn trace(config: &LiveConfig, view: &View) -> Result<u8> {
    let mut urgency = Urgency::of_this_thread();
    if !view.verbose {
        // What matters of it is in the errors.
        libbpf_rs::set_print(None);
    }
    let source = Live::open(config)?;
    let mut files = Files::new(view.uses_stdout());
    let mut report = Report::open(view, &mut files)?;
    let recording = open_recording(config, &source, files)?;
    say_notes(&source, &urgency, view.verbose);
    let stop = Stop::new(config.duration)?;
    if view.verbose {
        say("tracing; Ctrl-C ends it");
    }
    let command = urgency.start(|| Command::start(&config.command))?;
    let command = match command {
        Ok(command) => command,
        Err(not) => {
            say(format_args!("{:#}", not.error));
            let totals = totals(view);
            report.abandon(&totals);
            return Ok(status(&report, &totals, view, Some(not.status)));
        }
    };
    report.begin();
    let top = Top::begin(view, &config.filter, source.about().began_ns)?;
    let mut pipeline = pipeline(source.about(), None, view);
    if let Some(limit) = view.slow {
        pipeline.watch_slow(limit);
    }
    let mut tracing = Tracing {
        pipeline,
        source,
        totals: totals(view),
        report,
        recording,
        failed: false,
        command,
        urgency,
        told: (Instant::now(), Losses::default()),
        nearest_at: (top.is_none() && io::stderr().is_terminal())
            .then(|| Instant::now() + NEAREST_AFTER),
        top,
        filter: &config.filter,
        view,
    };
    let ended = tracing.until_stop(&stop);
    // The terminal is given back: what is said now is to be seen.
    tracing.top = None;
    let mut ended = tracing.known(ended);
    tracing.end();
    if let (None, Some(command)) = (ended, &mut tracing.command) {
        let waited = command.wait(&stop).map(Some);
        ended = tracing.known(waited);
    }
    if tracing.failed {
        return Ok(FAILED);
    }
    Ok(status(&tracing.report, &tracing.totals, view, ended))
}

fn say_notes(source: &Live, urgency: &Urgency, verbose: bool) {
    source.warnings().iter().for_each(say);
    if verbose {
        source.notes().iter().for_each(say);
        say(urgency.note());
    }
}

/// The last of the files, so that all can be emptied then.
fn open_recording(
    config: &LiveConfig,
    source: &Live,
    mut files: Files,
) -> Result<Option<Writer<Box<dyn Write>>>> {
    let Some(path) = &config.record else {
        files.empty()?;
        return Ok(None);
    };
    let file = files.open_private(path)?;
    files.empty()?;
    let out: Box<dyn Write> = Box::new(io::BufWriter::new(file));
    let writer = Writer::new(out, source.about());
    writer
        .map(Some)
        .with_context(|| format!("cannot write {}", path.display()))
}

/// When an interval is over; never, if that is beyond what a clock can tell.
fn later(at: Instant, interval: Option<Duration>) -> Option<Instant> {
    interval.and_then(|interval| at.checked_add(interval))
}

impl Tracing<'_> {
    /// Returns the command's status if its end was the reason.
    fn until_stop(&mut self, stop: &Stop) -> Result<Option<u8>> {
        let mut batch = Batch::default();
        let mut next_interval = later(Instant::now(), self.view.interval);
        loop {
            self.urgency.round();
            let read = self.source.next(&mut batch);
            // What was read before it failed counts.
            self.feed(&mut batch);
            read?;
            self.report.slow(&mut self.pipeline, batch.horizon_ns);
            if stop.asked() {
                self.report.list(&mut self.pipeline, batch.horizon_ns);
            }
            self.tell_losses();
            self.source.look_at_cgroups()?.iter().for_each(say);
            self.say_nearest(batch.horizon_ns);
            if self.draw_top(batch.horizon_ns) == Flow::Quit {
                return Ok(None);
            }
            self.report.look_for_reader();
            if let Some(at) = next_interval.filter(|at| Instant::now() >= *at) {
                next_interval = later(at, self.view.interval);
                self.report.interval(&mut self.totals);
            }
            match &mut self.command {
                Some(command) => {
                    if let Some(status) = command.ended(stop)? {
                        return Ok(Some(status));
                    }
                }
                // Ctrl-C goes to a command as well; it decides.
                None if stop.interrupted() || stop.told().is_some() => return Ok(None),
                None if self.report.closed() => return Ok(None),
                None => {}
            }
            if stop.expired() {
                return Ok(None);
            }
        }
    }

    /// The command's status; what went wrong instead is told, and no reason to throw
    /// away what was measured.
    fn known(&mut self, status: Result<Option<u8>>) -> Option<u8> {
        status.unwrap_or_else(|error| {
            say(format_args!("{error:#}"));
            self.failed = true;
            None
        })
    }

    fn feed(&mut self, batch: &mut Batch) {
        let found = batch.alive.is_some() || !batch.places.is_empty();
        if !batch.bytes.is_empty() || found || self.pipeline.waits() {
            self.record(|writer| writer.batch(batch));
        }
        let fed = self
            .pipeline
            .feed(batch, &mut self.totals, self.report.rows());
        self.report.check_rows(fed);
    }

    /// A recording that cannot be written is given up; the rest goes on.
    fn record(&mut self, write: impl FnOnce(&mut Writer<Box<dyn Write>>) -> io::Result<()>) {
        if let Some(writer) = &mut self.recording
            && let Err(error) = write(writer)
        {
            say(format_args!(
                "cannot write the recording, it ends here: {error}"
            ));
            self.recording = None;
            self.failed = true;
        }
    }

    fn draw_top(&mut self, now_ns: u64) -> Flow {
        let (source, pipeline) = (&self.source, &self.pipeline);
        self.top.as_mut().map_or(Flow::On, |top| {
            top.round(now_ns, source, pipeline, &mut self.totals)
        })
    }

    fn tell_losses(&mut self) {
        // A table shows them itself.
        if self.top.is_some() || self.told.0.elapsed() < TELL_EVERY {
            return;
        }
        let so_far = Losses::new(&self.source.losses(), Unpaired::default());
        if so_far != self.told.1 {
            say(format_args!("so far {so_far}"));
        }
        self.told = (Instant::now(), so_far);
    }

    /// Once, where somebody looks.
    fn say_nearest(&mut self, now_ns: u64) {
        if self.nearest_at.is_none_or(|at| Instant::now() < at) {
            return;
        }
        let running = self.pipeline.longest_running(0, now_ns, |_| {}).count;
        let matched = !self.totals.is_empty() || running > 0;
        let (left_out, mount) = (self.source.left_out(), self.source.about().mount());
        let said = !matched
            && say_nearest(
                "nothing matches so far",
                self.filter,
                &self.totals,
                &left_out,
                &mount,
            );
        // Where there is nothing to say either, something may come.
        let again = !matched && !said;
        self.nearest_at = again.then(|| Instant::now() + TELL_EVERY);
    }

    fn end(&mut self) {
        self.urgency.renew();
        let mut batch = Batch::default();
        let ending = self.source.finish(&mut batch);
        if let Some(why) = &ending.failed {
            say(format_args!("{why}: what still runs may be wrong"));
            self.failed = true;
        }
        let made_good = ending.losses.made_good;
        if self.view.verbose && made_good > 0 {
            say(format_args!(
                "no loss: {made_good} runs of probes that the kernel skipped, and copies saw the same"
            ));
        }
        self.feed(&mut batch);
        self.record(|writer| writer.finish(&ending));
        self.report
            .running(&mut self.pipeline, &ending, &mut self.totals, None);
        self.pipeline.close(&ending, &mut self.totals);
        if self.totals.is_empty() && !self.report.closed() {
            let (totals, mount) = (&self.totals, self.source.about().mount());
            say_nearest(
                "nothing matched",
                self.filter,
                totals,
                &totals.left_out,
                &mount,
            );
        }
        self.report.finish(&self.totals);
    }
}
