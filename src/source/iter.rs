//! The look at all processes: runs the kernel side's iterator and reads what it lists.

use std::io::{ErrorKind, Read as _};

use anyhow::{Context as _, Result};
use libbpf_rs::{Iter, Link};

use super::Alive;
use crate::event::ProcessId;
use crate::skel::types::xl_flags;
use crate::wire::{self, xl_exec};

/// Whoever asks for as much as the kernel's own buffer holds (32 KiB) makes it overflow,
/// and the process that was the last is shown to the program once more.
const READ_BYTES: usize = 8 << 10;

/// A process as the iterator lists it.
#[derive(Debug, Clone)]
pub struct Listed {
    /// The record, as it goes to userspace for a process that is adopted.
    pub record: xl_exec,
}

impl Listed {
    /// Whose.
    pub fn process(&self) -> ProcessId {
        ProcessId {
            tgid: self.record.header.tgid,
            start_ns: self.record.header.start_ns,
        }
    }

    /// Whether the kernel side has set a flag.
    pub fn has(&self, flag: xl_flags) -> bool {
        u32::from(self.record.header.flags) & flag.0 != 0
    }
}

/// Lists all processes, kernel threads apart.
///
/// # Errors
/// The iterator cannot be run.
pub fn list(link: &Link) -> Result<Vec<Listed>> {
    let mut iter = Iter::new(link).context("failed to start the iterator over processes")?;
    let (mut bytes, mut some) = (Vec::new(), [0; READ_BYTES]);
    loop {
        match iter.read(&mut some) {
            Ok(0) => break,
            Ok(n) => bytes.extend_from_slice(&some[..n]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error).context("failed to read the iterator over processes"),
        }
    }
    let listed = bytes.chunks(size_of::<xl_exec>()).filter_map(|chunk| {
        let mut record = xl_exec::default();
        wire::copy_exec(&mut record, chunk).then_some(Listed { record })
    });
    Ok(listed.collect())
}

/// Who lives, of those listed.
pub fn alive(listed: &[Listed], seen_ns: u64) -> Alive {
    let mut processes: Vec<ProcessId> = listed
        .iter()
        .filter(|process| !process.has(xl_flags::XL_F_DEAD))
        .map(Listed::process)
        .collect();
    processes.sort_unstable();
    Alive { seen_ns, processes }
}
