//! Where containers are, from what their runtimes keep on disk ([`crate::state`]). The
//! files are read by another process, because a file system may take its time, or hang
//! (FUSE, NFS); a thread waits for it, because whoever takes the records must not.

mod disk;

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::now::monotonic_ns;
use super::readers::{Answer, Heard, Question, Readers};
use super::urgency::Urgency;
use crate::container_cgroups::ASKED_AGAIN_NS;
use crate::engine;
use crate::state::{Format, StatePlace};
use disk::Disk;

/// Requests that wait for the thread, and what it said that waits for us.
const ASKED_MAX: usize = 1024;
const SAID_MAX: usize = 1024;
/// Containers that are remembered as asked or found; then all are forgotten.
const KNOWN_MAX: usize = 32_768;
/// What was found is not read again for so long: a little less than what is waited for.
const FOUND_LASTS: Duration = Duration::from_nanos(ASKED_AGAIN_NS - 100_000_000);

/// A container: its root and its id.
type Key = (String, String);

/// Where a container is to be looked for.
#[derive(Debug)]
struct Request {
    key: Key,
    /// The bundle that it is to be made of, if it is not there yet.
    bundle: Option<String>,
}

enum Said {
    Found(StatePlace),
    /// All is said that there is to say to one request; that for the default roots has
    /// no key.
    Done(Option<Key>),
    /// The same, but that not all could be read in time.
    Late(Option<Key>),
}

/// What a reader looks at.
#[derive(Debug, Serialize, Deserialize)]
enum Look {
    /// Where runtimes and engines keep containers by default.
    Defaults,
    /// Where a container is that a root holds; a root that is met for the first time is
    /// listed whole.
    Kept(String, String),
    /// Where a container would be that is made of a bundle.
    ToBe(String, String, String),
}

impl Look {
    /// What it hangs on, if it does.
    fn about(&self) -> &str {
        match self {
            Look::Defaults => "",
            Look::Kept(root, _) => root,
            Look::ToBe(_, _, bundle) => bundle,
        }
    }
}

#[derive(Debug)]
enum Known {
    Asked,
    Found(Instant),
}

/// Asks for the places of containers and never waits for them.
#[derive(Debug)]
pub struct States {
    asks: SyncSender<Request>,
    said: Receiver<Said>,
    known: HashMap<Key, Known>,
    outstanding: u64,
    /// Of those outstanding, the ones that are counted as dropped already. They are the
    /// oldest, since the thread answers in turn.
    late: u64,
    dropped: u64,
}

impl States {
    /// Starts the thread, which first has the roots read that runtimes and engines use by
    /// default.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(mut readers: Readers) -> io::Result<States> {
        States::with(move |asks, said| {
            // It asks and passes on; on a busy host its turn would come too late.
            let mut urgency = Urgency::of_this_thread();
            let ask = |look: &Look, found: &mut dyn FnMut(StatePlace)| {
                urgency.round();
                ask(&mut readers, look, found)
            };
            // None: nobody listens any more.
            let _ = answer_all(&asks, &said, ask);
        })
    }

    /// The thread is never joined: it may wait, and the process must end all the same.
    fn with(
        work: impl FnOnce(Receiver<Request>, SyncSender<Said>) + Send + 'static,
    ) -> io::Result<States> {
        let (asks, asked) = sync_channel(ASKED_MAX);
        let (says, said) = sync_channel(SAID_MAX);
        std::thread::Builder::new()
            .name("states".to_owned())
            .spawn(move || work(asked, says))?;
        Ok(States {
            asks,
            said,
            known: HashMap::new(),
            // The default roots.
            outstanding: 1,
            late: 0,
            dropped: 0,
        })
    }

    /// Whether there can be a file that says where a container is.
    pub fn may_have(runtime: &str, id: &str, bundle: Option<&str>) -> bool {
        (Format::is_kept_by(runtime) || bundle.is_some()) && engine::is_id(id)
    }

    /// Asks where a container is; never waits. `root` is what [`crate::state::root_of`] makes of
    /// the command line; one that is met for the first time is listed whole. `bundle` is what
    /// a container that is not there yet is made of. Does nothing while an answer is
    /// outstanding, nor right after one was found.
    pub fn ask(&mut self, runtime: &str, root: &str, id: &str, bundle: Option<&str>) {
        self.ask_at(Instant::now(), runtime, root, id, bundle);
    }

    fn ask_at(&mut self, now: Instant, runtime: &str, root: &str, id: &str, bundle: Option<&str>) {
        if !States::may_have(runtime, id, bundle) {
            return;
        }
        let key = (root.to_owned(), id.to_owned());
        match self.known.get(&key) {
            Some(Known::Asked) => return,
            Some(Known::Found(at)) if now.saturating_duration_since(*at) < FOUND_LASTS => return,
            Some(Known::Found(_)) | None => {}
        }
        let request = Request {
            key: key.clone(),
            bundle: bundle.map(str::to_owned),
        };
        match self.asks.try_send(request) {
            Ok(()) => {
                self.outstanding += 1;
                self.remember(key, Known::Asked);
            }
            Err(_) => self.dropped += 1,
        }
    }

    /// Takes what has been answered since; never waits. Of one container there may be
    /// several answers; the last one holds.
    pub fn answers(&mut self, out: &mut Vec<StatePlace>) {
        // No more than can wait: the thread goes on meanwhile.
        for _ in 0..SAID_MAX {
            let Ok(said) = self.said.try_recv() else {
                return;
            };
            self.take(said, out);
        }
    }

    /// What was asked in vain: requests that found the thread busy, that were given up, or
    /// that a [`States::settle`] did not see answered.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Waits until all that was asked is answered, but for no longer than `limit`.
    pub fn settle(&mut self, limit: Duration, out: &mut Vec<StatePlace>) {
        let began = Instant::now();
        while self.outstanding > 0 {
            let left = limit.saturating_sub(began.elapsed());
            match self.said.recv_timeout(left) {
                Ok(said) => self.take(said, out),
                Err(_) => break,
            }
        }
        self.dropped += self.outstanding - self.late;
        self.late = self.outstanding;
    }

    fn take(&mut self, said: Said, out: &mut Vec<StatePlace>) {
        match said {
            Said::Found(place) => {
                let key = (place.root.clone(), place.id.clone());
                self.remember(key, Known::Found(Instant::now()));
                out.push(place);
            }
            Said::Late(asked) => {
                self.dropped += u64::from(self.late == 0);
                self.is_answered(asked);
            }
            Said::Done(asked) => {
                if let Some((root, id)) = self.is_answered(asked) {
                    let cgroups = Vec::new();
                    let read_ns = monotonic_ns();
                    out.push(StatePlace {
                        root,
                        id,
                        cgroups,
                        read_ns,
                    });
                }
            }
        }
    }

    /// Returns what was asked and not found.
    fn is_answered(&mut self, asked: Option<Key>) -> Option<Key> {
        self.outstanding = self.outstanding.saturating_sub(1);
        self.late = self.late.saturating_sub(1);
        let key = asked?;
        let in_vain = matches!(self.known.get(&key), Some(Known::Asked));
        in_vain.then(|| self.known.remove(&key));
        in_vain.then_some(key)
    }

    fn remember(&mut self, key: Key, known: Known) {
        if self.known.len() >= KNOWN_MAX {
            self.known.clear();
        }
        self.known.insert(key, known);
    }
}

/// Has all that is asked looked at; `ask` tells whether all could be read. Ends with None
/// when nobody listens any more.
fn answer_all(
    asks: &Receiver<Request>,
    said: &SyncSender<Said>,
    mut ask: impl FnMut(&Look, &mut dyn FnMut(StatePlace)) -> bool,
) -> Option<()> {
    let done = |in_time, key| match in_time {
        true => Said::Done(key),
        false => Said::Late(key),
    };
    let mut listens = Some(());
    let in_time = ask(&Look::Defaults, &mut |place| {
        listens = listens.and_then(|()| said.send(Said::Found(place)).ok());
    });
    listens?;
    said.send(done(in_time, None)).ok()?;
    for Request { key, bundle } in asks {
        let mut found = false;
        let mut say = |place: StatePlace| {
            found |= (&place.root, &place.id) == (&key.0, &key.1);
            listens = listens.and_then(|()| said.send(Said::Found(place)).ok());
        };
        let (root, id) = key.clone();
        let mut in_time = ask(&Look::Kept(root, id), &mut say);
        if let Some(bundle) = bundle.filter(|_| in_time && !found) {
            let (root, id) = key.clone();
            in_time = ask(&Look::ToBe(root, id, bundle), &mut |place| {
                listens = listens.and_then(|()| said.send(Said::Found(place)).ok());
            });
        }
        listens?;
        said.send(done(in_time, Some(key))).ok()?;
    }
    Some(())
}

fn ask(readers: &mut Readers, look: &Look, found: &mut dyn FnMut(StatePlace)) -> bool {
    let Ok(bytes) = serde_json::to_vec(look) else {
        return false;
    };
    let about = look.about().as_bytes().to_vec();
    let mut in_time = false;
    readers.ask(&[Question { about, bytes }], &mut |_, heard| match heard {
        Heard::Piece(bytes) => {
            if let Ok(place) = serde_json::from_slice(&bytes) {
                found(place);
            }
        }
        Heard::All => in_time = true,
        Heard::GivenUp => {}
    });
    in_time
}

/// What a reader does. `host_root` is `/`, but for tests; it is not checked itself.
pub fn answer(host_root: &Path, mounts: impl FnOnce() -> Vec<String>) -> Answer {
    let mut disk = Disk::new(host_root, mounts()).ok();
    Box::new(move |question, say| {
        if let Some(disk) = &mut disk
            && let Ok(look) = serde_json::from_slice(question)
        {
            disk.look(&look, &mut |place| {
                if let Ok(bytes) = serde_json::to_vec(&place) {
                    say(&bytes);
                }
            });
        }
    })
}

#[cfg(test)]
mod tests;
