//! What the table shows, as plain data: taken from the figures now and then, drawn
//! as often as need be. Pure: time is what the caller says.

use std::collections::{HashMap, VecDeque};

use crate::loss::Losses;
use crate::pipeline::{Pipeline, Totals};
use crate::row::{Column, Row};
use crate::stats::Stats;
use crate::text::{cut, short_id};

/// Intervals that a trend remembers.
pub const TREND: usize = 30;
/// Executions in flight that can be looked at, of those seen to start and of those
/// that ran before; the others are counted.
const IN_FLIGHT: usize = 200;
/// More of an argument line does not fit on any screen.
const ARGV_COLUMNS: usize = 500;

/// The figures at one moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Snapshot {
    /// How long was traced by then.
    pub traced_ns: u64,
    /// How long the figures of the groups were gathered.
    pub gathered_ns: u64,
    /// Executions whose end was seen.
    pub executions: u64,
    /// Of these, those that failed.
    pub failed: u64,
    /// Executions a second in the last interval.
    pub rate: f64,
    /// Executions that have not ended.
    pub in_flight: u64,
    /// Of these, those that ran before tracing began.
    pub ran_before: u64,
    /// What was lost, if anything, as a sentence.
    pub lost: Option<String>,
    /// The last message.
    pub message: Option<String>,
    /// All groups, in no order.
    pub groups: Vec<GroupRow>,
    /// The longest of what is in flight, longest first.
    pub running: Vec<RunningRow>,
}

/// A group's figures.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct GroupRow {
    /// Its name.
    pub name: String,
    /// Executions.
    pub count: u64,
    /// Of these, those that failed.
    pub failed: u64,
    /// Executions a second in the last interval.
    pub rate: f64,
    /// Median.
    pub p50_ns: u64,
    /// 90th percentile.
    pub p90_ns: u64,
    /// 99th percentile.
    pub p99_ns: u64,
    /// Longest.
    pub max_ns: u64,
    /// Mean time in each of the last [`TREND`] intervals, microseconds, at least 1;
    /// 0 where nothing ended. The last is the newest.
    pub trend_us: Vec<u32>,
}

/// An execution in flight.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunningRow {
    /// Its process.
    pub pid: u32,
    /// How long it runs.
    pub age_ns: u64,
    /// It ran before tracing began; the age is that of the process.
    pub ran_before: bool,
    /// Its container, by its name where that is known.
    pub container: Option<String>,
    /// Its argument line.
    pub argv: String,
}

/// What a snapshot needs to be told.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Up to when everything was seen, as the events' times.
    pub now_ns: u64,
    /// What was lost by then.
    pub lost: Losses,
    /// The last message.
    pub message: Option<String>,
    /// Arguments as a shell would read them.
    pub quote: bool,
}

/// A group at the end of the last interval, and how it went before.
#[derive(Debug, Default)]
struct Track {
    count: u64,
    total_ns: u128,
    rate: f64,
    means_us: VecDeque<u32>,
}

/// Makes snapshots. Rates and trends come from what figures differ by from one
/// interval to the next: an execution costs nothing more for them.
#[derive(Debug)]
pub struct Gatherer {
    began_ns: u64,
    since_ns: u64,
    interval_ns: u64,
    executions: u64,
    rate: f64,
    tracks: HashMap<String, Track>,
}

fn shown(totals: &Totals) -> &Stats {
    let regrouped = totals.regrouped.as_ref();
    regrouped.map_or(&totals.stats, |(_, stats)| stats)
}

impl Gatherer {
    /// For a run that began then.
    pub fn new(began_ns: u64) -> Gatherer {
        Gatherer {
            began_ns,
            since_ns: began_ns,
            interval_ns: began_ns,
            executions: 0,
            rate: 0.0,
            tracks: HashMap::new(),
        }
    }

    /// When the run began.
    pub fn began_ns(&self) -> u64 {
        self.began_ns
    }

    /// When the last interval ended.
    pub fn interval_ns(&self) -> u64 {
        self.interval_ns
    }

    /// Other groups are shown, whose figures are gathered from `since_ns` on.
    pub fn regroup(&mut self, since_ns: u64, totals: &Totals) {
        self.since_ns = since_ns;
        // What they have by now is no news of the next interval.
        let known = shown(totals).groups().into_iter().map(|(name, group)| {
            let track = Track {
                count: group.count,
                total_ns: group.total_ns,
                ..Track::default()
            };
            (name.to_owned(), track)
        });
        self.tracks = known.collect();
    }

    /// An interval is over.
    pub fn interval(&mut self, now_ns: u64, totals: &Totals) {
        let seconds = now_ns.saturating_sub(self.interval_ns) as f64 / 1e9;
        let rate = |count: u64| {
            if seconds > 0.0 {
                count as f64 / seconds
            } else {
                0.0
            }
        };
        let executions = totals.summary.executions;
        self.rate = rate(executions.saturating_sub(self.executions));
        self.executions = executions;
        self.interval_ns = now_ns;
        for (name, group) in shown(totals).groups() {
            let Some(track) = self.tracks.get_mut(name) else {
                self.tracks
                    .insert(name.to_owned(), Track::new(group, rate(group.count)));
                continue;
            };
            track.rate = rate(group.count.saturating_sub(track.count));
            track.step(group.count, group.total_ns);
        }
    }

    /// The figures as they are now; rates and trends as of the last interval.
    pub fn snapshot(&self, seen: Seen, pipeline: &Pipeline, totals: &Totals) -> Snapshot {
        let mut running = Vec::new();
        let longest = pipeline.longest_running(IN_FLIGHT, seen.now_ns, |row| {
            running.push(running_row(row, seen.quote));
        });
        let groups = shown(totals).groups();
        Snapshot {
            traced_ns: seen.now_ns.saturating_sub(self.began_ns),
            gathered_ns: seen.now_ns.saturating_sub(self.since_ns),
            executions: totals.summary.executions,
            failed: totals.summary.failed,
            rate: self.rate,
            in_flight: longest.count,
            ran_before: longest.ran_before,
            lost: seen.lost.any().then(|| seen.lost.to_string()),
            message: seen.message,
            groups: groups
                .into_iter()
                .map(|(name, group)| {
                    let track = self.tracks.get(name);
                    let means = track.map(|track| track.means_us.iter().copied().collect());
                    GroupRow {
                        name: short_id(name).to_owned(),
                        count: group.count,
                        failed: group.failed,
                        rate: track.map_or(0.0, |track| track.rate),
                        p50_ns: group.percentile_ns(50.0),
                        p90_ns: group.percentile_ns(90.0),
                        p99_ns: group.percentile_ns(99.0),
                        max_ns: group.max_ns,
                        trend_us: means.unwrap_or_default(),
                    }
                })
                .collect(),
            running,
        }
    }
}

impl Track {
    fn new(group: &crate::stats::Group, rate: f64) -> Track {
        let mut track = Track {
            rate,
            ..Track::default()
        };
        track.step(group.count, group.total_ns);
        track
    }

    fn step(&mut self, count: u64, total_ns: u128) {
        let ended = u128::from(count.saturating_sub(self.count));
        let took_us = total_ns.saturating_sub(self.total_ns) / 1000;
        let mean_us = took_us
            .checked_div(ended)
            .map_or(0, |mean| u32::try_from(mean.max(1)).unwrap_or(u32::MAX));
        if self.means_us.len() == TREND {
            self.means_us.pop_front();
        }
        self.means_us.push_back(mean_us);
        (self.count, self.total_ns) = (count, total_ns);
    }
}

fn running_row(row: &Row<'_>, quote: bool) -> RunningRow {
    let execution = row.execution;
    let mut argv = String::new();
    Column::Argv.push_cell(&mut argv, row, quote);
    let fits = cut(&argv, ARGV_COLUMNS).len();
    argv.truncate(fits);
    RunningRow {
        pid: execution.process.tgid,
        age_ns: execution.time_ns(),
        ran_before: !execution.start_known,
        container: row.labels.name_or_id().map(|id| short_id(id).to_owned()),
        argv,
    }
}
