//! The look at all processes: runs the kernel side's iterator and reads what it lists.

use std::collections::HashMap;
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

/// Names of cgroups, as records for the pipeline, by the cgroups' ids.
#[derive(Debug, Default)]
pub struct CgroupNames(HashMap<u64, Vec<u8>>);

impl CgroupNames {
    /// Appends the record of a cgroup, if that was not done before.
    pub fn append(&mut self, cgroup_id: u64, out: &mut Vec<u8>) {
        if let Some(mut record) = self.0.remove(&cgroup_id) {
            out.append(&mut record);
        }
    }

    /// The record of a cgroup.
    pub fn get(&self, cgroup_id: u64) -> Option<&[u8]> {
        self.0.get(&cgroup_id).map(Vec::as_slice)
    }
}

/// Lists all processes, kernel threads apart.
///
/// # Errors
/// The iterator cannot be run.
pub fn list(link: &Link) -> Result<Vec<Listed>> {
    list_named(link, &mut CgroupNames::default())
}

/// The same; adds the names of cgroups that were not listed before. There are none after the
/// scan.
///
/// # Errors
/// As of [`list`].
pub fn list_named(link: &Link, names: &mut CgroupNames) -> Result<Vec<Listed>> {
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
    let mut listed = Vec::new();
    for written in wire::whole(&bytes) {
        let mut record = xl_exec::default();
        if let Some(id) = wire::named_cgroup(written) {
            names.0.insert(id, written.to_vec());
        } else if wire::copy_exec(&mut record, written) {
            listed.push(Listed { record });
        }
    }
    Ok(listed)
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
