use super::*;
use proptest::prelude::*;

fn about() -> About {
    About {
        host: "h".into(),
        kernel: "6.18".into(),
        began_ns: 17,
        ..About::default()
    }
}

fn batch(bytes: &[u8]) -> Batch {
    Batch {
        bytes: bytes.to_vec(),
        horizon_ns: 99,
        wall_offset_ns: -5,
        ..Batch::default()
    }
}

fn names() -> Vec<ContainerName> {
    let [id, name] = ["0f", "shop/web"].map(str::to_owned);
    vec![ContainerName { id, name }]
}

fn ending() -> Ending {
    Ending {
        ended_ns: 100,
        ..Ending::default()
    }
}

fn sample() -> Vec<u8> {
    let mut file = Vec::new();
    let mut writer = Writer::new(&mut file, &about()).expect("memory");
    writer.batch(&batch(b"abc")).expect("memory");
    let mut last = batch(b"defg");
    last.alive = Some(Alive {
        seen_ns: 98,
        processes: vec![ProcessId {
            tgid: 3,
            start_ns: 1 << 40,
        }],
    });
    last.names = names();
    writer.batch(&last).expect("memory");
    writer.finish(&ending()).expect("memory");
    file
}

fn read(file: &[u8]) -> (Vec<Chunk>, Option<Damage>) {
    let mut chunks = Vec::new();
    let mut reader = Reader::new(file).expect("a good head");
    loop {
        match reader.chunk() {
            Ok(Some(chunk)) => chunks.push(chunk),
            Ok(None) => return (chunks, None),
            Err(damage) => return (chunks, Some(damage)),
        }
    }
}

#[test]
fn what_is_written_is_read() {
    let file = sample();
    assert_eq!(Reader::new(&file[..]).expect("good").about, about());
    let (chunks, damage) = read(&file);
    assert_eq!(damage, None);
    assert_eq!(chunks.len(), 5);
    assert_eq!(chunks[0], Chunk::Round(batch(b"abc")));
    // Before what is about them.
    assert_eq!(chunks[1], Chunk::Names(names()));
    assert_eq!(chunks[2], Chunk::Round(batch(b"defg")));
    assert!(
        matches!(&chunks[3], Chunk::Alive(a) if a.seen_ns == 98 && a.processes[0].tgid == 3
        && a.processes[0].start_ns == 1 << 40)
    );
    assert_eq!(chunks[4], Chunk::End(ending()));
}

#[test]
fn heads_that_are_none_are_refused() {
    let why = |bytes: &[u8]| format!("{:#}", Reader::new(bytes).expect_err("refused"));
    assert_eq!(why(b""), "it is empty");
    assert_eq!(why(b"exe"), "it is cut off in its head");
    assert_eq!(
        why(b"#!/bin/sh\nexit 0 and more"),
        "it is not a recording of execlat"
    );
    let mut newer = sample();
    newer[8] = 9;
    assert!(why(&newer).starts_with("it was made by a newer execlat (format 9"));
    let mut newer = sample();
    newer[12] = 9;
    assert!(why(&newer).contains("record layout 9"));
    assert_eq!(
        why(&sample()[..FILE_HEAD_BYTES]),
        "it is cut off in its head"
    );
}

#[test]
fn a_cut_file_is_good_up_to_the_cut() {
    let file = sample();
    let (all, _) = read(&file);
    let head = Reader::new(&file[..]).map(|_| ()).is_ok();
    assert!(head);
    let mut before = 0;
    for end in FILE_HEAD_BYTES..file.len() {
        if Reader::new(&file[..end]).is_err() {
            continue;
        }
        let (chunks, damage) = read(&file[..end]);
        assert_eq!(chunks[..], all[..chunks.len()]);
        assert!(chunks.len() >= before);
        before = chunks.len();
        if let Some(damage) = damage {
            assert_eq!(damage.what, "it is cut off");
        }
    }
    assert_eq!(before, all.len() - 1);
}

#[test]
fn a_length_that_lies_allocates_nothing() {
    let mut file = sample();
    file.truncate(FILE_HEAD_BYTES);
    file.extend(ABOUT.to_le_bytes());
    file.extend(CHUNK_MAX_BYTES.to_le_bytes());
    file.extend([0; 4]);
    assert!(Reader::new(&file[..]).is_err());
}

proptest! {
    #[test]
    fn any_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
        let mut file = sample();
        file.extend(bytes);
        let (chunks, damage) = read(&file);
        prop_assert!(chunks.len() >= 5);
        prop_assert!(damage.is_some() || file.len() == sample().len() || chunks.len() > 5);
    }

    #[test]
    fn any_damage_is_noticed(at in 0usize..4096, value in any::<u8>()) {
        let good = sample();
        let mut file = good.clone();
        let at = at % file.len();
        file[at] = value;
        match Reader::new(&file[..]) {
            Err(_) => {}
            Ok(_) => {
                let (chunks, damage) = read(&file);
                prop_assert!(damage.is_some() || file == good, "{chunks:?}");
            }
        }
    }
}
