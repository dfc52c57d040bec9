//! The kernel side's records, bytes in, events out. Pure: what comes from a
//! recording is not trusted, so every length is checked before it is used.

use std::mem::{offset_of, size_of};

use plain::Plain;

use crate::event::{Argv, Event, EventKind, Image, Place, ProcessId, Usage, WaitStatus};
pub use crate::skel::types::{
    xl_attach, xl_cgroup, xl_counters, xl_exec, xl_exit, xl_fork, xl_header, xl_left_out, xl_usage,
};
use crate::skel::types::{xl_cgroup_key, xl_flags, xl_kind, xl_limits, xl_wanted};

/// Version of the record layout; a recording holds it.
pub const VERSION: u32 = xl_limits::XL_WIRE_VERSION.0;
/// The most of an argv that a record can hold, bytes.
pub const ARGS_MAX_BYTES: u32 = xl_limits::XL_ARGS_MAX_BYTES.0;

/// The layout that recordings rely on; a change of it is a change of `VERSION`.
const _: () = {
    assert!(size_of::<xl_header>() == 32 && offset_of!(xl_header, start_ns) == 16);
    assert!(size_of::<xl_usage>() == 32);
    assert!(size_of::<xl_exec>() == 112 && offset_of!(xl_exec, comm) == 96);
    assert!(size_of::<xl_exit>() == 80 && offset_of!(xl_exit, status) == 72);
    assert!(size_of::<xl_fork>() == 56 && offset_of!(xl_fork, by_tgid) == 48);
    assert!(size_of::<xl_attach>() == 56 && offset_of!(xl_attach, by_tgid) == 48);
    assert!(size_of::<xl_cgroup>() == 48 && offset_of!(xl_cgroup, names) == 40);
    assert!(size_of::<xl_counters>() == 64 && size_of::<xl_left_out>() == 192);
    assert!(size_of::<xl_wanted>() == 24 && size_of::<xl_cgroup_key>() == 16);
};

// SAFETY: C structs of fixed-width integers and byte arrays, without padding
// (the sizes above are the sums of their fields): any bytes are a valid value.
#[allow(unsafe_code)]
mod plain_types {
    use super::*;

    // SAFETY: as above.
    unsafe impl Plain for xl_header {}
    // SAFETY: as above.
    unsafe impl Plain for xl_exec {}
    // SAFETY: as above.
    unsafe impl Plain for xl_exit {}
    // SAFETY: as above.
    unsafe impl Plain for xl_fork {}
    // SAFETY: as above.
    unsafe impl Plain for xl_attach {}
    // SAFETY: as above.
    unsafe impl Plain for xl_cgroup {}
    // SAFETY: as above.
    unsafe impl Plain for xl_wanted {}
    // SAFETY: as above.
    unsafe impl Plain for xl_cgroup_key {}

    /// The bytes of a struct that goes to the kernel side.
    pub fn as_bytes<T: Plain>(value: &T) -> &[u8] {
        // SAFETY: a `Plain` type of this file has no padding, so every byte is set.
        unsafe { plain::as_bytes(value) }
    }
}

pub use plain_types::as_bytes;

/// Fills a fixed record from bytes of its very length; false if they are not.
pub fn copy_exec(record: &mut xl_exec, bytes: &[u8]) -> bool {
    bytes.len() == size_of::<xl_exec>() && record.copy_from_bytes(bytes).is_ok()
}

/// A record that says something about a process, or about a cgroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A step in a process's life.
    Event(Event),
    /// The name of a cgroup that a matched process was in.
    Cgroup(CgroupName),
}

/// A cgroup's place in its hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CgroupName {
    /// Id in the hierarchy that is shown.
    pub id: u64,
    /// From the hierarchy's root, as `/proc/PID/cgroup` has it.
    pub path: String,
    /// Levels above, or a part of a name, are missing.
    pub truncated: bool,
}

/// Why bytes are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeError {
    /// The record claims a length that it cannot have.
    Length,
    /// No record of this kind is known.
    Kind(u16),
}

/// Images that nobody needs any more, to be filled anew: a steady stream of executions
/// allocates none.
#[derive(Debug, Default)]
#[allow(clippy::vec_box)] // as boxes they come and go
pub struct Spare(Vec<Box<Image>>);

/// Spare images that are kept; some twenty milliseconds of a storm.
const SPARE_MAX: usize = 1024;
/// One with room for more arguments is not: most are short.
const SPARE_ARGS_BYTES: usize = 512;

impl Spare {
    /// Takes back an image.
    pub fn give(&mut self, image: Box<Image>) {
        if self.0.len() < SPARE_MAX && image.argv.bytes.capacity() <= SPARE_ARGS_BYTES {
            self.0.push(image);
        }
    }
}

/// Splits a batch into records, each with its own length, and decodes them.
/// A wrong length ends the batch: what follows cannot be found.
pub struct Records<'a, 's> {
    rest: &'a [u8],
    spare: &'s mut Spare,
}

impl<'a, 's> Records<'a, 's> {
    /// The records of a batch; their images are taken from `spare` while there are any.
    pub fn new(batch: &'a [u8], spare: &'s mut Spare) -> Self {
        Records { rest: batch, spare }
    }
}

impl Iterator for Records<'_, '_> {
    type Item = Result<Record, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let Some(length) = record_length(self.rest) else {
            self.rest = &[];
            return Some(Err(DecodeError::Length));
        };
        let (record, rest) = self.rest.split_at(length);
        self.rest = rest;
        Some(decode(record, self.spare))
    }
}

/// The records of a batch, undecoded, up to a wrong length.
pub fn whole(batch: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = batch;
    std::iter::from_fn(move || {
        let (record, others) = rest.split_at(record_length(rest)?);
        rest = others;
        Some(record)
    })
}

/// The names of cgroups in a batch; what else is in it is not decoded.
pub fn cgroups(batch: &[u8]) -> impl Iterator<Item = CgroupName> {
    let kind = |record: &&[u8]| copy::<xl_header>(record).map(|header| header.kind);
    whole(batch)
        .filter(move |record| kind(record) == Ok(xl_kind::XL_CGROUP.0 as u16))
        .filter_map(|record| cgroup(record).ok())
}

/// The id of the cgroup that a record names, if it is such a record.
pub fn named_cgroup(record: &[u8]) -> Option<u64> {
    let named: xl_cgroup = copy(record).ok()?;
    (xl_kind(u32::from(named.header.kind)) == xl_kind::XL_CGROUP).then_some(named.cgroup_id)
}

/// The time of the latest record of a batch, 0 if there is none.
pub fn latest_ns(batch: &[u8]) -> u64 {
    let times = whole(batch).filter_map(|record| copy::<xl_header>(record).ok());
    times.map(|header| header.ts_ns).max().unwrap_or(0)
}

/// The images of a batch whose name may be that of a runtime, by `named`; what else is in
/// it is not decoded.
pub fn images<'a>(
    batch: &'a [u8],
    named: impl Fn(&[u8]) -> bool + 'a,
) -> impl Iterator<Item = Box<Image>> + 'a {
    whole(batch).filter_map(move |record| {
        let exec: xl_exec = copy(record).ok()?;
        let kind = xl_kind(u32::from(exec.header.kind));
        let in_exec = has(&exec.header, xl_flags::XL_F_TAKEN_MIDWAY);
        let is_image = kind == xl_kind::XL_RUNNING && !in_exec
            || kind == xl_kind::XL_EXEC && !has(&exec.header, xl_flags::XL_F_UNMATCHED);
        let wanted = is_image && named(&exec.comm);
        wanted.then(|| image(record, &mut Spare::default()).ok())?
    })
}

/// Drops the records that are later than `last_ns`.
pub fn retain_until(batch: &mut Vec<u8>, last_ns: u64) {
    let (mut from, mut to) = (0, 0);
    while let Some(length) = record_length(&batch[from..]) {
        let mut header = xl_header::default();
        let known = header.copy_from_bytes(&batch[from..]).is_ok();
        if known && header.ts_ns <= last_ns {
            batch.copy_within(from..from + length, to);
            to += length;
        }
        from += length;
    }
    // What is no record is left for the decoder to complain about.
    batch.drain(to..from);
}

/// The length that the record at the start of `bytes` has, if it is all there.
pub fn record_length(bytes: &[u8]) -> Option<usize> {
    let field = bytes.get(..4)?.try_into().ok()?;
    let length = u32::from_ne_bytes(field) as usize;
    (size_of::<xl_header>()..=bytes.len())
        .contains(&length)
        .then_some(length)
}

fn copy<T: Plain + Default>(record: &[u8]) -> Result<T, DecodeError> {
    let mut value = T::default();
    match value.copy_from_bytes(record) {
        Ok(()) => Ok(value),
        Err(_) => Err(DecodeError::Length),
    }
}

/// Decodes one record, given whole.
pub fn decode(record: &[u8], spare: &mut Spare) -> Result<Record, DecodeError> {
    let header: xl_header = copy(record)?;
    match xl_kind(u32::from(header.kind)) {
        xl_kind::XL_EXEC if has(&header, xl_flags::XL_F_UNMATCHED) => {
            let exec: xl_exec = copy(record)?;
            let kind = EventKind::Unmatched {
                usage: usage(&exec.usage),
                maxrss_pages: exec.maxrss_pages.into(),
                place: place(&header, exec.cgroup_id),
            };
            Ok(event(&header, kind))
        }
        xl_kind::XL_EXEC => Ok(event(&header, EventKind::Exec(image(record, spare)?))),
        xl_kind::XL_RUNNING if has(&header, xl_flags::XL_F_TAKEN_MIDWAY) => {
            Ok(event(&header, EventKind::InExec))
        }
        xl_kind::XL_RUNNING => Ok(event(&header, EventKind::Running(image(record, spare)?))),
        xl_kind::XL_EXIT => {
            let exit: xl_exit = copy(record)?;
            let kind = EventKind::Exit {
                matched: !has(&header, xl_flags::XL_F_UNMATCHED),
                status: WaitStatus(exit.status),
                usage: (!has(&header, xl_flags::XL_F_USAGE_UNKNOWN)).then(|| usage(&exit.usage)),
                maxrss_pages: exit.maxrss_pages,
            };
            Ok(event(&header, kind))
        }
        xl_kind::XL_FORK => {
            let fork: xl_fork = copy(record)?;
            let by = ProcessId {
                tgid: fork.by_tgid,
                start_ns: fork.by_start_ns,
            };
            let nth = fork.nth;
            let kind = EventKind::Fork {
                by,
                nth,
                place: place(&header, fork.cgroup_id),
                of_runtime: !has(&header, xl_flags::XL_F_DESCENT),
            };
            Ok(event(&header, kind))
        }
        xl_kind::XL_ATTACH => {
            let attach: xl_attach = copy(record)?;
            let by = ProcessId {
                tgid: attach.by_tgid,
                start_ns: attach.by_start_ns,
            };
            let place = Place {
                cgroup_id: attach.cgroup_id,
                inside: has(&header, xl_flags::XL_F_IN_CGROUP),
            };
            Ok(event(&header, EventKind::Attach { by, place }))
        }
        xl_kind::XL_CGROUP => Ok(Record::Cgroup(cgroup(record)?)),
        _ => Err(DecodeError::Kind(header.kind)),
    }
}

fn has(header: &xl_header, flag: xl_flags) -> bool {
    u32::from(header.flags) & flag.0 != 0
}

/// Where a process is found to be; None where the record does not say.
fn place(header: &xl_header, cgroup_id: u64) -> Option<Place> {
    let inside = has(header, xl_flags::XL_F_IN_CGROUP);
    (inside || cgroup_id != 0).then_some(Place { cgroup_id, inside })
}

fn event(header: &xl_header, kind: EventKind) -> Record {
    Record::Event(Event {
        process: ProcessId {
            tgid: header.tgid,
            start_ns: header.start_ns,
        },
        seq: header.seq,
        ts_ns: header.ts_ns,
        unseen_exec: has(header, xl_flags::XL_F_UNSEEN_EXEC),
        taken_midway: has(header, xl_flags::XL_F_TAKEN_MIDWAY),
        kind,
    })
}

fn usage(usage: &xl_usage) -> Usage {
    Usage {
        cpu_ns: usage.cpu_ns,
        major_faults: usage.major_faults,
        voluntary_switches: usage.voluntary_switches,
        involuntary_switches: usage.involuntary_switches,
    }
}

fn image(record: &[u8], spare: &mut Spare) -> Result<Box<Image>, DecodeError> {
    let exec: xl_exec = copy(record)?;
    // No kernel captures more, and much is done with each.
    if record.len() - size_of::<xl_exec>() > ARGS_MAX_BYTES as usize {
        return Err(DecodeError::Length);
    }
    let mut image = spare.0.pop().unwrap_or_default();
    let mut args = std::mem::take(&mut image.argv.bytes);
    args.clear();
    args.extend_from_slice(&record[size_of::<xl_exec>()..]);
    *image = Image {
        ppid: exec.ppid,
        uid: exec.uid,
        comm: exec.comm,
        argv: Argv {
            bytes: args,
            true_bytes: exec.args_bytes,
            fault: has(&exec.header, xl_flags::XL_F_ARGS_FAULT),
        },
        cgroup_id: exec.cgroup_id,
        elsewhere: has(&exec.header, xl_flags::XL_F_ELSEWHERE),
        in_cgroup: has(&exec.header, xl_flags::XL_F_IN_CGROUP),
        usage: usage(&exec.usage),
        maxrss_pages: exec.maxrss_pages.into(),
    };
    Ok(image)
}

/// The kernel hands over no longer path, nor does `/proc`; each row may show it.
const CGROUP_MAX_BYTES: usize = 2 * xl_limits::XL_CGROUP_PATH_BYTES.0 as usize;

/// Names come leaf first, each with its NUL.
fn cgroup(record: &[u8]) -> Result<CgroupName, DecodeError> {
    let fixed: xl_cgroup = copy(record)?;
    let names = &record[size_of::<xl_cgroup>()..];
    if names.len() > CGROUP_MAX_BYTES {
        return Err(DecodeError::Length);
    }
    let names = names.strip_suffix(b"\0").unwrap_or(names);
    let mut path = String::new();
    if fixed.truncated != 0 {
        path.push_str("/…");
    }
    for name in names.rsplit(|&b| b == 0).filter(|name| !name.is_empty()) {
        path.push('/');
        path.push_str(&String::from_utf8_lossy(name));
    }
    if path.is_empty() {
        path.push('/');
    }
    Ok(CgroupName {
        id: fixed.cgroup_id,
        path,
        truncated: fixed.truncated != 0,
    })
}

#[cfg(test)]
mod tests;
