//! Names met on the way: of cgroups, by the ids that records have, and of containers,
//! by the ids that runtimes and cgroups have. A name is told once, before it is
//! needed, and kept: what it stands for may be gone by the time a row is made.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};

use crate::cgroup::Cgroup;
use crate::engine::NAME_MAX_BYTES;
use crate::event::Execution;
use crate::hash::QuickBuild;
use crate::label::Labels;
use crate::text::printable;
use crate::wire::CgroupName;

/// Names of either kind that are kept at most, the newest half of that at least. The
/// sources remember fewer, so what is forgotten here is told again.
pub const NAMES_MAX: usize = 65_536;

/// All names of one source.
#[derive(Debug, Default)]
pub struct Names {
    cgroups: Newest<u64, Cgroup, QuickBuild>,
    containers: Newest<String, String>,
}

impl Names {
    /// Takes a cgroup's path, as `/proc/PID/cgroup` has it.
    pub fn add_cgroup(&mut self, name: CgroupName) {
        let cgroup = Cgroup::new(name.path, name.truncated);
        self.cgroups.insert(name.id, cgroup);
    }

    /// Takes what an engine calls a container.
    pub fn add_container(&mut self, id: String, name: &str) {
        // A recording may hold anything.
        if name.len() > NAME_MAX_BYTES {
            return;
        }
        self.containers.insert(id, printable(name.as_bytes()));
    }

    /// The cgroup, if its name is known.
    pub fn cgroup(&self, id: u64) -> Option<&Cgroup> {
        self.cgroups.get(&id)
    }

    /// Paths of all cgroups that are known, where they are whole.
    pub fn cgroup_paths(&self) -> impl Iterator<Item = &str> {
        self.cgroups.values().filter_map(Cgroup::whole_path)
    }

    /// The container's name, if its engine told one.
    pub fn container(&self, id: &str) -> Option<&str> {
        self.containers.get(id).map(String::as_str)
    }

    /// What an execution is called.
    pub fn labels<'a>(&'a self, execution: &'a Execution) -> Labels<'a> {
        let mut labels = Labels::new(execution, self.cgroup(execution.image.cgroup_id));
        let id = labels.container.as_deref();
        labels.name = id.and_then(|id| self.container(id));
        labels
    }
}

/// A map that forgets what was told long ago: two halves, of which the older one goes.
#[derive(Debug)]
pub struct Newest<K, V, S = std::hash::RandomState, const MAX: usize = NAMES_MAX> {
    young: HashMap<K, V, S>,
    old: HashMap<K, V, S>,
}

impl<K, V, S: Default, const MAX: usize> Default for Newest<K, V, S, MAX> {
    fn default() -> Self {
        Newest {
            young: HashMap::default(),
            old: HashMap::default(),
        }
    }
}

impl<K: Eq + Hash, V, S: BuildHasher + Default, const MAX: usize> Newest<K, V, S, MAX> {
    /// Adds what is told, or tells it anew.
    pub fn insert(&mut self, key: K, value: V) {
        if self.young.len() >= MAX / 2 && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    /// What was told, to be changed; it counts as told anew.
    pub fn get_or_default<Q>(&mut self, key: &Q) -> &mut V
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
        V: Default,
    {
        if !self.young.contains_key(key) {
            let value = self.old.remove(key).unwrap_or_default();
            self.insert(key.to_owned(), value);
        }
        self.young.entry(key.to_owned()).or_default()
    }

    /// All that was told, if that is not forgotten; what was told anew may come twice.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.young.values().chain(self.old.values())
    }

    /// What was told, if that is not forgotten.
    pub fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.young.get(key).or_else(|| self.old.get(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded() {
        let mut names = Names::default();
        for id in 0..NAMES_MAX as u64 + 3 {
            for path in [format!("/{id}"), format!("/again/{id}")] {
                let truncated = false;
                names.add_cgroup(CgroupName {
                    id,
                    path,
                    truncated,
                });
            }
            names.add_container(id.to_string(), "web\x1b");
            assert!(names.cgroups.young.len() + names.cgroups.old.len() <= NAMES_MAX);
        }
        assert_eq!(names.cgroup(2), None);
        let newest_half = NAMES_MAX as u64 / 2 + 3;
        let kept = names.cgroup(newest_half).map(|cgroup| cgroup.path.clone());
        assert_eq!(kept, Some(format!("/again/{newest_half}")));
        assert_eq!(names.container("2"), None);
        assert_eq!(names.container(&newest_half.to_string()), Some("web\\x1b"));
        names.add_container("long".into(), &"x".repeat(NAME_MAX_BYTES + 1));
        assert_eq!(names.container("long"), None);
    }

    /// What is told again now and then, as sources do, is never forgotten.
    #[test]
    fn what_lasts_stays_named() {
        let mut names = Names::default();
        for id in 0..3 * NAMES_MAX as u64 {
            if id % (NAMES_MAX as u64 / 2) == 0 {
                names.add_container("lasting".into(), "web");
            }
            names.add_container(id.to_string(), "short");
            assert_eq!(names.container("lasting"), Some("web"), "{id}");
        }
    }
}
