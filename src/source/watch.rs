//! The cgroups asked for may be removed while they are traced, and made anew: a service that
//! is started again has a cgroup of the same name with another id. Whoever asked for the
//! directory means that one as well, and is to see that the other is gone.
//!
//! A look is a `stat` of each directory: cgroup file systems answer it from memory.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use libbpf_rs::{MapCore as _, MapFlags};

use super::load::{Plan, key};
use super::targets::Target;
use crate::skel::ExeclatMaps;
use crate::text::printable;
use crate::wire;

const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The directories asked for, and what is there.
#[derive(Debug)]
pub struct Watch {
    watched: Vec<Watched>,
    next: Instant,
    /// Verdicts are to be forgotten once more.
    forgets_again: bool,
}

#[derive(Debug)]
struct Watched {
    directory: PathBuf,
    /// The one that was there last.
    target: Target,
    is_there: bool,
}

/// What became of a directory.
#[derive(Debug, PartialEq, Eq)]
enum Change {
    /// It is gone.
    Removed,
    /// Another one is there.
    Anew(Target),
}

impl Watch {
    /// What a plan asks for.
    pub fn new(plan: &Plan) -> Watch {
        let both = plan.directories.iter().zip(&plan.targets);
        let watched = both.map(|(directory, target)| Watched {
            directory: directory.clone(),
            target: *target,
            is_there: true,
        });
        Watch {
            watched: watched.collect(),
            next: Instant::now() + LOOK_EVERY,
            forgets_again: false,
        }
    }

    /// Looks, if it is time to; a line for each change.
    ///
    /// # Errors
    /// The map of cgroups refuses one.
    pub fn look(&mut self, maps: &mut ExeclatMaps<'_>) -> Result<Vec<String>> {
        let now = Instant::now();
        if self.watched.is_empty() || now < self.next {
            return Ok(Vec::new());
        }
        self.next = now + LOOK_EVERY;
        let mut forgets = std::mem::take(&mut self.forgets_again);
        let mut lines = Vec::new();
        for at in 0..self.watched.len() {
            let watched = &mut self.watched[at];
            let Some(change) = watched.change(id_at(&watched.directory)) else {
                continue;
            };
            let before = watched.target;
            lines.push(watched.follow(&change));
            // First, as the map has no room for more than were asked for. Another path may
            // lead to the same one, or a look before this one has removed it.
            if !self
                .watched
                .iter()
                .any(|w| w.is_there && w.target == before)
            {
                let _ = maps.targ_cgroups.delete(wire::as_bytes(&key(before)));
            }
            if let Change::Anew(target) = change {
                let context = "failed to tell the kernel side of a cgroup that was made anew";
                let anew = key(target);
                maps.targ_cgroups
                    .update(wire::as_bytes(&anew), &[1], MapFlags::ANY)
                    .context(context)?;
                // What ran there by now was judged without it, and one that judges just now
                // may note that after us.
                (forgets, self.forgets_again) = (true, true);
            }
        }
        if forgets && let Some(bss) = maps.bss_data.as_deref_mut() {
            bss.verdicts.fill(0);
        }
        Ok(lines)
    }
}

impl Watched {
    /// What became of it, by the device and inode that are there now.
    fn change(&self, now: Option<(u64, u64)>) -> Option<Change> {
        // What is on another file system is no cgroup of this hierarchy.
        match now.filter(|(device, _)| *device == self.target.device) {
            None => self.is_there.then_some(Change::Removed),
            Some((_, id)) if self.is_there && id == self.target.id => None,
            Some((_, id)) => Some(Change::Anew(Target { id, ..self.target })),
        }
    }

    fn follow(&mut self, change: &Change) -> String {
        let directory = printable(self.directory.as_os_str().as_encoded_bytes());
        match change {
            Change::Removed => {
                self.is_there = false;
                format!("cgroup {directory} was removed")
            }
            Change::Anew(target) => {
                (self.is_there, self.target) = (true, *target);
                format!("cgroup {directory} was made anew; tracing it again")
            }
        }
    }
}

/// The device and inode of a directory; None if there is none.
fn id_at(directory: &Path) -> Option<(u64, u64)> {
    let meta = fs::metadata(directory).ok().filter(fs::Metadata::is_dir)?;
    Some((meta.dev(), meta.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_is_told_once() {
        let target = Target {
            hierarchy: 4,
            id: 70,
            device: 9,
        };
        let mut watched = Watched {
            directory: "/cg/a\x1b".into(),
            target,
            is_there: true,
        };
        let mut told = |now| {
            let change = watched.change(now)?;
            Some(watched.follow(&change))
        };
        assert_eq!(told(Some((9, 70))), None);
        let removed = Some("cgroup /cg/a\\x1b was removed".to_owned());
        let anew = Some("cgroup /cg/a\\x1b was made anew; tracing it again".to_owned());
        assert_eq!(told(None), removed);
        assert_eq!(told(None), None);
        // A directory below what is not mounted any more.
        assert_eq!(told(Some((1, 71))), None);
        assert_eq!(told(Some((9, 71))), anew);
        assert_eq!(told(Some((9, 71))), None);
        // Between two looks.
        assert_eq!(told(Some((9, 72))), anew);
        assert_eq!(told(Some((1, 72))), removed);
    }
}
