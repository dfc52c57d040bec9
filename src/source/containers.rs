//! Places of containers that no record tells: what runtimes keep on disk of them, asked as
//! they are met, and the cgroups that are there when tracing begins.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::Places;
use super::hosts::Hosts;
use super::readers::{Answer, Readers};
use super::states::{self, States};
use super::targets;
use crate::container_cgroups::IDS_MAX;
use crate::event::Image;
use crate::runtime;
use crate::state;
use crate::wire;

/// When tracing ends, the last answers are waited for so long.
const LAST_WAIT: Duration = Duration::from_millis(200);
/// Cgroups that are looked at when tracing begins: as many as are kept for sure.
const CGROUPS_MAX: usize = IDS_MAX / 2;
/// Command lines that wait for the name of the cgroup that they ran in, and for how long:
/// by then the pipeline decides by what it knows.
const UNPLACED_MAX: usize = 1024;
const UNPLACED_LASTS: Duration = Duration::from_secs(1);

/// What a reader of states does on this host.
pub fn answer() -> Answer {
    states::answer(Path::new("/"), || {
        // Without cgroups, those of crun and youki are nowhere.
        let hierarchies = targets::hierarchies().unwrap_or_default();
        let mounts = hierarchies.iter().filter_map(|one| one.mount.to_str());
        let mounts: BTreeSet<String> = mounts.map(str::to_owned).collect();
        mounts.into_iter().collect()
    })
}

/// What is found beside the records.
pub struct Containers {
    states: States,
    cgroups: Vec<String>,
    /// Called by somebody in a cgroup whose name is to come.
    unplaced: Vec<Asked>,
    /// Of those, the ones that were given up.
    given_up: u64,
}

impl Containers {
    /// Begins with the containers that runtimes keep where they do by default.
    ///
    /// # Errors
    /// There can be no thread.
    pub fn start(readers: Readers) -> Result<Containers> {
        let states = States::start(readers);
        Ok(Containers {
            states: states.context("failed to start a thread")?,
            cgroups: Vec::new(),
            unplaced: Vec::new(),
            given_up: 0,
        })
    }

    /// Takes note of the cgroups in a directory; false if there are too many.
    pub fn list(&mut self, directory: &Path) -> bool {
        let mut next = vec![directory.to_owned()];
        while let Some(directory) = next.pop() {
            if self.cgroups.len() >= CGROUPS_MAX {
                return false;
            }
            let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
            let is_cgroup = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|t| t.is_dir());
            next.extend(entries.filter(is_cgroup).map(|entry| entry.path()));
            // As records have what is not UTF-8.
            self.cgroups.push(directory.to_string_lossy().into_owned());
        }
        true
    }

    /// Asks for the containers that these records are about, and hands over what is known by
    /// now. Asks nothing for what ran in a container, as far as the names of cgroups tell.
    pub fn look(&mut self, records: &[u8], hosts: &Hosts, places: &mut Places) {
        let images = wire::images(records, runtime::may_be).filter(|image| image.uid == 0);
        self.unplaced
            .extend(images.filter_map(|image| asked(&image)));
        for asked in std::mem::take(&mut self.unplaced) {
            let lasts = asked.since.elapsed() < UNPLACED_LASTS;
            match hosts.holds(asked.cgroup_id) {
                Some(true) => asked.of(&mut self.states),
                Some(false) => {}
                None if lasts && self.unplaced.len() < UNPLACED_MAX => self.unplaced.push(asked),
                None => self.given_up += 1,
            }
        }
        self.states.answers(&mut places.states);
        places.cgroups.append(&mut self.cgroups);
    }

    /// Waits a moment for what was asked and is not answered.
    pub fn settle(&mut self, places: &mut Places) {
        self.states.settle(LAST_WAIT, &mut places.states);
    }

    /// Containers that were asked for in vain, as a disk was too slow, or nobody could know
    /// who asked.
    pub fn unread(&self) -> u64 {
        self.states.dropped() + self.given_up
    }
}

/// A container that a command line is about, and the cgroup that it ran in.
struct Asked {
    runtime: &'static str,
    root: String,
    id: String,
    bundle: Option<String>,
    cgroup_id: u64,
    since: Instant,
}

impl Asked {
    fn of(&self, states: &mut States) {
        let bundle = self.bundle.as_deref();
        states.ask(self.runtime, &self.root, &self.id, bundle);
    }
}

fn asked(image: &Image) -> Option<Asked> {
    let argv = &image.argv;
    let called = runtime::parse(argv.args(), !argv.whole(), image.comm())?;
    let id = str::from_utf8(called.container?).ok()?;
    let bundle = called.bundle.and_then(state::path_of);
    // A cgroup without an id never gets a name.
    let may_be = image.cgroup_id != 0 && States::may_have(called.runtime, id, bundle.as_deref());
    may_be.then_some(Asked {
        runtime: called.runtime,
        root: state::root_of(called.runtime, called.root)?,
        id: id.to_owned(),
        bundle,
        cgroup_id: image.cgroup_id,
        since: Instant::now(),
    })
}
