mod executions;
mod histories;
mod losses;
mod places;
mod running;
mod work;

use super::*;
use crate::event::WaitStatus;
use crate::fixture;

fn id(tgid: u32) -> ProcessId {
    ProcessId {
        tgid,
        start_ns: u64::from(tgid) * 3,
    }
}

fn image(args: &str) -> Box<Image> {
    Box::new(fixture::image(args))
}

fn event(tgid: u32, seq: u32, ts_ns: u64, kind: EventKind) -> Event {
    Event {
        process: id(tgid),
        seq,
        ts_ns,
        unseen_exec: false,
        taken_midway: false,
        kind,
    }
}

fn exec(tgid: u32, seq: u32, ts_ns: u64, args: &str) -> Event {
    event(tgid, seq, ts_ns, EventKind::Exec(image(args)))
}

fn unmatched(tgid: u32, seq: u32, ts_ns: u64) -> Event {
    let kind = EventKind::Unmatched {
        usage: Usage::default(),
        maxrss_pages: 0,
        place: None,
    };
    event(tgid, seq, ts_ns, kind)
}

fn exit(tgid: u32, seq: u32, ts_ns: u64, matched: bool) -> Event {
    let kind = EventKind::Exit {
        matched,
        status: WaitStatus(7 << 8),
        usage: Some(Usage::default()),
        maxrss_pages: 0,
    };
    event(tgid, seq, ts_ns, kind)
}

const EXIT7: End = End::Exit(WaitStatus(7 << 8));

/// Start, end, CODE and re-execs.
type Seen = (u64, u64, End, u32);

/// Start, end, CODE and re-execs of each execution, in the order they came out.
fn run(events: &[Event]) -> (Vec<Seen>, Pair) {
    let mut pair = Pair::default();
    let mut out = Vec::new();
    for event in events {
        pair.push(event.clone(), &mut out);
    }
    let rows = out.iter().map(|e| (e.start_ns, e.end_ns, e.end, e.reexecs));
    (rows.collect(), pair)
}
