use super::*;
use proptest::prelude::*;

/// The bytes of a record: the kernel's job, done here by hand.
fn decode(record: &[u8]) -> Result<Record, DecodeError> {
    super::decode(record, &mut Spare::default())
}

fn exec_record(flags: u16, args: &[u8], true_bytes: u32) -> Vec<u8> {
    let mut out = Vec::new();
    let bytes = (size_of::<xl_exec>() + args.len()) as u32;
    out.extend(bytes.to_ne_bytes());
    out.extend((xl_kind::XL_EXEC.0 as u16).to_ne_bytes());
    out.extend(flags.to_ne_bytes());
    out.extend(1000u64.to_ne_bytes());
    out.extend(900u64.to_ne_bytes());
    out.extend(4211u32.to_ne_bytes());
    out.extend(3u32.to_ne_bytes());
    for usage in [11u64, 12, 13, 14] {
        out.extend(usage.to_ne_bytes());
    }
    out.extend(77u64.to_ne_bytes());
    out.extend(0u64.to_ne_bytes());
    out.extend(1u32.to_ne_bytes());
    out.extend(1000u32.to_ne_bytes());
    out.extend(true_bytes.to_ne_bytes());
    out.extend(913u32.to_ne_bytes());
    out.extend(b"runc\0\0\0\0\0\0\0\0\0\0\0\0");
    out.extend(args);
    out
}

#[test]
fn an_exec_is_decoded() {
    let bytes = exec_record(0, b"runc\0init\0", 10);
    let Ok(Record::Event(event)) = decode(&bytes) else {
        panic!("no event");
    };
    assert_eq!(event.process.tgid, 4211);
    assert_eq!(event.process.start_ns, 900);
    assert_eq!((event.seq, event.ts_ns), (3, 1000));
    let EventKind::Exec(image) = event.kind else {
        panic!("no exec");
    };
    assert_eq!(image.comm(), b"runc");
    assert_eq!((image.ppid, image.uid, image.cgroup_id), (1, 1000, 77));
    assert_eq!(image.usage.involuntary_switches, 14);
    assert_eq!(image.maxrss_pages, 913);
    assert!(image.argv.whole());
    assert_eq!(image.argv.args().count(), 2);
}

/// A recording may hold anything; no kernel captures more.
#[test]
fn arguments_and_paths_have_a_bound() {
    let most = ARGS_MAX_BYTES as usize;
    for (bytes, known) in [(most, true), (most + 1, false)] {
        let record = exec_record(0, &vec![b'x'; bytes], bytes as u32);
        assert_eq!(decode(&record).is_ok(), known, "{bytes}");
    }
    for (bytes, known) in [(CGROUP_MAX_BYTES, true), (CGROUP_MAX_BYTES + 1, false)] {
        let mut record = vec![b'x'; size_of::<xl_cgroup>() + bytes];
        let length = record.len() as u32;
        record[..4].copy_from_slice(&length.to_ne_bytes());
        record[4..6].copy_from_slice(&(xl_kind::XL_CGROUP.0 as u16).to_ne_bytes());
        assert_eq!(decode(&record).is_ok(), known, "{bytes}");
    }
}

#[test]
fn truncation_and_faults_are_told_apart() {
    let Ok(Record::Event(event)) = decode(&exec_record(0, b"runc", 10)) else {
        panic!("no event");
    };
    assert!(matches!(event.kind, EventKind::Exec(i) if i.argv.truncated()));
    let fault = xl_flags::XL_F_ARGS_FAULT.0 as u16;
    let Ok(Record::Event(event)) = decode(&exec_record(fault, b"", 10)) else {
        panic!("no event");
    };
    assert!(matches!(event.kind, EventKind::Exec(i) if !i.argv.truncated() && !i.argv.whole()));
}

#[test]
fn what_an_exit_used_may_be_unknown() {
    let exit = |flag: xl_flags| {
        let exit = xl_exit {
            header: xl_header {
                bytes: size_of::<xl_exit>() as u32,
                kind: xl_kind::XL_EXIT.0 as u16,
                flags: flag.0 as u16,
                ..xl_header::default()
            },
            usage: xl_usage {
                cpu_ns: 11,
                ..xl_usage::default()
            },
            ..xl_exit::default()
        };
        match decode(as_bytes(&exit)) {
            Ok(Record::Event(Event {
                kind: EventKind::Exit { usage, .. },
                ..
            })) => usage.map(|usage| usage.cpu_ns),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(exit(xl_flags::XL_F_UNMATCHED), Some(11));
    assert_eq!(exit(xl_flags::XL_F_USAGE_UNKNOWN), None);
}

#[test]
fn a_fork_names_who_made_it() {
    let mut bytes = exec_record(0, b"", 0)[..size_of::<xl_header>()].to_vec();
    bytes[..4].copy_from_slice(&56u32.to_ne_bytes());
    bytes[4..6].copy_from_slice(&(xl_kind::XL_FORK.0 as u16).to_ne_bytes());
    assert_eq!(decode(&bytes), Err(DecodeError::Length));
    bytes.extend(800u64.to_ne_bytes());
    bytes.extend(0u64.to_ne_bytes());
    bytes.extend(4200u32.to_ne_bytes());
    bytes.extend(2u32.to_ne_bytes());
    let Ok(Record::Event(event)) = decode(&bytes) else {
        panic!("no event");
    };
    assert_eq!(
        (event.process.tgid, event.seq, event.image()),
        (4211, 3, None)
    );
    let by = ProcessId {
        tgid: 4200,
        start_ns: 800,
    };
    assert_eq!(
        event.kind,
        EventKind::Fork {
            by,
            nth: 2,
            place: None,
            of_runtime: true,
        }
    );
    bytes[6..8].copy_from_slice(&(xl_flags::XL_F_DESCENT.0 as u16).to_ne_bytes());
    let Ok(Record::Event(event)) = decode(&bytes) else {
        panic!("no event");
    };
    let is_descent = |kind: &EventKind| {
        matches!(
            kind,
            EventKind::Fork {
                of_runtime: false,
                ..
            }
        )
    };
    assert!(is_descent(&event.kind), "{event:?}");
}

#[test]
fn an_attach_is_in_no_sequence() {
    let attach = xl_attach {
        header: xl_header {
            bytes: size_of::<xl_attach>() as u32,
            kind: xl_kind::XL_ATTACH.0 as u16,
            flags: xl_flags::XL_F_IN_CGROUP.0 as u16,
            tgid: 4211,
            ..xl_header::default()
        },
        by_tgid: 4200,
        by_start_ns: 800,
        cgroup_id: 77,
        pad: 0,
    };
    let Ok(Record::Event(event)) = decode(as_bytes(&attach)) else {
        panic!("no event");
    };
    let by = ProcessId {
        tgid: 4200,
        start_ns: 800,
    };
    let place = Place {
        cgroup_id: 77,
        inside: true,
    };
    assert_eq!(event.kind, EventKind::Attach { by, place });
    assert_eq!((event.process.tgid, event.seq), (4211, 0));
}

/// Records are looked into only where the name allows it.
#[test]
fn images_are_chosen_by_their_comm() {
    let elsewhere = xl_flags::XL_F_ELSEWHERE.0 as u16;
    let unmatched = xl_flags::XL_F_UNMATCHED.0 as u16;
    let batch = [
        exec_record(elsewhere, b"runc\0state\0", 11),
        exec_record(unmatched, b"", 0),
        exec_record(0, b"runc\0list\0", 10),
    ]
    .concat();
    let found: Vec<_> = images(&batch, |comm| comm.starts_with(b"runc\0")).collect();
    let elsewhere: Vec<_> = found.iter().map(|image| image.elsewhere).collect();
    assert_eq!(elsewhere, [true, false]);
    assert_eq!(images(&batch, |comm| comm.starts_with(b"crun")).count(), 0);
}

#[test]
fn cgroup_names_come_leaf_first() {
    let names = b"leaf\0middle\0top\0";
    let mut out = Vec::new();
    out.extend(((size_of::<xl_cgroup>() + names.len()) as u32).to_ne_bytes());
    out.extend((xl_kind::XL_CGROUP.0 as u16).to_ne_bytes());
    out.extend([0; 26]);
    out.extend(5u64.to_ne_bytes());
    out.extend(3u32.to_ne_bytes());
    out.extend(0u32.to_ne_bytes());
    let root = out.clone();
    out.extend(names);
    let name = |bytes: &[u8]| match decode(bytes) {
        Ok(Record::Cgroup(name)) => name,
        other => panic!("{other:?}"),
    };
    assert_eq!(name(&out).path, "/top/middle/leaf");
    assert_eq!(name(&out).id, 5);
    assert_eq!(name(&root).path, "/");
    // Among others, up to what is cut off.
    let exec = exec_record(0, b"runc\0", 5);
    let cut = &root[..root.len() - 1];
    let batch = [&exec[..], &out, &exec, cut].concat();
    let found: Vec<String> = cgroups(&batch).map(|cgroup| cgroup.path).collect();
    assert_eq!(found, ["/top/middle/leaf"]);
}

#[test]
fn later_records_are_dropped() {
    let mut batch = Vec::new();
    for ts in [5u64, 9, 3, 7] {
        let mut record = exec_record(0, b"runc\0", 5);
        record[8..16].copy_from_slice(&ts.to_ne_bytes());
        batch.extend(record);
    }
    retain_until(&mut batch, 7);
    let times: Vec<u64> = Records::new(&batch, &mut Spare::default())
        .map(|record| match record {
            Ok(Record::Event(event)) => event.ts_ns,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(times, [5, 3, 7]);
}

#[test]
fn a_wrong_length_ends_the_batch() {
    let mut batch = exec_record(0, b"a\0", 2);
    let whole = batch.len();
    batch.extend(exec_record(0, b"b\0", 2));
    batch[whole] = 255;
    let all: Vec<_> = Records::new(&batch, &mut Spare::default()).collect();
    assert_eq!(all.len(), 2);
    assert!(all[0].is_ok());
    assert_eq!(all[1], Err(DecodeError::Length));
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        let count = Records::new(&bytes, &mut Spare::default()).count();
        prop_assert!(count <= bytes.len() / size_of::<xl_header>() + 1);
        let _ = decode(&bytes);
    }

    #[test]
    fn a_damaged_record_does_no_harm(at in 0usize..130, value in any::<u8>()) {
        let mut bytes = exec_record(0, b"runc\0--log\0x\0", 13);
        let at = at % bytes.len();
        bytes[at] = value;
        prop_assert!(Records::new(&bytes, &mut Spare::default()).count() >= 1);
    }
}

#[test]
fn a_spare_image_is_filled_anew() {
    let mut spare = Spare::default();
    let mut decode = |record: &[u8]| match super::decode(record, &mut spare) {
        Ok(Record::Event(event)) => event,
        other => panic!("{other:?}"),
    };
    let first = exec_record(0, b"runc\0--root\0/r\0", 17);
    let second = exec_record(0, b"sh\0", 3);
    let (expected, before) = (decode(&second), decode(&first));
    let EventKind::Exec(image) = before.kind else {
        panic!("{before:?}");
    };
    spare.give(image);
    let Ok(Record::Event(again)) = super::decode(&second, &mut spare) else {
        panic!("no event");
    };
    assert_eq!(again, expected);
    assert!(spare.0.is_empty());
}
