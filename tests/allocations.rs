//! How often userspace allocates for an execution, from the record's bytes to the
//! statistics, and what stays allocated: counted, so that it is the same on every
//! machine.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ops::Range;

use execlat::config::RowFilter;
use execlat::label::Key;
use execlat::pipeline::{Pipeline, Totals};
use execlat::source::{About, Batch};
use execlat::stats::GROUPS_MAX;

/// Of a batch of executions, once what the first ones took has been given back: the
/// buffer of its sort.
const BATCH_MAX: u64 = 1;

const BATCHES: u64 = 20;
const EXECUTIONS: u64 = 503;
const BATCH_NS: u64 = 50_000_000;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static LIVE_BYTES: Cell<i64> = const { Cell::new(0) };
}

/// The system's allocator, with a count of what this thread asks of it.
struct Counting;

fn grow(bytes: usize) {
    LIVE_BYTES.set(LIVE_BYTES.get() + bytes as i64);
}

fn shrink(bytes: usize) {
    LIVE_BYTES.set(LIVE_BYTES.get() - bytes as i64);
}

// SAFETY: every call goes to the system's allocator as it came; the counts are
// thread-locals without a destructor, which need no allocation of their own.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        grow(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        shrink(layout.size());
        // SAFETY: as the caller promises; `at` came from `alloc` or `realloc`.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        shrink(layout.size());
        grow(bytes);
        // SAFETY: as the caller promises; `at` came from `alloc` or `realloc`.
        unsafe { System.realloc(at, layout, bytes) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// What both records begin with, and the usage that follows.
fn push_head(out: &mut Vec<u8>, bytes: usize, kind: u16, ts_ns: u64, tgid: u32, seq: u32) {
    out.extend((bytes as u32).to_ne_bytes());
    out.extend(u32::from(kind).to_ne_bytes());
    out.extend(ts_ns.to_ne_bytes());
    out.extend(u64::from(tgid).to_ne_bytes());
    out.extend(tgid.to_ne_bytes());
    out.extend(seq.to_ne_bytes());
    out.extend([0; 32]);
}

/// An exec and the end of it, as `execlat.h` has them.
fn push_execution(out: &mut Vec<u8>, at_ns: u64, tgid: u32, argv: &[u8], cgroup_id: u64) {
    push_head(out, 112 + argv.len(), 1, at_ns, tgid, 1);
    out.extend(cgroup_id.to_ne_bytes());
    out.extend([0; 8]);
    for word in [299, 0, argv.len() as u32, 0] {
        out.extend(word.to_ne_bytes());
    }
    out.extend(b"runc\0\0\0\0\0\0\0\0\0\0\0\0");
    out.extend(argv);
    push_head(out, 80, 2, at_ns + 70_000, tgid, 2);
    out.extend([0; 16]);
}

fn batches(argv: &[u8]) -> Vec<Batch> {
    let batch = |i: u64| {
        let mut bytes = Vec::new();
        for n in 0..EXECUTIONS {
            let tgid = 300 + (i * EXECUTIONS + n) as u32;
            push_execution(&mut bytes, (i + 20) * BATCH_NS + n * 80_000, tgid, argv, 0);
        }
        Batch {
            bytes,
            horizon_ns: (i + 21) * BATCH_NS,
            ..Batch::default()
        }
    };
    (0..BATCHES).map(batch).collect()
}

/// Allocations of the whole way, for the second half of the batches.
fn allocations(argv: &[u8]) -> u64 {
    let mut batches = batches(argv);
    let mut pipeline = Pipeline::new(&About::default(), None);
    let mut totals = Totals::new(Key::Action, RowFilter::default(), false);
    let mut before = 0;
    for (nth, batch) in (0..).zip(&mut batches) {
        if nth == BATCHES / 2 {
            before = ALLOCATIONS.get();
        }
        pipeline.feed(batch, &mut totals, None).expect("no sink");
    }
    let made = ALLOCATIONS.get() - before;
    assert_eq!(totals.summary.executions, BATCHES * EXECUTIONS);
    assert!(!totals.summary().lost.any());
    made
}

#[test]
fn executions_cost_no_allocation() {
    let short = b"/usr/bin/true\0";
    let runtime: &[u8] = b"/usr/sbin/runc\0--root\0/run/runc\0--log\0/run/log.json\0exec\0-d\0\
                           --process\0/tmp/process.json\0b50c1d2e3f405162738495a6b7c8d9e0\0";
    for argv in [&short[..], runtime] {
        let made = allocations(argv);
        let most = BATCHES / 2 * BATCH_MAX;
        assert!(made <= most, "{made} allocations, at most {most}");
    }
}

/// A cgroup's name, told once: a container that docker has named.
fn push_cgroup(out: &mut Vec<u8>, cgroup_id: u64) {
    let names = format!("{cgroup_id:064x}\0docker\0");
    out.extend((48 + names.len() as u32).to_ne_bytes());
    out.extend(4u32.to_ne_bytes());
    out.extend([0; 24]);
    out.extend(cgroup_id.to_ne_bytes());
    out.extend(2u32.to_ne_bytes());
    out.extend([0; 4]);
    out.extend(names.as_bytes());
}

/// Containers that come and go, each with one execution, its name and its group, go
/// through; returns the most bytes that stayed allocated between two of them: of what
/// is kept, a half goes at a time.
fn peak_live_bytes(pipeline: &mut Pipeline, totals: &mut Totals, containers: Range<u64>) -> i64 {
    let mut peak = 0;
    for id in containers {
        let at_ns = (id + 1) * BATCH_NS;
        let mut bytes = Vec::new();
        push_cgroup(&mut bytes, id);
        let tgid = 300 + (id % 4_000_000) as u32;
        push_execution(&mut bytes, at_ns, tgid, b"/usr/bin/true\0", id);
        let mut batch = Batch {
            bytes,
            horizon_ns: at_ns + BATCH_NS,
            ..Batch::default()
        };
        pipeline.feed(&mut batch, totals, None).expect("no sink");
        drop(batch);
        peak = peak.max(LIVE_BYTES.get());
    }
    peak
}

/// A host on which more containers come and go than names and groups are kept: what
/// is kept does not grow, and what is not is told.
#[test]
fn memory_is_bounded() {
    const CONTAINERS: u64 = 70_001;
    let mut pipeline = Pipeline::new(&About::default(), None);
    let mut totals = Totals::new(Key::Container, RowFilter::default(), false);
    let mut peak_until = |to: u64| {
        peak_live_bytes(
            &mut pipeline,
            &mut totals,
            (to - 1) * CONTAINERS + 1..to * CONTAINERS + 1,
        )
    };
    let full = peak_until(1);
    let later = [peak_until(2), peak_until(3)];
    for live in later {
        // Paths of cgroups differ by nothing, so only the tables' own slack may.
        assert!(live <= full + full / 50, "{full} bytes, then {live}");
    }
    assert_eq!(totals.summary.executions, 3 * CONTAINERS);
    let summary = totals.summary();
    assert!(!summary.lost.any(), "{summary}");
    assert_eq!(summary.ungrouped, 3 * CONTAINERS - GROUPS_MAX as u64);
}
