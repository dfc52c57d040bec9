//! A quick hash for keys that the kernel numbers: nobody can choose them so as to
//! make a table slow, and SipHash was an eighth of what an execution costs.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map whose keys are numbers of the kernel's.
pub type QuickMap<K, V> = HashMap<K, V, QuickBuild>;
/// Makes the hash of such a map.
pub type QuickBuild = BuildHasherDefault<Quick>;

/// Multiplies and folds, word by word.
#[derive(Debug, Default)]
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
