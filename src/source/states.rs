//! Where containers are, from what their runtimes keep on disk ([`crate::state`]). The
//! files are read by another process, because a file system may take its time, or hang
//! (FUSE, NFS); a thread waits for it, because whoever takes the records must not.
//!
//! Command lines say where to look. What is found there decides which executions are
//! shown, so only root's word counts: each directory on the way and the file itself must
//! be root's, and writable by nobody else. Symbolic links are not followed, and only
//! plain files of a bounded size are opened.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, Dir, FileType, Mode, OFlags, ResolveFlags, openat, openat2};
use serde::{Deserialize, Serialize};

use super::now::monotonic_ns;
use super::plain_file::contents;
use super::readers::{Answer, Heard, Question, Readers};
use super::urgency::Urgency;
use crate::container_cgroups::ASKED_AGAIN_NS;
use crate::engine;
use crate::state::{self, Format, StatePlace};

/// Requests that wait for the thread, and what it said that waits for us.
const ASKED_MAX: usize = 1024;
const SAID_MAX: usize = 1024;
/// Containers that are remembered as asked or found; then all are forgotten.
const KNOWN_MAX: usize = 32_768;
/// Roots that are remembered as listed; then all are listed once more.
const ROOTS_MAX: usize = 1024;
/// Containers of one root that are read as it is listed.
const LISTED_MAX: usize = 4096;
/// runc's state is 4 to 60 KB.
const FILE_MAX_BYTES: u64 = 1 << 20;
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

    /// Asks where a container is; never waits. `root` is what [`state::root_of`] makes of
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
    let mut reader = Reader::new(host_root, mounts()).ok();
    Box::new(move |question, say| {
        if let Some(reader) = &mut reader
            && let Ok(look) = serde_json::from_slice(question)
        {
            reader.look(&look, &mut |place| {
                if let Ok(bytes) = serde_json::to_vec(&place) {
                    say(&bytes);
                }
            });
        }
    })
}

/// What a reader has.
struct Reader {
    host_root: File,
    /// Where cgroup hierarchies are mounted.
    mounts: Vec<String>,
    listed: HashSet<String>,
}

impl Reader {
    fn new(host_root: &Path, mounts: Vec<String>) -> io::Result<Reader> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let host_root = File::from(openat(CWD, host_root, flags, Mode::empty())?);
        let listed = HashSet::new();
        Ok(Reader {
            host_root,
            mounts,
            listed,
        })
    }

    fn look(&mut self, look: &Look, say: &mut dyn FnMut(StatePlace)) {
        match look {
            Look::Defaults => self.list_defaults(say),
            Look::Kept(root, id) => {
                // First, because a root may hold more than are listed.
                self.read(root, id).into_iter().for_each(&mut *say);
                self.list(root, Some(id), say);
            }
            Look::ToBe(root, id, bundle) => {
                self.to_be_made(root, id, bundle).into_iter().for_each(say);
            }
        }
    }

    fn list_defaults(&mut self, say: &mut dyn FnMut(StatePlace)) {
        let mut roots = state::ROOTS.map(str::to_owned).to_vec();
        for engine in state::NAMESPACED {
            let namespaces = self.names(engine).take(ROOTS_MAX);
            roots.extend(namespaces.map(|namespace| format!("{engine}/{namespace}")));
        }
        roots.iter().for_each(|root| self.list(root, None, say));
    }

    /// Says where each of a root's containers is but for one that was just read, if the
    /// root was not listed before. Where there are too many, the others are read as
    /// they are asked for.
    fn list(&mut self, root: &str, but: Option<&str>, say: &mut dyn FnMut(StatePlace)) {
        if self.listed.contains(root) {
            return;
        }
        if self.listed.len() >= ROOTS_MAX {
            self.listed.clear();
        }
        self.listed.insert(root.to_owned());
        let ids = state::directories(root).flat_map(|path| self.names(path));
        let ids: BTreeSet<String> = ids.take(LISTED_MAX).collect();
        let ids = ids.iter().filter(|id| but != Some(id.as_str()));
        ids.filter_map(|id| self.read(root, id)).for_each(say);
    }

    /// Where a container is. With one of that id in two directories nobody knows which
    /// is meant.
    fn read(&self, root: &str, id: &str) -> Option<StatePlace> {
        // Before the file is: what is seen to happen meanwhile is newer.
        let read_ns = monotonic_ns();
        let paths = state::directories(root);
        let mut found = paths.filter_map(|path| self.cgroups(path, id));
        let cgroups = found.next()?;
        let (root, id) = (root.to_owned(), id.to_owned());
        let only = found.next().is_none();
        only.then_some(StatePlace {
            root,
            id,
            cgroups,
            read_ns,
        })
    }

    /// Where a container would be that is made of this bundle.
    fn to_be_made(&self, root: &str, id: &str, bundle: &str) -> Option<StatePlace> {
        let read_ns = monotonic_ns();
        let config = roots_file(&self.directory(bundle)?, "config.json")?;
        let cgroups = state::of_bundle(&config, &self.mounts)?;
        let (root, id) = (root.to_owned(), id.to_owned());
        Some(StatePlace {
            root,
            id,
            cgroups,
            read_ns,
        })
    }

    fn cgroups(&self, path: &str, id: &str) -> Option<Vec<String>> {
        let (container, _) = roots_own(&self.directory(path)?, id)?;
        Format::ALL.into_iter().find_map(|format| {
            let bytes = roots_file(&container, format.file())?;
            format.cgroups(&bytes, id, &self.mounts)
        })
    }

    /// Names of the directories in one that could be ids, or namespaces, which follow the
    /// same rule.
    fn names(&self, path: &str) -> impl Iterator<Item = String> + use<> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let place = self.directory(path);
        let open = |place: File| openat(&place, ".", flags, Mode::empty()).ok();
        let entries = place.and_then(open).and_then(|fd| Dir::new(fd).ok());
        let entries = entries.into_iter().flatten().map_while(Result::ok);
        entries.filter_map(|entry| {
            let kind = entry.file_type();
            let name = entry.file_name().to_str().ok()?;
            let may_be = matches!(kind, FileType::Directory | FileType::Unknown);
            (may_be && engine::is_id(name)).then(|| name.to_owned())
        })
    }

    fn directory(&self, path: &str) -> Option<File> {
        let mut names = path.split('/').filter(|name| !name.is_empty());
        let start = self.host_root.try_clone().ok()?;
        names.try_fold(start, |above, name| Some(roots_own(&above, name)?.0))
    }
}

/// What has a name in a directory, if it is root's alone. It is not opened: to open a
/// device, or a pipe, is to do something to it.
fn roots_own(above: &File, name: &str) -> Option<(File, Metadata)> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let place = File::from(openat2(above, name, flags, Mode::empty(), resolve).ok()?);
    let meta = place.metadata().ok()?;
    // A sticky bit keeps others from what is there, not from adding what is not. What an
    // ACL allows shows in the group's bits.
    let (group, others) = (0o020, 0o002);
    let alone = meta.uid() == 0 && meta.mode() & (group | others) == 0;
    alone.then_some((place, meta))
}

fn roots_file(directory: &File, name: &str) -> Option<Vec<u8>> {
    let (place, meta) = roots_own(directory, name)?;
    contents(&place, &meta, FILE_MAX_BYTES)
}

#[cfg(test)]
mod tests;
