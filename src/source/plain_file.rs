//! Reads files that somebody else may have made: bounded, and only what is plain. To open
//! a device, or a pipe, is to do something to it, or to wait.

use std::fs::{File, Metadata};
use std::io::Read as _;
use std::os::fd::AsRawFd as _;

/// What a file holds, by a descriptor that does not open it (`O_PATH`); None if it is not
/// plain, or larger than this.
pub fn contents(place: &File, meta: &Metadata, max_bytes: u64) -> Option<Vec<u8>> {
    if !meta.is_file() || meta.len() > max_bytes {
        return None;
    }
    let file = File::open(format!("/proc/self/fd/{}", place.as_raw_fd())).ok()?;
    let mut bytes = Vec::new();
    file.take(max_bytes).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}
