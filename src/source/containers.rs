//! Places of containers that no record tells: what runtimes keep on disk of them, asked as
//! they are met, and the cgroups that are there when tracing begins.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::Places;
use super::states::States;
use crate::runtime;
use crate::state;
use crate::wire;

/// When tracing ends, the last answers are waited for so long.
const LAST_WAIT: Duration = Duration::from_millis(200);
/// Cgroups that are looked at when tracing begins.
const CGROUPS_MAX: usize = 65_536;

/// What is found beside the records.
pub struct Containers {
    states: States,
    cgroups: Vec<String>,
}

impl Containers {
    /// Begins with the containers that runtimes keep where they do by default.
    ///
    /// # Errors
    /// There can be no thread.
    pub fn start() -> Result<Containers> {
        let states = States::start(Path::new("/"));
        Ok(Containers {
            states: states.context("failed to start a thread")?,
            cgroups: Vec::new(),
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
            // Runtimes name none that is not UTF-8.
            self.cgroups.extend(directory.to_str().map(str::to_owned));
        }
        true
    }

    /// Asks for the containers that these records are about, and hands over what is known by
    /// now.
    pub fn look(&mut self, records: &[u8], places: &mut Places) {
        // Of others than root it is not believed.
        let images = wire::images(records, runtime::may_be).filter(|image| image.uid == 0);
        for image in images {
            let argv = &image.argv;
            let called = runtime::parse(argv.args(), !argv.whole(), image.comm());
            let asked = called.and_then(|called| {
                let id = str::from_utf8(called.container?).ok()?;
                Some((
                    called.runtime,
                    state::root_of(called.runtime, called.root)?,
                    id,
                ))
            });
            if let Some((runtime, root, id)) = asked {
                self.states.ask(runtime, &root, id);
            }
        }
        self.states.answers(&mut places.states);
        places.cgroups.append(&mut self.cgroups);
    }

    /// Waits a moment for what was asked and is not answered.
    pub fn settle(&mut self, places: &mut Places) {
        self.states.settle(LAST_WAIT, &mut places.states);
    }

    /// Containers that were asked for in vain, as a disk was too slow.
    pub fn unread(&self) -> u64 {
        self.states.dropped()
    }
}
