//! The perf buffer. libbpf-rs offers one that wakes its reader for every record,
//! at 10 to 14 µs of the traced program's time each; this one goes through
//! libbpf's raw interface to ask for a watermark instead.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::ptr::{self, NonNull};

use libbpf_rs::MapMut;
use libbpf_sys::{perf_buffer, perf_event_header};

use crate::wire;

/// What the callback collects.
#[derive(Default)]
struct Collected {
    bytes: Vec<u8>,
    malformed: u64,
}

impl Collected {
    /// A record as perf lays it out: head, size of the payload, payload (padded).
    fn take(&mut self, record: &[u8]) {
        const HEAD_BYTES: usize = size_of::<perf_event_header>() + size_of::<u32>();
        let payload = record.get(HEAD_BYTES..).unwrap_or_default();
        match wire::record_length(payload) {
            Some(length) => self.bytes.extend_from_slice(&payload[..length]),
            None => self.malformed += 1,
        }
    }
}

/// One ring of pages per CPU.
pub struct PerfBuffer {
    raw: NonNull<perf_buffer>,
    /// From a box, freed on drop; the callback writes to it while `consume` runs.
    collected: NonNull<Collected>,
}

// SAFETY: libbpf keeps nothing that belongs to a thread, and who has the buffer is alone
// with it.
unsafe impl Send for PerfBuffer {}

impl PerfBuffer {
    /// Maps `pages` (a power of two) per CPU for the events of `map`; the reader is
    /// woken when a CPU has `watermark_bytes` waiting.
    ///
    /// # Errors
    /// The events cannot be opened or their pages cannot be mapped.
    pub fn new(map: &MapMut<'_>, pages: usize, watermark_bytes: u32) -> io::Result<PerfBuffer> {
        // SAFETY: zero is a valid value for every field of this C struct.
        let mut attr: libbpf_sys::perf_event_attr = unsafe { zeroed() };
        attr.type_ = libbpf_sys::PERF_TYPE_SOFTWARE;
        attr.size = size_of::<libbpf_sys::perf_event_attr>() as u32;
        attr.config = libbpf_sys::PERF_COUNT_SW_BPF_OUTPUT as u64;
        attr.sample_type = libbpf_sys::PERF_SAMPLE_RAW as u64;
        attr.__bindgen_anon_1.sample_period = 1;
        attr.set_watermark(1);
        attr.__bindgen_anon_2.wakeup_watermark = watermark_bytes;
        let collected = NonNull::from(Box::leak(Box::<Collected>::default()));
        // SAFETY: the map's descriptor is open, `attr` outlives the call, which copies
        // it, and `collected` lives as long as the buffer, at a fixed address.
        let raw = unsafe {
            libbpf_sys::perf_buffer__new_raw(
                map.as_fd().as_raw_fd(),
                pages as libbpf_sys::size_t,
                &raw mut attr,
                Some(on_record),
                collected.as_ptr().cast::<c_void>(),
                ptr::null(),
            )
        };
        match NonNull::new(raw) {
            Some(raw) => Ok(PerfBuffer { raw, collected }),
            None => {
                let error = io::Error::last_os_error();
                // SAFETY: leaked above, and libbpf has kept no pointer to it.
                drop(unsafe { Box::from_raw(collected.as_ptr()) });
                Err(error)
            }
        }
    }

    /// Becomes readable when a CPU's buffer has passed the watermark.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor belongs to the buffer, which outlives the borrow.
        unsafe { BorrowedFd::borrow_raw(libbpf_sys::perf_buffer__epoll_fd(self.raw.as_ptr())) }
    }

    /// Appends all records that wait to `out`; returns how many were malformed.
    ///
    /// # Errors
    /// The buffers cannot be read.
    pub fn consume(&mut self, out: &mut Vec<u8>) -> io::Result<u64> {
        // SAFETY: alive until drop, and nobody else touches it outside the call below.
        std::mem::swap(out, &mut unsafe { self.collected.as_mut() }.bytes);
        // SAFETY: the buffer is alive; the callback alone touches `collected` meanwhile.
        let result = unsafe { libbpf_sys::perf_buffer__consume(self.raw.as_ptr()) };
        // SAFETY: alive until drop, and nobody else touches it outside the call above.
        let collected = unsafe { self.collected.as_mut() };
        std::mem::swap(out, &mut collected.bytes);
        if result < 0 {
            return Err(io::Error::from_raw_os_error(-result));
        }
        Ok(std::mem::take(&mut collected.malformed))
    }
}

impl Drop for PerfBuffer {
    fn drop(&mut self) {
        // SAFETY: made by perf_buffer__new_raw, freed once, here.
        unsafe { libbpf_sys::perf_buffer__free(self.raw.as_ptr()) };
        // SAFETY: leaked in `new`, freed once, here, after its last user.
        drop(unsafe { Box::from_raw(self.collected.as_ptr()) });
    }
}

/// A LOST record is passed over: our own counters say the same, and in time.
unsafe extern "C" fn on_record(
    collected: *mut c_void,
    _cpu: c_int,
    header: *mut perf_event_header,
) -> libbpf_sys::bpf_perf_event_ret {
    // SAFETY: libbpf passes what `new` gave it, which lives as long as the buffer,
    // and calls this only from within `consume`, which does not touch it then.
    let collected = unsafe { &mut *collected.cast::<Collected>() };
    // SAFETY: libbpf passes a whole record; its header says how long it is.
    let record = unsafe {
        if (*header).type_ != libbpf_sys::PERF_RECORD_SAMPLE {
            return libbpf_sys::LIBBPF_PERF_EVENT_CONT;
        }
        std::slice::from_raw_parts(header.cast::<u8>(), usize::from((*header).size))
    };
    collected.take(record);
    libbpf_sys::LIBBPF_PERF_EVENT_CONT
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As perf has it: an 8-byte header, the payload's size, the payload.
    fn record(payload: &[u8]) -> Vec<u8> {
        [&[0; 12], payload].concat()
    }

    #[test]
    fn a_record_with_an_impossible_length_is_counted_and_not_kept() {
        let mut whole = vec![0; 40];
        whole[..4].copy_from_slice(&40u32.to_ne_bytes());
        let mut collected = Collected::default();
        collected.take(&record(&whole));
        // Its length is more than there is, less than a header, or not there at all.
        collected.take(&record(&whole[..36]));
        collected.take(&record(&[0; 40]));
        collected.take(&[0; 8]);
        assert_eq!(collected.bytes, whole);
        assert_eq!(collected.malformed, 3);
        // Padding is left behind.
        collected.take(&record(&[&whole[..], &[0; 4]].concat()));
        assert_eq!(collected.bytes.len(), 80);
    }
}
