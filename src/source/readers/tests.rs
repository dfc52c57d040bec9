use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::{FileType, Mode, mknodat};

use super::*;

/// So long that a busy machine has answered.
const LONG: Duration = Duration::from_secs(20);
/// So short that a test may wait for it some times.
const SHORT: Duration = Duration::from_millis(50);

fn question(text: &str) -> Question {
    Question {
        about: text.as_bytes().to_vec(),
        bytes: text.as_bytes().to_vec(),
    }
}

fn heard(readers: &mut Readers, texts: &[&str]) -> Vec<(usize, Heard)> {
    let questions: Vec<Question> = texts.iter().map(|text| question(text)).collect();
    let mut all = Vec::new();
    readers.ask(&questions, &mut |at, heard| all.push((at, heard)));
    // What is late comes after the others.
    all.sort_by_key(|(at, _)| *at);
    all
}

/// Says what a file holds; a pipe that nobody writes to never answers.
fn read() -> Answer {
    Box::new(|question, say| {
        let path = str::from_utf8(question).expect("UTF-8");
        if let Ok(bytes) = fs::read(path) {
            say(&bytes);
        }
    })
}

fn pipe(path: &Path) -> String {
    let mode = Mode::from_raw_mode(0o600);
    mknodat(rustix::fs::CWD, path, FileType::Fifo, mode, 0).expect("a pipe");
    path.to_str().expect("UTF-8").to_owned()
}

fn piece(text: &str) -> Heard {
    Heard::Piece(text.as_bytes().to_vec())
}

#[test]
fn each_question_is_answered_in_its_turn() {
    let echo = || -> Answer {
        let mut count = 0;
        Box::new(move |question, say| {
            count += 1;
            say(question);
            if count % 2 == 0 {
                say(&[b'x'; 100_000]);
            }
        })
    };
    let [mut readers] = start([(&echo, Patience::of_one(LONG))]).expect("a process");
    // More than is asked ahead.
    let long = "y".repeat(AHEAD_BYTES / 2 + 1);
    let texts: Vec<&str> = (0..101)
        .map(|i| if i % 3 == 0 { "short" } else { &long })
        .collect();
    let mut expected = Vec::new();
    for (at, text) in texts.iter().enumerate() {
        expected.push((at, piece(text)));
        if at % 2 == 1 {
            expected.push((at, piece(&"x".repeat(100_000))));
        }
        expected.push((at, Heard::All));
    }
    assert!(heard(&mut readers, &texts) == expected);
    // Many short ones fill a socket by their number.
    let many = heard(&mut readers, &["short"; 3001]);
    let given_up = many.iter().filter(|(_, heard)| *heard == Heard::GivenUp);
    assert_eq!(given_up.count(), 0);
    // One that is too long is not asked, and hinders no other.
    let too_long = "z".repeat(QUESTION_MAX_BYTES + 1);
    let found = heard(&mut readers, &[&too_long, "short"]);
    assert_eq!(found.first(), Some(&(0, Heard::GivenUp)));
    assert_eq!(found.last(), Some(&(1, Heard::All)));
    assert_eq!(
        readers
            .readers
            .iter()
            .filter(|one| one.pid.is_some())
            .count(),
        1
    );
}

/// A hang costs its own question, is not met twice, and is over when it is over.
#[test]
fn what_hangs_is_given_up() {
    let dir = tempfile::tempdir().expect("a directory");
    let hangs = pipe(&dir.path().join("pipe"));
    let plain = dir.path().join("plain");
    fs::write(&plain, "text").expect("written");
    let plain = plain.to_str().expect("UTF-8");
    let [mut readers] = start([(&read as Kind<'_>, Patience::of_one(SHORT))]).expect("a process");
    let given_up = |at| (at, Heard::GivenUp);
    let is_read = |at| [(at, piece("text")), (at, Heard::All)];
    let found = heard(&mut readers, &[plain, &hangs, plain, &hangs, plain]);
    let [one, two, three] = [0, 2, 4].map(is_read);
    let expected = [&one[..], &[given_up(1)], &two, &[given_up(3)], &three].concat();
    assert_eq!(found, expected);
    let busy = |readers: &Readers| readers.readers.iter().filter(|one| one.owes > 0).count();
    assert_eq!(busy(&readers), 1);
    // Somebody answers, as often as it was asked ahead: what was asked before is no answer
    // to what is asked now.
    let began = Instant::now();
    while readers
        .readers
        .iter_mut()
        .filter(|one| one.owes > 0)
        .any(|one| !one.is_free(&mut |_, _| {}))
    {
        assert!(began.elapsed() < LONG, "it still hangs");
        let mut now = File::options();
        let now = now.write(true).custom_flags(libc::O_NONBLOCK);
        if let Ok(mut writer) = now.open(&hangs) {
            writer.write_all(b"late").expect("written");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(heard(&mut readers, &[plain]), is_read(0));
}

/// After so many, nothing is waited for any more; and dropping them waits for nobody, and
/// leaves nobody behind.
#[test]
fn only_so_many_may_hang() {
    let dir = tempfile::tempdir().expect("a directory");
    let pipes: Vec<String> = (0..READERS + 2)
        .map(|i| pipe(&dir.path().join(i.to_string())))
        .collect();
    let [mut readers] = start([(&read as Kind<'_>, Patience::of_one(SHORT))]).expect("a process");
    let mut texts: Vec<&str> = pipes.iter().map(String::as_str).collect();
    texts.push("/proc/self/comm");
    let found = heard(&mut readers, &texts);
    let expected: Vec<_> = (0..texts.len()).map(|at| (at, Heard::GivenUp)).collect();
    assert_eq!(found, expected);
    // On a busy machine some may not have begun by then.
    let began = Instant::now();
    let pids = loop {
        for reader in &mut readers.readers {
            reader.is_free(&mut |_, _| {});
        }
        let pids: Vec<u32> = readers.readers.iter().filter_map(|one| one.pid).collect();
        if pids.len() == READERS {
            break pids;
        }
        assert!(began.elapsed() < LONG, "{} have begun", pids.len());
        std::thread::sleep(Duration::from_millis(5));
    };
    // They have nothing of ours, so that nobody waits for what they keep open.
    for pid in &pids {
        let fds = fs::read_dir(format!("/proc/{pid}/fd")).expect("it hangs");
        let links = fds.map(|fd| fs::read_link(fd.expect("a descriptor").path()));
        let links: Vec<_> = links.map(|link| link.expect("a descriptor")).collect();
        let is_its_own = |link: &&std::path::PathBuf| {
            link.starts_with("/dev/null") || link.to_string_lossy().starts_with("socket:")
        };
        assert_eq!(
            links.iter().filter(is_its_own).count(),
            links.len(),
            "{links:?}"
        );
        assert_eq!(
            fs::read(format!("/proc/{pid}/comm")).expect("it hangs"),
            b"execlat-reader\n"
        );
    }
    drop(readers);
    let began = Instant::now();
    for pid in pids {
        // Whoever adopts it may not have waited for it yet.
        let ended = || match fs::read_to_string(format!("/proc/{pid}/stat")) {
            Ok(stat) => !stat.contains("(execlat-reader)") || stat.contains(") Z "),
            Err(_) => true,
        };
        while !ended() {
            assert!(began.elapsed() < LONG, "{pid} is left behind");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

#[test]
fn where_there_are_few_descriptors_there_are_few_readers() {
    let each = |descriptors, cpus| readers_of_each(3, descriptors, cpus);
    assert_eq!(each(None, 2), READERS);
    assert_eq!(each(Some(1024), 2), READERS);
    assert_eq!(each(Some(256), 2), 21);
    assert_eq!(each(Some(1024), 800), 16);
    assert_eq!(each(Some(64), 2), 1);
}

/// One that dies takes its question with it, no other.
#[test]
fn a_reader_may_be_killed() {
    let dies = || -> Answer {
        Box::new(|question, say| match question {
            b"die" => panic!("as asked"),
            _ => say(question),
        })
    };
    let [mut readers] = start([(&dies, Patience::of_one(LONG))]).expect("a process");
    let found = heard(&mut readers, &["one", "die", "two"]);
    let expected = [
        (0, piece("one")),
        (0, Heard::All),
        (1, Heard::GivenUp),
        (2, piece("two")),
        (2, Heard::All),
    ];
    assert_eq!(found, expected);
}

#[test]
fn what_is_late_is_waited_for_when_all_is_asked() {
    let dir = tempfile::tempdir().expect("a directory");
    let slow = pipe(&dir.path().join("slow"));
    let text = dir.path().join("text");
    fs::write(&text, "text").expect("a file");
    let patience = Patience {
        each: SHORT,
        all: LONG,
    };
    let [mut readers] = start([(&read as Kind<'_>, patience)]).expect("a process");
    let writes = slow.clone();
    // A pipe is opened when it is read.
    let writer = std::thread::spawn(move || {
        std::thread::sleep(SHORT * 4);
        fs::write(writes, "slow").expect("a reader");
    });
    let text = text.to_str().expect("UTF-8");
    let due = [
        (0, piece("slow")),
        (0, Heard::All),
        (1, piece("text")),
        (1, Heard::All),
    ];
    assert_eq!(heard(&mut readers, &[&slow, text]), due);
    writer.join().expect("written");
}
