//! A quick hash for keys that the kernel numbers: SipHash was an eighth of what an
//! execution costs. Whoever makes a recording can choose the numbers in it, so each run
//! begins with a seed of its own: nobody knows which keys make a table slow.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::LazyLock;

/// A map whose keys are numbers of the kernel's.
pub type QuickMap<K, V> = HashMap<K, V, QuickBuild>;

static SEED: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(()));

/// Makes the hash of such a map.
#[derive(Debug, Clone, Copy)]
pub struct QuickBuild(u64);

impl Default for QuickBuild {
    fn default() -> Self {
        QuickBuild(*SEED)
    }
}

impl BuildHasher for QuickBuild {
    type Hasher = Quick;

    fn build_hasher(&self) -> Quick {
        Quick(self.0)
    }
}

/// Multiplies and folds, word by word.
#[derive(Debug)]
pub struct Quick(u64);

impl Quick {
    fn add(&mut self, word: u64) {
        // The golden ratio; both halves of the product are mixed.
        let product = u128::from(self.0 ^ word) * 0x9e37_79b9_7f4a_7c15;
        self.0 = (product as u64) ^ ((product >> 64) as u64);
    }
}

impl Hasher for Quick {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.add(u64::from(*byte));
        }
    }

    fn write_u32(&mut self, word: u32) {
        self.add(u64::from(word) | 1 << 40);
    }

    fn write_u64(&mut self, word: u64) {
        self.add(word);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::ProcessId;
    use std::collections::HashSet;

    const WITHOUT_SEED: QuickBuild = QuickBuild(0);

    /// Such that all have the same hash with that seed.
    fn chosen(build: QuickBuild, tgid: u32) -> ProcessId {
        let mut hasher = build.build_hasher();
        hasher.write_u32(tgid);
        let start_ns = hasher.finish() ^ 4711;
        ProcessId { tgid, start_ns }
    }

    #[test]
    fn chosen_keys_do_not_meet() {
        let build = QuickBuild::default();
        let keys = |build| (1..1009).map(move |tgid| chosen(build, tgid));
        let hashes = |known, build: QuickBuild| {
            let hashes: HashSet<u64> = keys(known).map(|key| build.hash_one(key)).collect();
            hashes.len()
        };
        assert_eq!(hashes(WITHOUT_SEED, WITHOUT_SEED), 1);
        assert_eq!(hashes(WITHOUT_SEED, build), 1008);
        assert_eq!(
            hashes(build, build),
            1,
            "whoever knows the seed could choose them"
        );
    }
}
