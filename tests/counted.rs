//! What tracing costs, in numbers that do not depend on how fast the machine is: the
//! verifier's work, bytes handed over, wake-ups of the reader. And no loss while the
//! reader is kept from running.

mod common;

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::{Bed, Expected, check, count, text};
use libbpf_rs::query::ProgInfoIter;
use nix::sys::signal::Signal;

/// Instructions that the verifier looks at. Each takes it about a microsecond, and
/// a kernel gives up at a million; 5.10 counts more than later ones.
const VERIFIED_MAX: u32 = 16_000;

/// Fixed parts of the records of an execution, as `execlat.h` has them.
const EXEC_BYTES: usize = 112;
const EXIT_BYTES: usize = 80;
/// A recording's own: its head, its end, the names of cgroups.
const RECORDING_BYTES: usize = 16 << 10;
/// And of each chunk, written every 50 ms at most.
const CHUNK_BYTES: usize = 64;

/// The reader looks so often by itself.
const ROUND: Duration = Duration::from_millis(50);
/// Beyond that it is woken by full buffers alone.
const WAKEUPS_PER_THOUSAND: usize = 20;

/// The ids of the programs that a process has loaded.
fn program_ids(pid: u32) -> HashSet<u32> {
    let fds = fs::read_dir(format!("/proc/{pid}/fdinfo")).expect("its descriptors");
    let ids = fds.filter_map(|fd| {
        let text = fs::read_to_string(fd.ok()?.path()).ok()?;
        let id = text.lines().find_map(|l| l.strip_prefix("prog_id:"))?;
        id.trim().parse().ok()
    });
    ids.collect()
}

/// The verifier's work on each program of an execlat with these arguments.
fn verified(bed: &Bed, args: &[&str]) -> BTreeMap<String, u32> {
    let tracer = bed.trace(args);
    let ours = program_ids(tracer.pid());
    let programs: BTreeMap<String, u32> = ProgInfoIter::default()
        .filter(|program| ours.contains(&program.id))
        .map(|p| (p.name.to_string_lossy().into_owned(), p.verified_insns))
        .collect();
    tracer.stop();
    programs
}

#[test]
fn the_verifier_has_little_to_look_at() {
    let Some(bed) = Bed::new() else { return };
    let all = [
        "--cgroup",
        bed.cgroup.path(),
        "--comm",
        "no-such-program-of-a-long-name",
        "--uid",
        "0",
        "--follow",
    ];
    for args in [&[][..], &all] {
        let programs = verified(&bed, args);
        // exec and its end, and the scan.
        assert!(programs.len() >= 3, "{programs:?}");
        let (least, most) = (programs.values().min(), programs.values().max());
        // Before v5.16 the kernel does not tell.
        if most != Some(&0) {
            assert!(
                least > Some(&0) && most < Some(&VERIFIED_MAX),
                "{programs:?}"
            );
        }
    }
}

fn argv_bytes(e: &Expected) -> usize {
    e.argv.iter().map(|arg| arg.len() + 1).sum()
}

#[test]
fn an_execution_is_two_records_and_its_arguments() {
    let Some(bed) = Bed::new() else { return };
    let file = bed.scratch.path().join("storm.xl");
    let began = Instant::now();
    let tracer = bed.trace(&["--cgroup", bed.cgroup.path(), "--record", text(&file)]);
    let report = bed
        .workload()
        .run(&["storm", &count(2003).to_string(), "4"]);
    let observed = tracer.stop();
    check(&report.expected, &observed);
    let chunks = began.elapsed().as_millis() / ROUND.as_millis() + 2;
    let records = |e: &Expected| {
        let execs = e.reexecs as usize + 1;
        execs * (EXEC_BYTES + argv_bytes(e)) + EXIT_BYTES
    };
    let least: usize = report.expected.iter().map(records).sum();
    let most = least + RECORDING_BYTES + chunks as usize * CHUNK_BYTES;
    let bytes = fs::metadata(&file).expect("the recording").len() as usize;
    // Where one image follows another, the exec ends the first: no record of its own.
    let replaced = report.expected.iter().filter(|e| e.end == "exec").count();
    let least = least - replaced * EXIT_BYTES;
    assert!(
        (least..=most).contains(&bytes),
        "{bytes} of {least} to {most}"
    );
}

/// How often the threads of a process went to sleep.
fn sleeps(pid: u32) -> usize {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("its threads");
    let of_each = threads.filter_map(|thread| {
        let status = fs::read_to_string(thread.ok()?.path().join("status")).ok()?;
        let line = status
            .lines()
            .find_map(|l| l.strip_prefix("voluntary_ctxt_switches:"))?;
        line.trim().parse::<usize>().ok()
    });
    of_each.sum()
}

#[test]
fn the_reader_is_not_woken_for_each_event() {
    let Some(bed) = Bed::new() else { return };
    let tracer = bed.trace_cgroup();
    let (began, before) = (Instant::now(), sleeps(tracer.pid()));
    let report = bed
        .workload()
        .run(&["storm", &count(5003).to_string(), "4"]);
    let woken = sleeps(tracer.pid()) - before;
    let rounds = (began.elapsed().as_millis() / ROUND.as_millis()) as usize + 1;
    check(&report.expected, &tracer.stop());
    let events = 2 * report.expected.len();
    let most = rounds + events * WAKEUPS_PER_THOUSAND / 1000;
    assert!(woken <= most, "woken {woken} times, at most {most}");
}

#[test]
fn nothing_is_lost_while_the_reader_stops_for_a_second() {
    let Some(bed) = Bed::new() else { return };
    let tracer = bed.trace_cgroup();
    let storm = bed
        .workload()
        .start(&["storm", &count(10007).to_string(), "4"]);
    sleep(Duration::from_millis(200));
    tracer.signal(Signal::SIGSTOP);
    sleep(Duration::from_secs(1));
    tracer.signal(Signal::SIGCONT);
    check(&storm.finish().expected, &tracer.stop());
}
