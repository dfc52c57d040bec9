//! Paths, and whether another one is at or below one of them. A recording can hold many of
//! them, and long ones: neither is each compared, nor each part of a path read again.

use std::hash::{BuildHasher, Hasher as _, RandomState};

use super::IDS_MAX;
use crate::hash::QuickBuild;
use crate::names::Newest;

/// Directories with all that is below them.
#[derive(Debug, Default)]
pub(super) struct Trees {
    /// Each with a slash at its end, sorted; none is below another.
    tops: Vec<String>,
}

impl Trees {
    pub(super) fn new(directories: &[String]) -> Trees {
        let tops = directories.iter().map(|directory| closed(directory));
        let mut tops: Vec<String> = tops.collect();
        tops.sort_unstable();
        // One above others comes before them, and nothing else comes in between.
        tops.dedup_by(|below, above| below.starts_with(&*above));
        Trees { tops }
    }

    /// Whether the directory is one of them, or below.
    pub(super) fn hold(&self, directory: &str) -> bool {
        let directory = closed_as_it_is(directory);
        let after = self.tops.partition_point(|top| *top <= directory);
        let before = after.checked_sub(1).map(|at| &self.tops[at]);
        before.is_some_and(|top| directory.starts_with(top))
    }
}

/// However many slashes it ends with.
fn closed(directory: &str) -> String {
    closed_as_it_is(directory.trim_end_matches('/'))
}

fn closed_as_it_is(directory: &str) -> String {
    format!("{directory}/")
}

/// Paths that are marked, the newest of them.
#[derive(Debug, Default)]
pub(super) struct Marked {
    /// Their hashes: with a key that nobody knows, no two are the same.
    marks: Newest<u64, (), QuickBuild, IDS_MAX>,
    key: RandomState,
    any: bool,
}

impl Marked {
    pub(super) fn add(&mut self, path: &str) {
        let mut mark = None;
        self.each_part(path, |part| {
            mark = Some(part);
            false
        });
        if let Some(mark) = mark {
            self.marks.insert(mark, ());
            self.any = true;
        }
    }

    /// Whether it, or one above it, is marked; the root counts only as itself.
    pub(super) fn is_above(&self, path: &str) -> bool {
        self.any && self.each_part(path, |part| self.marks.get(&part).is_some())
    }

    /// Calls `found` with the hash of each path from the top to this one, until it is true.
    fn each_part(&self, path: &str, mut found: impl FnMut(u64) -> bool) -> bool {
        let mut hasher = self.key.build_hasher();
        path.strip_prefix('/')
            .unwrap_or(path)
            .split('/')
            .any(|name| {
                hasher.write(name.as_bytes());
                hasher.write_u8(b'/');
                found(hasher.clone().finish())
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::below;
    use proptest::prelude::*;

    fn path() -> impl Strategy<Value = String> {
        "(/[ab.-]{1,2}){0,4}/{0,2}"
    }

    proptest! {
        #[test]
        fn trees_hold_what_is_below_any(
            tops in proptest::collection::vec(path(), 0..6),
            directory in "(/[ab.-]{1,2}){0,5}",
        ) {
            let holds = tops.iter().any(|top| below(&directory, top).is_some());
            prop_assert_eq!(Trees::new(&tops).hold(&directory), holds, "{:?}", tops);
        }

        #[test]
        fn marks_are_above_what_is_below_any(
            paths in proptest::collection::vec("(/[ab]{1,2}){1,4}", 0..4),
            path in "(/[ab]{1,2}){1,5}",
        ) {
            let mut marked = Marked::default();
            paths.iter().for_each(|path| marked.add(path));
            let above = paths.iter().any(|above| below(&path, above).is_some());
            prop_assert_eq!(marked.is_above(&path), above, "{:?}", paths);
        }
    }

    #[test]
    fn the_root_is_above_nothing() {
        let mut marked = Marked::default();
        marked.add("/");
        assert!(marked.is_above("/"));
        assert!(!marked.is_above("/a"));
    }

    /// Each compared with each, or read again for each part, it would take hours.
    #[test]
    fn many_and_long_paths_cost_what_they_are_long() {
        let tops: Vec<String> = (0..100_003).map(|i| format!("/top/{i}")).collect();
        let trees = Trees::new(&tops);
        assert!((0..200_003).all(|i| trees.hold(&format!("/top/{i}/x")) == (i < 100_003)));
        let mut marked = Marked::default();
        marked.add("/no/such");
        let long = "/a".repeat(1_000_003);
        assert!((0..7).all(|_| !marked.is_above(&long)));
    }
}
