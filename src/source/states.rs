//! Where containers are, from what their runtimes keep on disk ([`crate::state`]). The
//! files are read in a thread of its own, because a file system may take its time, or
//! hang (FUSE, NFS), and whoever reads the perf buffers must not wait.
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

use super::now::monotonic_ns;
use super::plain_file::contents;
use super::targets;
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
    /// Starts the thread, which first reads the roots that runtimes and engines use by
    /// default. `host_root` is `/`, but for tests; it is not checked itself.
    ///
    /// # Errors
    /// The directory cannot be opened, or the thread not be started.
    pub fn start(host_root: &Path) -> io::Result<States> {
        States::reading(host_root, || {
            // Without cgroups, those of crun and youki are nowhere.
            let hierarchies = targets::hierarchies().unwrap_or_default();
            let mounts = hierarchies.iter().filter_map(|one| one.mount.to_str());
            let mounts: BTreeSet<String> = mounts.map(str::to_owned).collect();
            mounts.into_iter().collect()
        })
    }

    fn reading(
        host_root: &Path,
        mounts: impl FnOnce() -> Vec<String> + Send + 'static,
    ) -> io::Result<States> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let host_root = openat(CWD, host_root, flags, Mode::empty())?;
        States::with(move |asks, said| {
            let reader = Reader {
                host_root: File::from(host_root),
                mounts: mounts(),
                listed: HashSet::new(),
            };
            // None: nobody listens any more.
            let _ = reader.answer_all(&asks, &said);
        })
    }

    /// The thread is never joined: it may hang, and the process must end all the same.
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

    /// What was asked in vain: requests that found the thread busy or stuck, or that a
    /// [`States::settle`] did not see answered.
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
            Said::Done(asked) => {
                self.outstanding = self.outstanding.saturating_sub(1);
                self.late = self.late.saturating_sub(1);
                if let Some(key) = asked
                    && matches!(self.known.get(&key), Some(Known::Asked))
                {
                    self.known.remove(&key);
                    let (root, id) = key;
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

    fn remember(&mut self, key: Key, known: Known) {
        if self.known.len() >= KNOWN_MAX {
            self.known.clear();
        }
        self.known.insert(key, known);
    }
}

/// What the thread has. A method that says what it finds ends with None when nobody
/// listens any more.
struct Reader {
    host_root: File,
    /// Where cgroup hierarchies are mounted.
    mounts: Vec<String>,
    listed: HashSet<String>,
}

impl Reader {
    fn answer_all(mut self, asks: &Receiver<Request>, said: &SyncSender<Said>) -> Option<()> {
        self.list_defaults(said)?;
        said.send(Said::Done(None)).ok()?;
        for Request { key, bundle } in asks {
            let (root, id) = key;
            // First, because a root may hold more than are listed.
            let to_be = || self.to_be_made(&root, &id, bundle.as_deref()?);
            if let Some(place) = self.read(&root, &id).or_else(to_be) {
                said.send(Said::Found(place)).ok()?;
            }
            self.list(&root, Some(&id), said)?;
            said.send(Said::Done(Some((root, id)))).ok()?;
        }
        Some(())
    }

    fn list_defaults(&mut self, said: &SyncSender<Said>) -> Option<()> {
        let mut roots = state::ROOTS.map(str::to_owned).to_vec();
        for engine in state::NAMESPACED {
            let namespaces = self.names(engine).take(ROOTS_MAX);
            roots.extend(namespaces.map(|namespace| format!("{engine}/{namespace}")));
        }
        roots
            .iter()
            .try_for_each(|root| self.list(root, None, said))
    }

    /// Says where each of a root's containers is but for one that was just read, if the
    /// root was not listed before. Where there are too many, the others are read as
    /// they are asked for.
    fn list(&mut self, root: &str, but: Option<&str>, said: &SyncSender<Said>) -> Option<()> {
        if self.listed.contains(root) {
            return Some(());
        }
        if self.listed.len() >= ROOTS_MAX {
            self.listed.clear();
        }
        self.listed.insert(root.to_owned());
        let ids = state::directories(root).flat_map(|path| self.names(path));
        let ids: BTreeSet<String> = ids.take(LISTED_MAX).collect();
        for id in ids.iter().filter(|id| but != Some(id.as_str())) {
            if let Some(place) = self.read(root, id) {
                said.send(Said::Found(place)).ok()?;
            }
        }
        Some(())
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
