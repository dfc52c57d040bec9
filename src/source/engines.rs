//! Names of containers from what their engines keep on disk, looked up as the
//! container is met: a moment later it may be gone. No daemon is asked, and where
//! nothing can be read there is no name.
//!
//! Paths come from command lines too. Only those of root, outside of any container, are
//! followed, and not through /proc to where another mount namespace begins: its owner
//! would choose what is read, and how long that takes. An id never leads out of its
//! directory, and only plain files of a bounded size are read. Another process reads them:
//! any of them may be where a read hangs.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};

use super::hosts::Hosts;
use super::plain_file::contents;
use super::readers::{Answer, Heard, Question, Readers};
use super::{Batch, ContainerName};
use crate::container;
use crate::engine;
use crate::event::Image;
use crate::runtime;
use crate::wire::{self, Record, Records, Spare};

/// Containers that are remembered as met; then all are looked up once more. Of names,
/// twice as many are kept.
const MET_MAX: usize = crate::names::NAMES_MAX / 2;
/// Names in stores' lists that are kept, and lists.
const STORED_MAX: usize = 65_536;
const STORES_MAX: usize = 64;
/// A longer description of one container is none of an engine's, nor is a longer list.
const CONFIG_MAX_BYTES: u64 = 1 << 20;
const LIST_MAX_BYTES: u64 = 8 << 20;

/// Where containerd keeps the bundles of what runs, a directory for each namespace.
const CONTAINERD: &str = "run/containerd/io.containerd.runtime.v2.task";
/// Where dockerd keeps its containers.
const DOCKER: &str = "var/lib/docker/containers";
/// Where podman and CRI-O keep theirs, in `DRIVER-containers`.
const STORAGE: &str = "var/lib/containers/storage";
/// The lists of such a store: what lasts, and what `--rm` made.
const LISTS: [&str; 2] = ["containers.json", "volatile-containers.json"];

/// How far a container's name was looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Met {
    /// By its id.
    Id,
    /// In its bundle too, or it was found.
    Done,
}

/// A store's list, as it was when its file last changed.
#[derive(Debug)]
struct Store {
    stamp: (i64, i64, u64, u64),
    names: HashMap<String, String>,
}

/// It could not be read in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Late;

/// Looks up what a container is called, by its id and perhaps its bundle.
pub type LookUp = Box<dyn FnMut(&str, Option<&Path>) -> Result<Option<String>, Late>>;

/// Has readers look it up.
pub fn by(mut readers: Readers) -> LookUp {
    Box::new(move |id, bundle| {
        let bundle = bundle.map(|path| path.as_os_str().as_bytes());
        let bytes = serde_json::to_vec(&(id, bundle)).map_err(|_| Late)?;
        let about = bundle.unwrap_or_default().to_vec();
        let mut found = Err(Late);
        let mut name = None;
        readers.ask(&[Question { about, bytes }], &mut |_, heard| match heard {
            Heard::Piece(bytes) => name = String::from_utf8(bytes).ok(),
            Heard::All => found = Ok(name.take()),
            Heard::GivenUp => {}
        });
        found
    })
}

/// What a reader does on this host.
pub fn answer() -> Answer {
    let mut disk = Disk::new(Path::new("/"));
    Box::new(move |question, say| {
        if let Ok((id, bundle)) = serde_json::from_slice::<(String, Option<Vec<u8>>)>(question) {
            let bundle = bundle.map(|path| PathBuf::from(OsString::from_vec(path)));
            if let Some(name) = disk.look_up(&id, bundle.as_deref()) {
                say(name.as_bytes());
            }
        }
    })
}

/// The engines of this host.
pub struct Engines {
    look_up: LookUp,
    met: HashMap<String, Met>,
    unread: u64,
}

impl Engines {
    /// As far as this finds their containers.
    pub fn new(look_up: LookUp) -> Engines {
        Engines {
            look_up,
            met: HashMap::new(),
            unread: 0,
        }
    }

    /// Containers whose name could not be read in time.
    pub fn unread(&self) -> u64 {
        self.unread
    }

    /// Adds the names of the containers that a batch meets for the first time. It reads
    /// the records once more than the pipeline does: only where names are shown. A name
    /// of a cgroup may come after what ran in it, from another CPU.
    pub fn name_all(&mut self, batch: &mut Batch, hosts: &Hosts) {
        for cgroup in wire::cgroups(&batch.bytes) {
            let place = container::place(cgroup.path.as_bytes());
            batch
                .names
                .extend(place.container.and_then(|id| self.meet(&id, None)));
        }
        for record in Records::new(&batch.bytes, &mut Spare::default()) {
            if let Ok(Record::Event(event)) = record
                && let Some(image) = event.image()
            {
                batch.names.extend(self.called(image, hosts));
            }
        }
    }

    /// The container that a runtime's command line is about.
    fn called(&mut self, image: &Image, hosts: &Hosts) -> Option<ContainerName> {
        let argv = &image.argv;
        let called = runtime::parse(argv.args(), !argv.whole(), image.comm())?;
        let trusted = image.uid == 0 && hosts.holds(image.cgroup_id) == Some(true);
        let bundle = called.bundle.filter(|_| trusted);
        let bundle = bundle.map(|path| Path::new(std::ffi::OsStr::from_bytes(path)));
        self.meet(str::from_utf8(called.container?).ok()?, bundle)
    }

    /// Looks a container up when it is met, and once more when its bundle is given: what
    /// command lines say makes no work beyond that, and renames nothing.
    fn meet(&mut self, id: &str, bundle: Option<&Path>) -> Option<ContainerName> {
        let now = bundle.map_or(Met::Id, |_| Met::Done);
        let before = self.met.get(id).copied();
        if !engine::is_id(id) || before >= Some(now) {
            return None;
        }
        if self.met.len() >= MET_MAX {
            self.met.clear();
        }
        let found = (self.look_up)(id, bundle);
        self.unread += u64::from(found.is_err());
        let name = found.unwrap_or_default();
        let met = if name.is_some() { Met::Done } else { now };
        self.met.insert(id.to_owned(), met);
        let id = id.to_owned();
        name.map(|name| ContainerName { id, name })
    }
}

/// What engines keep below a root directory.
#[derive(Debug)]
struct Disk {
    root: PathBuf,
    stores: HashMap<PathBuf, Store>,
}

impl Disk {
    fn new(root: &Path) -> Disk {
        Disk {
            root: root.to_owned(),
            stores: HashMap::new(),
        }
    }

    fn look_up(&mut self, id: &str, bundle: Option<&Path>) -> Option<String> {
        let given = bundle.filter(|path| path.is_absolute());
        given
            .and_then(|path| self.in_bundle(path, id))
            .or_else(|| self.in_containerd(id))
            .or_else(|| in_docker(&self.root.join(DOCKER).join(id)))
            .or_else(|| {
                let stores = directories(&self.root.join(STORAGE));
                let mut stores = stores.filter(|path| is_store(path));
                stores.find_map(|path| self.in_store(&path, id))
            })
    }

    fn in_containerd(&mut self, id: &str) -> Option<String> {
        let mut namespaces = directories(&self.root.join(CONTAINERD));
        namespaces.find_map(|namespace| self.in_bundle(&namespace.join(id), id))
    }

    fn in_bundle(&mut self, path: &Path, id: &str) -> Option<String> {
        let config = read(&path.join("config.json"), CONFIG_MAX_BYTES).unwrap_or_default();
        let bundle = engine::of_bundle(&config, id);
        bundle
            .name
            .or_else(|| in_docker(&bundle.docker?))
            // DRIVER-containers/ID/userdata
            .or_else(|| {
                let store = path.parent()?.parent()?;
                is_store(store).then(|| self.in_store(store, id))?
            })
    }

    /// The list is read again only when it has changed.
    fn in_store(&mut self, store: &Path, id: &str) -> Option<String> {
        LISTS.iter().find_map(|list| {
            let path = store.join(list);
            let (place, meta) = plain_file(&path)?;
            let stamp = (meta.mtime(), meta.mtime_nsec(), meta.ino(), meta.len());
            let known = self.stores.get(&path);
            if known.is_none_or(|known| known.stamp != stamp) {
                let mut names = engine::of_store(&contents(&place, &meta, LIST_MAX_BYTES)?);
                if names.len() >= STORED_MAX {
                    // No engine's.
                    names = HashMap::new();
                }
                let kept: usize = self.stores.values().map(|s| s.names.len()).sum();
                if kept + names.len() >= STORED_MAX || self.stores.len() >= STORES_MAX {
                    self.stores.clear();
                }
                self.stores.insert(path.clone(), Store { stamp, names });
            }
            self.stores.get(&path)?.names.get(id).cloned()
        })
    }
}

fn in_docker(directory: &Path) -> Option<String> {
    engine::of_docker(&read(&directory.join("config.v2.json"), CONFIG_MAX_BYTES)?)
}

fn is_store(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    name.as_bytes().ends_with(b"-containers")
}

fn directories(path: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let directory = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    entries.filter(directory).map(|entry| entry.path())
}

fn read(path: &Path, max_bytes: u64) -> Option<Vec<u8>> {
    let (place, meta) = plain_file(path)?;
    contents(&place, &meta, max_bytes)
}

/// Where a plain file is. It is opened when that is known: to open a device, or a pipe,
/// is to do something to it.
fn plain_file(path: &Path) -> Option<(File, Metadata)> {
    let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let place = openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_MAGICLINKS).ok()?;
    let place = File::from(place);
    let meta = place.metadata().ok()?;
    meta.is_file().then_some((place, meta))
}

#[cfg(test)]
mod tests;
