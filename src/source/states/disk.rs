//! What a helper process does: looks on the disk for what runtimes keep of their
//! containers.
//!
//! Command lines say where to look. What is found there decides which executions are
//! shown, so only root's word counts: each directory on the way and the file itself must
//! be root's, and writable by nobody else. Symbolic links are not followed, and only
//! plain files of a bounded size are opened.

use std::collections::{BTreeSet, HashSet};
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{CWD, Dir, FileType, Mode, OFlags, ResolveFlags, openat, openat2};

use super::Look;
use crate::engine;
use crate::source::now::monotonic_ns;
use crate::source::plain_file::contents;
use crate::state::{self, Format, StatePlace};

/// Roots that are remembered as listed; then all are listed once more.
const ROOTS_MAX: usize = 1024;
/// Containers of one root that are read as it is listed.
pub(super) const LISTED_MAX: usize = 4096;
/// runc's state is 4 to 60 KB.
pub(super) const FILE_MAX_BYTES: u64 = 1 << 20;

/// The directories that containers are looked for in.
pub(super) struct Disk {
    host_root: File,
    /// Where cgroup hierarchies are mounted.
    mounts: Vec<String>,
    listed: HashSet<String>,
}

impl Disk {
    /// `host_root` is `/`, but for tests; it is not checked itself.
    pub(super) fn new(host_root: &Path, mounts: Vec<String>) -> io::Result<Disk> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let host_root = File::from(openat(CWD, host_root, flags, Mode::empty())?);
        let listed = HashSet::new();
        Ok(Disk {
            host_root,
            mounts,
            listed,
        })
    }

    pub(super) fn look(&mut self, look: &Look, say: &mut dyn FnMut(StatePlace)) {
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
