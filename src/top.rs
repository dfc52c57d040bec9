//! `--top`: a live table in place of rows. Its parts are apart so that all but one
//! need no terminal: a [`snapshot`] of the figures is drawn by [`view`], a pure
//! function; [`keys`] makes keys of bytes and [`state`] says what they do; only
//! [`terminal`] knows a terminal. Everything is done in the rounds in which events
//! are read anyhow, so nobody is woken for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use signal_hook::consts::SIGCONT;
use signal_hook::flag;

use crate::config::{KernelFilter, View};
use crate::label::Key as GroupKey;
use crate::output::Hold;
use crate::pipeline::{Pipeline, Totals};
use crate::source::Source;
use crate::stats::Stats;

pub mod column;
pub mod frame;
pub mod keys;
pub mod snapshot;
pub mod state;
pub mod terminal;
pub mod view;

use keys::{Decoder, Key};
use snapshot::{Gatherer, Seen, Snapshot};
use state::{Effect, State};
use terminal::Terminal;

/// Whether it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// It does.
    On,
    /// Someone wants it to end, or the terminal has gone.
    Quit,
}

/// What keys ask for.
#[derive(Debug, Default)]
struct Asked {
    /// Other figures.
    figures: bool,
    /// The same, seen another way.
    frame: bool,
}

/// A live table. Dropped, it leaves the terminal as it was, then tells what had to
/// wait.
pub struct Top {
    terminal: Terminal,
    hold: Hold,
    continued: Arc<AtomicBool>,
    decoder: Decoder,
    state: State,
    gatherer: Gatherer,
    snapshot: Snapshot,
    interval: Duration,
    /// When figures are due; never, if that is beyond what a clock can tell.
    next: Option<Instant>,
    /// The key of `--by`, whose figures are kept anyhow.
    by: GroupKey,
    quote: bool,
}

impl Top {
    /// Takes the terminal, if the view wants it. `began_ns` is when tracing began.
    ///
    /// # Errors
    /// The terminal cannot be had.
    pub fn begin(view: &View, filter: &KernelFilter, began_ns: u64) -> Result<Option<Top>> {
        let Some(config) = view.top else {
            return Ok(None);
        };
        let continued = Arc::default();
        flag::register(SIGCONT, Arc::clone(&continued)).context("failed to listen for SIGCONT")?;
        let mut state = State::new(view.by);
        // All the daemons of a host would hide what happens on it.
        state.hide_before = filter.takes_all();
        let terminal = Terminal::enter(config.color)?;
        Ok(Some(Top {
            terminal,
            hold: Hold::begin(),
            continued,
            decoder: Decoder::default(),
            state,
            gatherer: Gatherer::new(began_ns),
            snapshot: Snapshot::default(),
            interval: config.interval,
            next: Some(Instant::now()),
            by: view.by,
            quote: view.quote,
        }))
    }

    /// What there is to do in a round: obeys keys, and draws if it is time.
    /// `now_ns` is up to when everything was seen.
    pub fn round(
        &mut self,
        now_ns: u64,
        source: &dyn Source,
        pipeline: &Pipeline,
        totals: &mut Totals,
    ) -> Flow {
        let continued = self.continued.swap(false, Ordering::SeqCst);
        if (continued || self.terminal.is_away()) && self.terminal.take_again().is_err() {
            return Flow::Quit;
        }
        let resized = self.terminal.resized();
        let Ok(keys) = self.terminal.keys(&mut self.decoder) else {
            return Flow::Quit;
        };
        let mut asked = Asked::default();
        for key in keys {
            if self.obey(key, now_ns, totals, &mut asked) == Flow::Quit {
                return Flow::Quit;
            }
        }
        let now = Instant::now();
        let due = self.next.is_some_and(|next| now >= next);
        if due {
            // From now on, not from then: what was missed is not made up for.
            self.next = now.checked_add(self.interval);
            self.gatherer.interval(now_ns, totals);
        }
        if asked.figures || (due && !self.state.paused) {
            let seen = Seen {
                now_ns,
                lost: totals.lost_so_far(&source.losses(), pipeline),
                message: self.hold.last(),
                quote: self.quote,
            };
            self.snapshot = self.gatherer.snapshot(seen, pipeline, totals);
        }
        if resized || due || asked.figures || asked.frame || self.terminal.forgotten() {
            let frame = view::frame(&self.snapshot, &self.state, self.terminal.size());
            if self.terminal.draw(&frame).is_err() {
                return Flow::Quit;
            }
        }
        Flow::On
    }

    fn obey(&mut self, key: Key, now_ns: u64, totals: &mut Totals, asked: &mut Asked) -> Flow {
        let room = view::room(&self.snapshot, &self.state, self.terminal.size());
        match self.state.apply(key, room) {
            Effect::Nothing => {}
            Effect::Draw => asked.frame = true,
            Effect::Quit => return Flow::Quit,
            Effect::Suspend => self.terminal.suspend(),
            Effect::Repaint => self.terminal.forget(),
            // The figures of --by are there from the beginning.
            Effect::Regroup if self.state.by == self.by => {
                totals.regrouped = None;
                self.gatherer.regroup(self.gatherer.began_ns(), totals);
                asked.figures = true;
            }
            Effect::Regroup | Effect::Anew => {
                totals.regrouped = Some((self.state.by, Stats::default()));
                self.gatherer.regroup(now_ns, totals);
                asked.figures = true;
            }
        }
        Flow::On
    }
}
