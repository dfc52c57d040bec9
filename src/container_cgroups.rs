//! Which cgroup the container is in that a runtime's execution is about. A runtime runs
//! in its caller's cgroup, not in the container's; whoever asks for a container means
//! what is done to it as well.
//!
//! The evidence, the best first: where the kernel saw the runtime put a process; what the
//! runtime keeps on disk of the container with that id; a cgroup that bears the id. An id
//! alone is a claim: it is believed of root outside of any container. Pure.

mod paths;

use std::borrow::Cow;
use std::hash::RandomState;

use crate::cgroup::{Cgroup, Mount, below};
use crate::container;
use crate::event::{Found, Image, Place};
use crate::names::{Names, Newest};
use crate::pair::{Placed, Subject};
use crate::runtime;
use crate::source::About;
use crate::state::{self, Format, StatePlace};
use paths::{Marked, Trees};

/// A runtime's file has been asked for again after this time.
pub const ASKED_AGAIN_NS: u64 = 1_000_000_000;
/// Ids that are known at most, the newest half of that at least.
pub const IDS_MAX: usize = 32_768;
/// Containers with one id that are kept apart, and cgroups that bear it.
const SAME_ID_MAX: usize = 16;

/// What is known of the container that an execution is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Its cgroup.
    Found(Found),
    /// Nothing so far; more may be on its way.
    NotYet,
    /// It is about no container.
    NoContainer,
    /// Nothing is known of the container that it is about.
    Unknown,
    /// It names a container, and whoever ran it is not believed.
    Unbelieved,
}

/// Where a runtime's container is. Times are `CLOCK_MONOTONIC` nanoseconds.
#[derive(Debug, Clone)]
struct Bound {
    root: String,
    /// None: the runtime has none of that id, as far as can be read.
    found: Option<Found>,
    /// Since when that is known.
    since_ns: u64,
    /// When the kernel last saw the runtime put one of this id somewhere.
    seen_ns: u64,
    /// When anything was last heard of it.
    heard_ns: u64,
}

/// Where something is heard from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Kernel,
    File,
}

/// All that has the same id.
#[derive(Debug, Clone, Default)]
struct Namesakes {
    /// By the directory where the runtime keeps its containers.
    by_root: Vec<Bound>,
    /// Cgroups that bear the id.
    cgroups: Vec<Found>,
}

impl Namesakes {
    fn of(&self, root: Option<&str>) -> Option<&Bound> {
        let mut bound = self.by_root.iter();
        bound.find(|bound| Some(bound.root.as_str()) == root)
    }
}

/// What is known of containers' cgroups.
#[derive(Debug, Default)]
pub struct ContainerCgroups {
    /// Where the hierarchy that is shown was mounted.
    mount: Mount,
    /// Directories that were asked for, absolute.
    asked: Trees,
    ids: Newest<String, Namesakes, RandomState, IDS_MAX>,
    /// Any id is bound to a place.
    has_bound: bool,
    /// Paths of containers, whatever they are called: who is there is no voice of the host.
    taken: Marked,
}

impl ContainerCgroups {
    /// Of one source.
    pub fn new(about: &About) -> ContainerCgroups {
        ContainerCgroups {
            mount: about.mount(),
            asked: Trees::new(&about.cgroups),
            ids: Newest::default(),
            has_bound: false,
            taken: Marked::default(),
        }
    }

    /// Takes what a runtime keeps of one of its containers.
    pub fn add_state(&mut self, state: StatePlace) {
        let found = state
            .cgroups
            .iter()
            .map(|directory| self.found_in(directory));
        let found = found.reduce(|one, other| Found {
            path: one.path.or(other.path),
            inside: one.inside || other.inside,
        });
        // One that is below no mount that we know may be anywhere.
        let found = found.filter(|found| found.path.is_some() || found.inside);
        self.take(found.as_ref(), "/");
        self.bind(state.root, state.id, found, state.read_ns, By::File);
    }

    /// Takes a cgroup by its path in the hierarchy that is shown.
    pub fn add_cgroup(&mut self, path: &str) {
        if let Some(directory) = self.mount.directory(path) {
            self.add_directory(&directory);
        } else if let Some((id, cgroup)) = borne_by(path) {
            // It is not seen where the hierarchy is mounted, so it was not asked for.
            let path = Some(cgroup.to_owned());
            let inside = false;
            self.add_bearer(&id, Found { path, inside });
        }
    }

    /// Takes a cgroup by its directory.
    pub fn add_directory(&mut self, directory: &str) {
        if let Some((id, cgroup)) = borne_by(directory) {
            let found = self.found_in(cgroup);
            self.add_bearer(&id, found);
        }
    }

    fn add_bearer(&mut self, id: &str, found: Found) {
        self.change(id, |same| {
            if !same.cgroups.contains(&found) {
                same.cgroups.push(found);
            }
        });
    }

    /// Takes where the kernel saw a runtime put a process.
    pub fn add_place(&mut self, placed: &Placed, names: &Names) {
        let image = &placed.image;
        if !self.is_believed(image, names) {
            return;
        }
        if let Some(Called {
            root: Some(root),
            id,
            ..
        }) = called(image)
        {
            let found = found(placed.place, names);
            let caller = whole_path(image.cgroup_id, names);
            self.take(Some(&found), caller.unwrap_or("/"));
            self.bind(root, id, Some(found), placed.at_ns, By::Kernel);
        }
    }

    /// Notes that a container is there, unless its caller is as well.
    fn take(&mut self, found: Option<&Found>, caller: &str) {
        let path = found.and_then(|found| found.path.as_deref());
        if let Some(path) = path.filter(|path| below(caller, path).is_none()) {
            self.taken.add(path);
        }
    }

    fn bind(&mut self, root: String, id: String, found: Option<Found>, at_ns: u64, by: By) {
        self.has_bound |= found.is_some();
        self.change(&id, |same| {
            let at = same.by_root.iter().position(|bound| bound.root == root);
            let at = at.unwrap_or_else(|| {
                same.by_root.push(Bound {
                    root,
                    found: None,
                    since_ns: 0,
                    seen_ns: 0,
                    heard_ns: 0,
                });
                same.by_root.len() - 1
            });
            let bound = &mut same.by_root[at];
            bound.heard_ns = bound.heard_ns.max(at_ns);
            if by == By::Kernel {
                bound.seen_ns = bound.seen_ns.max(at_ns);
            }
            // A file that is gone says nothing against what was seen, nor does one that was
            // read before.
            if found.is_some() && bound.since_ns <= at_ns {
                (bound.found, bound.since_ns) = (found, at_ns);
            }
        });
    }

    /// Where the container is that a runtime is given the id of, by what is known of ids
    /// now; None where nothing is, or what was seen of the runtime is better.
    pub fn now(&self, subject: Subject<'_>, names: &Names) -> Option<Found> {
        if !self.has_bound || subject.place.is_some() {
            return None;
        }
        let Called { root, id, .. } = called(subject.image)?;
        let bound = self.ids.get(&id)?.of(root.as_deref())?;
        let found = bound.found.as_ref()?;
        // Where the end was given up as lost, the id may be another one's by now.
        let made_anew = subject.ended_ns.is_some_and(|ns| bound.seen_ns > ns);
        (!made_anew && self.is_believed(subject.image, names)).then(|| found.clone())
    }

    fn change(&mut self, id: &str, change: impl FnOnce(&mut Namesakes)) {
        let same = self.ids.get_or_default(id);
        change(same);
        if same.by_root.len() > SAME_ID_MAX {
            same.by_root.remove(0);
        }
        if same.cgroups.len() > SAME_ID_MAX {
            same.cgroups.remove(0);
        }
    }

    /// The cgroup of the container that an execution is about; `waits`: more may come.
    pub fn of(&self, subject: Subject<'_>, names: &Names, waits: bool) -> Answer {
        let image = subject.image;
        if let Some(place) = subject.place
            && runtime::name_of(&image.argv, image.comm()).is_some()
        {
            return Answer::Found(found(place, names));
        }
        let Some(Called { root, id, is_kept }) = called(image) else {
            return Answer::NoContainer;
        };
        let not_yet = match waits {
            true => Answer::NotYet,
            false => Answer::Unknown,
        };
        // The name of its cgroup may come from another CPU, and later.
        if image.uid == 0 && names.cgroup(image.cgroup_id).is_none() {
            return not_yet;
        }
        if !self.is_believed(image, names) {
            return Answer::Unbelieved;
        }
        let Some(same) = self.ids.get(&id) else {
            return not_yet;
        };
        let Some(bound) = same.of(root.as_deref()) else {
            return match waits && is_kept && root.is_some() {
                true => Answer::NotYet,
                false => self.bearer(same).map_or(not_yet, Answer::Found),
            };
        };
        let made_anew = subject
            .ended_ns
            .is_some_and(|ended_ns| bound.seen_ns > ended_ns);
        match (subject.container, &bound.found) {
            // Another one has that id by now.
            (Some(found), _) if made_anew => Answer::Found(found.clone()),
            // It was asked for when this began.
            _ if waits
                && is_kept
                && bound.heard_ns.saturating_add(ASKED_AGAIN_NS) < subject.start_ns =>
            {
                Answer::NotYet
            }
            (_, Some(found)) => Answer::Found(found.clone()),
            (_, None) => self.bearer(same).map_or(not_yet, Answer::Found),
        }
    }

    /// Of root, outside of any container: of those that engines' names tell, and of those
    /// that runtimes were seen to make.
    fn is_believed(&self, image: &Image, names: &Names) -> bool {
        let cgroup = names.cgroup(image.cgroup_id);
        let is_hosts = cgroup.is_some_and(|cgroup| cgroup.is_hosts());
        let in_one = || cgroup.is_some_and(|cgroup| self.taken.is_above(&cgroup.path));
        image.uid == 0 && is_hosts && !in_one()
    }

    /// The cgroup that bears an id and is not that of another runtime's container. Several
    /// are believed only in what they have in common.
    fn bearer(&self, same: &Namesakes) -> Option<Found> {
        let owned = |bearer: &Found| {
            let mut owners = same.by_root.iter().filter_map(|bound| bound.found.as_ref());
            owners.any(|found| bearer.path.is_some() && found.path == bearer.path)
        };
        let mut free = same.cgroups.iter().filter(|bearer| !owned(bearer));
        let mut common = free.next()?.clone();
        for other in free {
            if other.inside != common.inside {
                return None;
            }
            if other.path != common.path {
                common.path = None;
            }
        }
        Some(common)
    }

    /// Paths of the cgroups that are known.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        let known = self.ids.values().flat_map(|same| {
            let bound = same.by_root.iter().filter_map(|bound| bound.found.as_ref());
            same.cgroups.iter().chain(bound)
        });
        known.filter_map(|found| found.path.as_deref())
    }

    fn found_in(&self, directory: &str) -> Found {
        Found {
            path: self.mount.path(directory),
            inside: self.is_inside(directory),
        }
    }

    fn is_inside(&self, directory: &str) -> bool {
        self.asked.hold(directory)
    }
}

fn found(place: Place, names: &Names) -> Found {
    Found {
        path: whole_path(place.cgroup_id, names).map(str::to_owned),
        inside: place.inside,
    }
}

fn whole_path(cgroup_id: u64, names: &Names) -> Option<&str> {
    names.cgroup(cgroup_id).and_then(Cgroup::whole_path)
}

/// The id that a cgroup bears, and that cgroup's own path or directory. What is below a
/// container's is not another's, though who is in there may call it so.
fn borne_by(at: &str) -> Option<(Cow<'_, str>, &str)> {
    let place = container::place(at.as_bytes());
    match place.container {
        Some(id) => Some((id, str::from_utf8(place.cgroup).unwrap_or(at))),
        None => {
            let (_, name) = at.rsplit_once('/')?;
            (!name.is_empty()).then_some((name.into(), at))
        }
    }
}

/// What a command line says of the container.
struct Called {
    /// Where its runtime keeps it; None where the command line alone does not say.
    root: Option<String>,
    id: String,
    /// There may be a file that says where it is.
    is_kept: bool,
}

fn called(image: &Image) -> Option<Called> {
    let argv = &image.argv;
    let called = runtime::parse(argv.args(), !argv.whole(), image.comm())?;
    let id = str::from_utf8(called.container?).ok()?;
    Some(Called {
        root: state::root_of(called.runtime, called.root),
        id: id.to_owned(),
        is_kept: Format::is_kept_by(called.runtime) || called.bundle.is_some(),
    })
}

#[cfg(test)]
mod tests;
