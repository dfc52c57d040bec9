//! What userspace costs per execution: each step of the way by itself, all of it
//! with each sink, and a whole recording. Root is not needed, nor a kernel that can
//! trace: the records are made here, as the kernel side makes them.
//!
//! `cargo bench` runs all, `cargo bench -- feed/` those whose name holds `feed/`.
//! A rate of 1 Melem/s is a microsecond per execution.

// Criterion's macros make functions that nobody documents.
#![allow(missing_docs)]

use std::fs::File;
use std::hint::black_box;
use std::io;
use std::path::Path;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use execlat::cgroup::{Cgroup, Mount};
use execlat::clock::Clock;
use execlat::config::{KernelFilter, RowFilter};
use execlat::event::{Event, Execution};
use execlat::filter::Selection;
use execlat::label::{Key, Labels};
use execlat::order::Order;
use execlat::output::Lines;
use execlat::pair::Pair;
use execlat::pipeline::{Pipeline, Totals};
use execlat::recording::Writer;
use execlat::row;
use execlat::sink::Sink;
use execlat::sink::csv::Csv;
use execlat::sink::histogram;
use execlat::sink::json::Json;
use execlat::sink::table::{Style, Table};
use execlat::source::replay::Replay;
use execlat::source::{About, Batch, Ending, Source as _};
use execlat::stats::Stats;
use execlat::wire::{Record, Records, Spare, xl_exec, xl_exit, xl_header};

/// Rounds of 50 ms at some 10 000 executions a second on each of two CPUs.
const ROUNDS: usize = 64;
const EXECUTIONS: usize = 1000;
const ROUND_NS: u64 = 50_000_000;
/// As the live source has it: what is younger is not handed on yet.
const SLACK_NS: u64 = 20_000_000;
const ALL: u64 = (ROUNDS * EXECUTIONS) as u64;

/// The numbers of `execlat.h`.
const EXEC: u16 = 1;
const EXIT: u16 = 2;
const CGROUP: u16 = 4;

/// What the kernel side reports, in the order in which two CPUs' buffers are read.
struct TwoCpus {
    now_ns: u64,
    tgid: u32,
}

/// A command line, and the comm that goes with it.
type Program = (&'static str, &'static str);

/// As a build runs them.
const PLAIN: &[Program] = &[
    ("cc1", "/usr/lib/gcc/cc1 -quiet -O2 x.c"),
    ("sed", "sed -n s/a/b/p"),
    ("true", "/bin/true"),
];

/// As a container engine runs them.
const RUNC: &[Program] = &[
    (
        "runc",
        "/var/gdn/assets/linux/bin/runc --root /run/runc --debug --log /tmp/1/log --log-format \
         json state 0f2a5c1d-61f0-4ac6-6a1b-0123456789ab",
    ),
    (
        "runc",
        "runc --root /run/containerd/runc/k8s.io --log /run/c/log.json --log-format json exec \
         --process /tmp/p --detach --pid-file /run/c/pid 5b0c1d2e3f405162738495a6b7c8d9e0",
    ),
];

fn push_header(out: &mut Vec<u8>, bytes: usize, kind: u16, ts_ns: u64, process: (u32, u64, u32)) {
    out.extend((bytes as u32).to_ne_bytes());
    out.extend(kind.to_ne_bytes());
    out.extend(0u16.to_ne_bytes());
    out.extend(ts_ns.to_ne_bytes());
    out.extend(process.1.to_ne_bytes());
    out.extend(process.0.to_ne_bytes());
    out.extend(process.2.to_ne_bytes());
}

fn push_usage(out: &mut Vec<u8>, cpu_ns: u64) {
    for word in [cpu_ns, 0, 3, 1] {
        out.extend(word.to_ne_bytes());
    }
}

impl TwoCpus {
    fn execution(&mut self, out: &mut Vec<u8>, at_ns: u64, comm: &[u8; 16], argv: &[u8]) {
        self.tgid = 300 + (self.tgid - 299) % 4_000_000;
        let start_ns = at_ns - 40_000;
        let bytes = size_of::<xl_exec>() + argv.len();
        push_header(out, bytes, EXEC, at_ns, (self.tgid, start_ns, 1));
        push_usage(out, 30_000);
        out.extend(1u64.to_ne_bytes());
        out.extend(0u64.to_ne_bytes());
        for word in [299, 0, argv.len() as u32, 0] {
            out.extend(word.to_ne_bytes());
        }
        out.extend(comm);
        out.extend(argv);

        // 30 to 100 µs, so that the histogram is not one bucket.
        let end_ns = at_ns + 30_000 + u64::from(self.tgid) * 7919 % 70_000;
        let process = (self.tgid, start_ns, 2);
        push_header(out, size_of::<xl_exit>(), EXIT, end_ns, process);
        push_usage(out, 90_000);
        for word in [300u64, 0] {
            out.extend(word.to_ne_bytes());
        }
    }

    fn cgroup(out: &mut Vec<u8>, names: &[u8], count: u32) {
        let bytes = size_of::<xl_header>() + 16 + names.len();
        push_header(out, bytes, CGROUP, 0, (0, 0, 0));
        out.extend(1u64.to_ne_bytes());
        out.extend(count.to_ne_bytes());
        out.extend(0u32.to_ne_bytes());
        out.extend(names);
    }

    fn round(&mut self, programs: &[([u8; 16], Vec<u8>)]) -> Batch {
        let mut bytes = Vec::new();
        for cpu in 0..2 {
            for i in 0..EXECUTIONS as u64 / 2 {
                let at_ns = self.now_ns + i * (ROUND_NS / (EXECUTIONS as u64 / 2)) + cpu * 331;
                let (comm, argv) = &programs[i as usize % programs.len()];
                self.execution(&mut bytes, at_ns, comm, argv);
            }
        }
        self.now_ns += ROUND_NS;
        Batch {
            bytes,
            horizon_ns: self.now_ns - SLACK_NS,
            ..Batch::default()
        }
    }
}

/// All rounds; the first tells the cgroup's name, the last lets everything out.
fn batches(programs: &[Program]) -> Vec<Batch> {
    let programs: Vec<([u8; 16], Vec<u8>)> = programs
        .iter()
        .map(|(name, line)| {
            let mut comm = [0; 16];
            comm[..name.len()].copy_from_slice(name.as_bytes());
            (comm, [&line.replace(' ', "\0"), "\0"].concat().into_bytes())
        })
        .collect();
    let mut records = TwoCpus {
        now_ns: 5_000_000_000,
        tgid: 300,
    };
    let mut all: Vec<Batch> = (0..ROUNDS).map(|_| records.round(&programs)).collect();
    let mut first = Vec::new();
    TwoCpus::cgroup(&mut first, b"0f2a5c1d\0garden\0", 2);
    first.append(&mut all[0].bytes);
    all[0].bytes = first;
    all[ROUNDS - 1].horizon_ns = u64::MAX;
    all
}

fn decode(batch: &Batch) -> Vec<Event> {
    let mut spare = Spare::default();
    let records = Records::new(&batch.bytes, &mut spare);
    let event = |record| match record {
        Ok(Record::Event(event)) => Some(event),
        Ok(Record::Cgroup(_)) => None,
        Err(error) => panic!("a record made here is wrong: {error:?}"),
    };
    records.filter_map(event).collect()
}

fn ordered(batches: &[Batch]) -> Vec<Event> {
    let mut order = Order::default();
    batches
        .iter()
        .flat_map(decode)
        .for_each(|event| order.push(event));
    order.release(u64::MAX).collect()
}

fn executions(batches: &[Batch]) -> Vec<Execution> {
    let (mut pair, mut ended) = (Pair::default(), Vec::new());
    for event in ordered(batches) {
        pair.push(event, &mut ended);
    }
    assert_eq!(ended.len() as u64, ALL, "every execution has its end");
    ended
}

fn totals() -> Totals {
    Totals::new(Key::Action, RowFilter::default(), false)
}

/// All of the way behind the source, once.
fn feed(batches: &mut [Batch], mut sink: Option<&mut dyn Sink>) -> Totals {
    let (mut pipeline, mut totals) = (Pipeline::new(&About::default(), None), totals());
    for batch in batches {
        let sink: Option<&mut dyn Sink> = match &mut sink {
            Some(sink) => Some(&mut **sink),
            None => None,
        };
        pipeline
            .feed(batch, &mut totals, sink)
            .expect("a sink without end");
    }
    assert_eq!(totals.summary.executions, ALL);
    totals
}

fn table() -> impl Sink {
    let style = Style {
        columns: row::TABLE.to_vec(),
        quote: false,
        color: false,
    };
    Table::new(Lines::new(io::sink()), style, || None)
}

fn steps(c: &mut Criterion) {
    let mut group = c.benchmark_group("step");
    group.throughput(Throughput::Elements(ALL)).sample_size(20);
    for (name, programs) in [("plain", PLAIN), ("runc", RUNC)] {
        let batches = batches(programs);
        group.bench_function(format!("decode/{name}"), |b| {
            b.iter(|| batches.iter().flat_map(decode).map(black_box).count());
        });
        let rounds: Vec<Vec<Event>> = batches.iter().map(decode).collect();
        group.bench_function(format!("order/{name}"), |b| {
            let through = |rounds: Vec<Vec<Event>>| {
                let mut order = Order::default();
                for (events, batch) in rounds.into_iter().zip(&batches) {
                    events.into_iter().for_each(|event| order.push(event));
                    order
                        .release(batch.horizon_ns)
                        .for_each(|event| drop(black_box(event)));
                }
            };
            b.iter_batched(|| rounds.clone(), through, BatchSize::LargeInput);
        });
        let events = ordered(&batches);
        group.bench_function(format!("pair/{name}"), |b| {
            let through = |events: Vec<Event>| {
                let (mut pair, mut ended) = (Pair::default(), Vec::new());
                for event in events {
                    pair.push(event, &mut ended);
                    ended.clear();
                }
            };
            b.iter_batched(|| events.clone(), through, BatchSize::LargeInput);
        });
        let executions = executions(&batches);
        let cgroup = Cgroup::new("/garden/0f2a5c1d".into(), false);
        group.bench_function(format!("labels/{name}"), |b| {
            b.iter(|| {
                for execution in &executions {
                    black_box(Labels::new(execution, Some(&cgroup)));
                }
            });
        });
        group.bench_function(format!("stats/{name}"), |b| {
            b.iter(|| {
                let mut stats = Stats::default();
                for execution in &executions {
                    stats.add("runc state", execution);
                }
                stats
            });
        });
    }
    group.finish();
}

fn sinks(c: &mut Criterion) {
    let executions = executions(&batches(RUNC));
    let cgroup = Cgroup::new("/garden/0f2a5c1d".into(), false);
    let labels = Labels::new(&executions[0], Some(&cgroup));
    let mut group = c.benchmark_group("sink");
    group.throughput(Throughput::Elements(ALL)).sample_size(20);
    let all: [(&str, Box<dyn Sink>); 3] = [
        ("table", Box::new(table())),
        (
            "csv",
            Box::new(Csv::new(Lines::new(io::sink()), row::CSV.to_vec())),
        ),
        ("json", Box::new(Json::new(Lines::new(io::sink())))),
    ];
    for (name, mut sink) in all {
        group.bench_function(name, |b| {
            b.iter(|| {
                for execution in &executions {
                    let row = row::Row {
                        execution,
                        labels: &labels,
                        clock: Clock {
                            wall_offset_ns: 1_750_000_000_000_000_000,
                            began_ns: 0,
                        },
                        page_bytes: 4096,
                    };
                    sink.row(&row).expect("a sink without end");
                }
            });
        });
    }
    let mut stats = Stats::default();
    for (i, execution) in executions.iter().enumerate() {
        stats.add(&format!("group {}", i % 1000), execution);
    }
    group.throughput(Throughput::Elements(1000));
    group.bench_function("histogram of 1000 groups", |b| {
        b.iter(|| histogram::write_text(&mut io::sink(), Key::Action, &stats));
    });
    group.finish();
}

fn whole(c: &mut Criterion) {
    let mut group = c.benchmark_group("feed");
    group.throughput(Throughput::Elements(ALL)).sample_size(20);
    for (name, programs) in [("plain", PLAIN), ("runc", RUNC)] {
        let mut batches = batches(programs);
        group.bench_function(format!("histogram/{name}"), |b| {
            b.iter(|| feed(&mut batches, None));
        });
        group.bench_function(format!("rows/{name}"), |b| {
            b.iter(|| feed(&mut batches, Some(&mut table())));
        });
        group.bench_function(format!("json/{name}"), |b| {
            b.iter(|| feed(&mut batches, Some(&mut Json::new(Lines::new(io::sink())))));
        });
    }
    group.finish();
}

fn write_recording(path: &Path, batches: &[Batch]) -> io::Result<()> {
    let mut writer = Writer::new(File::create(path)?, &About::default())?;
    for batch in batches {
        writer.batch(batch)?;
    }
    writer.finish(&Ending::default())
}

/// `execlat report -Q --histogram`, its start and its output aside.
fn replay(path: &Path) -> Totals {
    let mut source = Replay::open(path).expect("it was just made");
    let selection = Selection::new(&KernelFilter::default(), &Mount::default());
    let (mut pipeline, mut totals) = (Pipeline::new(source.about(), Some(selection)), totals());
    let mut batch = Batch::default();
    while source.next(&mut batch).expect("it was just made") {
        pipeline
            .feed(&mut batch, &mut totals, None)
            .expect("no sink");
    }
    assert_eq!(totals.summary.executions, ALL);
    totals
}

fn report(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("room in the temporary directory");
    let mut group = c.benchmark_group("report");
    group.throughput(Throughput::Elements(ALL)).sample_size(20);
    for (name, programs) in [("plain", PLAIN), ("runc", RUNC)] {
        let path = dir.path().join(name);
        write_recording(&path, &batches(programs)).expect("room in the temporary directory");
        group.bench_function(name, |b| b.iter(|| replay(&path)));
    }
    group.finish();
}

criterion_group!(benches, steps, sinks, whole, report);
criterion_main!(benches);
